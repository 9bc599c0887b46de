"""Steps that are taken back, so that they can be completed again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlmodel import Session, col

from connector.db.tables import CompletedStep, DailyDigest, OutboxEntry, Task
from connector.outbox.payloads import load_payload
from connector.vocabulary import TaskState
from connector.vocabulary.tasks import UNREACHABLE_CODES


def release_steps(session: Session, entry: OutboxEntry) -> None:
    """Take back the steps that an entry completed: it was not sent, or reached nobody.

    A digest may then be sent by another company.
    """
    session.execute(delete(DailyDigest).where(col(DailyDigest.outbox_id) == entry.id))
    session.execute(delete(CompletedStep).where(col(CompletedStep.outbox_id) == entry.id))


def release_undone_tasks(session: Session, entry: OutboxEntry) -> None:
    """Take back the steps that became a task while the customer could not be emailed, where nobody has done it."""
    undone = select(col(Task.id)).where(
        col(Task.connection_id) == entry.connection_id,
        col(Task.code).in_(UNREACHABLE_CODES),
        col(Task.state) != TaskState.DONE,
    )
    for invoice_id, step in load_payload(entry).completed:
        session.execute(
            delete(CompletedStep).where(
                col(CompletedStep.connection_id) == entry.connection_id,
                col(CompletedStep.invoice_id) == invoice_id,
                col(CompletedStep.step) == step,
                col(CompletedStep.task_id).in_(undone),
            )
        )


def cancel_replaced_tasks(session: Session, entry: OutboxEntry, at: datetime) -> None:
    """Cancel the open tasks in place of an email that was sent after all: nobody has to do their steps again."""
    emailed = {invoice_id for invoice_id, _step in load_payload(entry).completed}
    left = select(col(CompletedStep.task_id)).where(
        col(CompletedStep.connection_id) == entry.connection_id, col(CompletedStep.task_id).is_not(None)
    )
    query = select(Task).where(
        col(Task.connection_id) == entry.connection_id,
        col(Task.customer_id) == entry.customer_id,
        col(Task.code).in_(UNREACHABLE_CODES),
        col(Task.state) == TaskState.OPEN,
        col(Task.id).not_in(left),
    )
    for task in session.scalars(query):
        if emailed.intersection(task.invoice_ids):
            task.state, task.outcome, task.ended_at = TaskState.CANCELLED, "the email was sent", at
