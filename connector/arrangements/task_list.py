"""The tasks in lists: what people see of each, with the names of its invoices."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.invoice_names import labels_of
from connector.db.tables import Connection, CustomerRow, Task
from connector.results import Result
from connector.vocabulary import TaskState


class TaskItem(Result):
    """A task in a list; ``invoices`` are numbers, or dates where there is none."""

    id: int
    connection: str
    kind: str
    code: str
    step: str
    customer: str
    invoices: list[str]
    invoice_ids: list[str]
    due_on: date
    owner: str
    text: str
    state: TaskState
    outcome: str
    created_at: datetime
    ended_at: datetime | None
    ended_by: str


def find_tasks(
    session: Session,
    connection_id: int | None = None,
    *,
    states: Collection[TaskState] = (TaskState.OPEN,),
    owner: str = "",
    customer_id: str = "",
    ids: Collection[int] | None = None,
) -> list[TaskItem]:
    """List tasks, the soonest due first; ``owner`` is part of a name or an address."""
    query = (
        select(Task, col(Connection.short_name), col(CustomerRow.name))
        .join(Connection, col(Connection.id) == col(Task.connection_id))
        .outerjoin(
            CustomerRow,
            (col(CustomerRow.connection_id) == col(Task.connection_id))
            & (col(CustomerRow.external_id) == col(Task.customer_id)),
        )
        .where(col(Task.state).in_(list(states)) if ids is None else col(Task.id).in_(list(ids)))
        .order_by(col(Task.due_on), col(Task.id))
    )
    if connection_id is not None:
        query = query.where(col(Task.connection_id) == connection_id)
    if customer_id:
        query = query.where(col(Task.customer_id) == customer_id)
    if owner:
        query = query.where(col(Task.owner).icontains(owner, autoescape=True))
    rows = session.execute(query).all()
    names = _invoice_names(session, [row for row, _, _ in rows])
    return [_as_item(row, short_name, name or row.customer_id, names) for row, short_name, name in rows]


def _invoice_names(session: Session, tasks: Sequence[Task]) -> dict[tuple[int, str], str]:
    keys = {(task.connection_id, each) for task in tasks for each in task.invoice_ids}
    return {key: label.name for key, label in labels_of(session, keys).items()}


def _as_item(task: Task, short_name: str, customer: str, names: dict[tuple[int, str], str]) -> TaskItem:
    return TaskItem(
        id=task.id or 0,
        connection=short_name,
        kind=task.step or task.code,
        code=task.code,
        step=task.step,
        customer=customer,
        invoices=[names.get((task.connection_id, each), each) for each in task.invoice_ids],
        invoice_ids=list(task.invoice_ids),
        due_on=task.due_on,
        owner=task.owner,
        text=task.reason,
        state=TaskState(task.state),
        outcome=task.outcome,
        created_at=task.created_at,
        ended_at=task.ended_at,
        ended_by=task.ended_by,
    )
