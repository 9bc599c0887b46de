"""Payments that customers reported in the portal: their tasks are done once the money is seen in the bank."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import and_, or_, select
from sqlmodel import Session, col

from connector.arrangements.review_tasks import reopen_task
from connector.db.batches import batched_ids
from connector.db.tables import BankMatch, InvoiceRow, Task
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind, MatchCertainty, MatchState, TaskCode, TaskState

_SEEN = "the money is in the bank; another task asks to book it"
_MAY_REOPEN_WITHIN = timedelta(days=400)  # a returned direct debit comes back after 13 months at the latest


def cancel_seen(ctx: RunContext, session: Session) -> None:
    """Cancel the tasks to find a payment whose money pays all their invoices; reopen them where it was for others."""
    was_seen = and_(
        col(Task.state) == TaskState.CANCELLED,
        col(Task.outcome) == _SEEN,
        col(Task.ended_at) >= ctx.now() - _MAY_REOPEN_WITHIN,
    )
    query = select(Task).where(
        col(Task.connection_id) == ctx.connection_id,
        col(Task.code) == TaskCode.PAYMENT_REPORTED,
        or_(col(Task.state) == TaskState.OPEN, was_seen),
    )
    tasks = [each for each in session.scalars(query) if each.invoice_ids]
    if not tasks:
        return
    due = _load_due(session, ctx.connection_id, {key for each in tasks for key in each.invoice_ids})
    for task in tasks:
        rest = [due[key] for key in task.invoice_ids if key in due]
        is_seen = bool(rest) and max(rest) <= 0
        if is_seen and task.state == TaskState.OPEN:
            task.state, task.ended_at, task.outcome = TaskState.CANCELLED, ctx.now(), _SEEN
            text = f"Task {task.id} was cancelled: {_SEEN}."
            ctx.log(session, LogKind.TASK_OUTCOME, text, customer_id=task.customer_id, facts={"task": task.id})
        elif rest and not is_seen and task.state == TaskState.CANCELLED:
            reopen_task(session, task, at=ctx.now(), run_id=ctx.run_id)


def _load_due(session: Session, connection_id: int, invoice_ids: Iterable[str]) -> dict[str, int]:
    """Return what open invoices lack once the money that is surely for them is booked."""
    due: dict[str, int] = {}
    for ids in batched_ids(invoice_ids):
        invoices = select(col(InvoiceRow.external_id), col(InvoiceRow.due_e4)).where(
            col(InvoiceRow.connection_id) == connection_id,
            col(InvoiceRow.external_id).in_(ids),
            col(InvoiceRow.is_open),
        )
        due |= {row[0]: row[1] for row in session.execute(invoices)}
    is_sure = or_(
        col(BankMatch.state) == MatchState.CONFIRMED,
        and_(col(BankMatch.state) == MatchState.OPEN, col(BankMatch.certainty) == MatchCertainty.SURE),
    )
    matches = select(col(BankMatch.invoice_id), col(BankMatch.amount_e4), col(BankMatch.settles)).where(
        col(BankMatch.connection_id) == connection_id, is_sure
    )
    for invoice_id, amount, settles in session.execute(matches):  # few: what is in the bank and not booked
        if invoice_id in due:
            due[invoice_id] -= due[invoice_id] if settles else amount
    return due
