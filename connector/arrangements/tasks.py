"""Work for people: who has to do what by when, and what came of it, which the policy then follows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements import agreements
from connector.arrangements.agreements import Attribution
from connector.arrangements.customer_settings import apply_settings
from connector.audit import sync_log
from connector.connections import account_owners
from connector.db.engine import writing
from connector.db.paging import Page, cut
from connector.db.tables import Connection, CustomerRow, InvoiceRow, Task
from policies.formatting import format_date

STATES = ("open", "done", "cancelled")


class TaskError(Exception):
    """A task cannot be ended like this; ``str()`` says why, and what would do."""


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What came of a task. Everything but the note is kept where the policy looks, and so feeds the next decision."""

    note: str = ""
    promised_on: date | None = None
    disputed: str | None = None
    paused_until_on: date | None = None
    retry_on: date | None = None
    contact: tuple[str, str] | None = None  # name and address
    no_reminders: bool = False
    invoices: tuple[str, ...] = ()  # numbers or ids; none: every open invoice of the task

    def summary(self) -> str:
        """Say it in a sentence's part."""
        said = [f"promised for {format_date(self.promised_on)}"] if self.promised_on else []
        said += [f"disputed{': ' if self.disputed else ''}{self.disputed}"] if self.disputed is not None else []
        said += [f"paused until {format_date(self.paused_until_on)}"] if self.paused_until_on else []
        said += [f"to be tried again on {format_date(self.retry_on)}"] if self.retry_on else []
        said += [f"mail goes to {self.contact[1]} from now on"] if self.contact else []
        said += ["wants no reminders by mail"] if self.no_reminders else []
        said += [self.note] if self.note else []
        return "; ".join(said)


def find_tasks(
    session: Session,
    connection_id: int | None = None,
    *,
    states: Collection[str] = ("open",),
    owner: str = "",
    customer_id: str = "",
    page: Page | None = None,
) -> list[dict[str, Any]]:
    """List tasks, the soonest due first; ``owner`` is a part of a name or address."""
    query = (
        select(Task, col(Connection.short_name), col(CustomerRow.name))
        .join(Connection, col(Connection.id) == col(Task.connection_id))
        .outerjoin(
            CustomerRow,
            (col(CustomerRow.connection_id) == col(Task.connection_id))
            & (col(CustomerRow.external_id) == col(Task.customer_id)),
        )
        .where(col(Task.state).in_(list(states)))
        .order_by(col(Task.due_on), col(Task.id))
    )
    if connection_id is not None:
        query = query.where(col(Task.connection_id) == connection_id)
    if customer_id:
        query = query.where(col(Task.customer_id) == customer_id)
    if owner:
        query = query.where(col(Task.owner).icontains(owner, autoescape=True))
    query = cut(query, page, col(Task.connection_id), Task.id, newest_first=True)
    rows = session.execute(query).all()
    numbers = _invoice_numbers(session, [row for row, _, _ in rows])
    return [_as_dict(row, short_name, name or row.customer_id, numbers) for row, short_name, name in rows]


def complete(app: AppContext, ids: Iterable[int], *, by: str, note: str = "") -> list[dict[str, Any]]:
    """End tasks that are done."""
    return [record_task_outcome(app, task_id, TaskOutcome(note=note), by=by) for task_id in ids]


def record_task_outcome(app: AppContext, task_id: int, outcome: TaskOutcome, *, by: str) -> dict[str, Any]:
    """Record what came of a task: it ends (unless it is to be tried again), and the next run follows what was said."""
    word = Attribution(by, app.now())
    with writing(app.engine) as session:
        task = _get_open_task(session, task_id)
        _apply_outcome(session, task, outcome, word)
        said = outcome.summary()
        if outcome.retry_on is not None:
            task.due_on, task.outcome = outcome.retry_on, said
        else:
            _close_task(task, "done", word, said)
        text = f"{by} on task {task.id}: {said or 'done'}."
        _log(session, task, word, "task_outcome", text)
        return {"id": task.id, "state": task.state, "outcome": task.outcome, "due_on": task.due_on}


def reassign(app: AppContext, ids: Iterable[int], owner: str, *, by: str) -> None:
    """Give tasks to somebody else."""
    owner, word = account_owners.normalise_mailbox(owner), Attribution(by, app.now())
    with writing(app.engine) as session:
        for task_id in ids:
            task = _get_open_task(session, task_id)
            task.owner = owner
            _log(session, task, word, "task_assigned", f"{by} gave task {task.id} to {owner}.")


def cancel_obsolete(session: Session, connection_id: int, at: datetime) -> list[Task]:
    """End the open tasks about invoices none of which is open any more: there is nothing left to do."""
    query = select(Task).where(col(Task.connection_id) == connection_id, col(Task.state) == "open")
    tasks = [task for task in session.scalars(query) if task.invoice_ids]
    still_open = _open_ids(session, connection_id, [each for task in tasks for each in task.invoice_ids])
    moot = [task for task in tasks if not still_open.intersection(task.invoice_ids)]
    for task in moot:
        _close_task(task, "cancelled", Attribution("", at), "nothing is owed any more")
    return moot


