"""Tasks for the account owner about what customers and connected services report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.connections import account_owners
from connector.db.tables import Connection, CustomerRow, Task
from connector.geo import today_in
from connector.vocabulary import LogKind, TaskCode, TaskState


def create_review_task(
    app: AppContext,
    session: Session,
    customer: CustomerRow,
    *,
    code: TaskCode,
    recurrence_key: str,
    reason: str,
    invoice_ids: Sequence[str] = (),
    reopen_from: str = "",
) -> bool:
    """Create a task for the customer's account owner and return True; False where it was created before.

    One that was cancelled with the outcome ``reopen_from`` is opened again.

    ``recurrence_key`` tells one occurrence from the next. The task is cancelled automatically when none of
    ``invoice_ids`` has an open balance.
    """
    connection = session.get_one(Connection, customer.connection_id)
    key = f"{connection.provider}:{connection.external_id}:task:{code}:{customer.external_id}:{recurrence_key}"
    known = session.scalar(select(Task).where(col(Task.key) == key))
    if known is not None:
        if reopen_from and known.state == TaskState.CANCELLED and known.outcome == reopen_from:
            known.reason = reason
            reopen_task(session, known, at=app.now())
        return False
    task = Task(
        connection_id=customer.connection_id,
        key=key,
        code=code,
        customer_id=customer.external_id,
        invoice_ids=list(invoice_ids),
        due_on=today_in(connection.time_zone, app.now()),
        reason=reason,
        owner=account_owners.load_team(session, connection).owner_of(customer.external_id),
        created_at=app.now(),
    )
    session.add(task)
    return True


def cancel_review_tasks(
    app: AppContext, session: Session, customer: CustomerRow, code: TaskCode, recurrence_start: str, outcome: str
) -> None:
    """Cancel the customer's open tasks whose ``recurrence_key`` begins like this: their reason is gone."""
    connection = session.get_one(Connection, customer.connection_id)
    start = f"{connection.provider}:{connection.external_id}:task:{code}:{customer.external_id}:{recurrence_start}"
    query = select(Task).where(col(Task.key).startswith(start, autoescape=True), col(Task.state) == TaskState.OPEN)
    for task in session.scalars(query):
        task.state, task.outcome, task.ended_at = TaskState.CANCELLED, outcome, app.now()


def reopen_task(session: Session, task: Task, *, at: datetime, run_id: int | None = None) -> None:
    """Open a task again that was cancelled automatically, because its reason is back."""
    task.state, task.outcome, task.ended_at = TaskState.OPEN, "", None
    sync_log.write(
        session,
        at=at,
        kind=LogKind.TASK_REOPENED,
        text=f"Task {task.id} is open again: {task.reason}",
        connection_id=task.connection_id,
        run_id=run_id,
        customer_id=task.customer_id,
        invoice_id=task.invoice_ids[0] if len(task.invoice_ids) == 1 else "",
        facts={"task": task.id},
    )


def log_for_customer(app: AppContext, session: Session, customer: CustomerRow, *, kind: LogKind, text: str) -> None:
    """Add an entry about a customer to the sync log."""
    sync_log.write(
        session,
        at=app.now(),
        kind=kind,
        text=text,
        connection_id=customer.connection_id,
        customer_id=customer.external_id,
    )