def _apply_outcome(session: Session, task: Task, outcome: TaskOutcome, attribution: Attribution) -> None:
    acts: list[tuple[Callable[..., Any], dict[str, Any]]] = []
    if outcome.promised_on is not None:
        acts.append((agreements.set_promise, {"on": outcome.promised_on, "reason": outcome.note}))
    if outcome.disputed is not None:
        acts.append((agreements.record_dispute, {"reason": outcome.disputed}))
    if outcome.paused_until_on is not None:
        acts.append((agreements.pause_reminders, {"until": outcome.paused_until_on, "reason": outcome.note}))
    invoices = _task_invoices(session, task, outcome.invoices) if acts else []
    for act, more in acts:
        for invoice in invoices:
            act(session, invoice, attribution, **more)
    changes: dict[str, Any] = {"no_reminders": True} if outcome.no_reminders else {}
    if outcome.contact is not None:
        changes["contact_name"], changes["emails"] = outcome.contact
    if changes:
        apply_settings(session, task.connection_id, task.customer_id, changes, by=attribution.by, at=attribution.at)


def _task_invoices(session: Session, task: Task, wanted: Sequence[str]) -> list[InvoiceRow]:
    """Find the open invoices of a task, or those of them that were named."""
    query = select(InvoiceRow).where(
        col(InvoiceRow.connection_id) == task.connection_id,
        col(InvoiceRow.external_id).in_(task.invoice_ids),
        col(InvoiceRow.is_open),
    )
    found = list(session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.external_id))))
    unknown = set(wanted) - {name for row in found for name in (row.number, row.external_id)}
    if unknown or not found:
        names = ", ".join(sorted(unknown)) or "any invoice that is still open"
        message = f"Task {task.id} is not about {names}."
        raise TaskError(message)
    return [row for row in found if not wanted or row.number in wanted or row.external_id in wanted]


def _get_open_task(session: Session, task_id: int) -> Task:
    task = session.get(Task, task_id)
    if task is None:
        message = f"There is no task {task_id}; open ones are listed by: duewell tasks"
        raise TaskError(message)
    if task.state != "open":
        message = f"Task {task_id} is {task.state} already{': ' if task.outcome else ''}{task.outcome}."
        raise TaskError(message)
    return task


def _close_task(task: Task, state: str, attribution: Attribution, outcome: str) -> None:
    task.state, task.outcome, task.ended_at, task.ended_by = state, outcome, attribution.at, attribution.by


def _open_ids(session: Session, connection_id: int, ids: Collection[str]) -> set[str]:
    if not ids:
        return set()
    query = select(col(InvoiceRow.external_id)).where(
        col(InvoiceRow.connection_id) == connection_id, col(InvoiceRow.is_open)
    )
    if len(ids) < _IN_MAX:
        query = query.where(col(InvoiceRow.external_id).in_(ids))
    return set(session.scalars(query))


_IN_MAX = 500


def _invoice_numbers(session: Session, tasks: Sequence[Task]) -> dict[tuple[int, str], str]:
    found: dict[tuple[int, str], str] = {}
    for connection_id in {task.connection_id for task in tasks}:
        ids = [each for task in tasks if task.connection_id == connection_id for each in task.invoice_ids]
        for start in range(0, len(ids), _IN_MAX):
            query = select(col(InvoiceRow.external_id), col(InvoiceRow.number)).where(
                col(InvoiceRow.connection_id) == connection_id,
                col(InvoiceRow.external_id).in_(ids[start : start + _IN_MAX]),
            )
            found |= {(connection_id, external_id): number for external_id, number in session.execute(query)}
    return found


def _as_dict(task: Task, short_name: str, customer: str, numbers: dict[tuple[int, str], str]) -> dict[str, Any]:
    names = (
        "id",
        "code",
        "step",
        "due_on",
        "owner",
        "reason",
        "state",
        "outcome",
        "created_at",
        "ended_at",
        "ended_by",
    )
    return {
        **{name: getattr(task, name) for name in names},
        "connection": short_name,
        "customer": customer,
        "invoices": [numbers.get((task.connection_id, each), each) for each in task.invoice_ids],
    }


def _log(session: Session, task: Task, attribution: Attribution, kind: str, text: str) -> None:
    sync_log.write(
        session,
        at=attribution.at,
        kind=kind,
        text=text,
        connection_id=task.connection_id,
        customer_id=task.customer_id,
        invoice_id=task.invoice_ids[0] if len(task.invoice_ids) == 1 else "",
        facts={"task": task.id},
    )
