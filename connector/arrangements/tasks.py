"""Tasks: work left to people, and its outcome, which the next run of the policy follows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import and_, or_, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements import agreements
from connector.arrangements.agreements import Attribution
from connector.arrangements.customer_settings import SettingChanges, apply_settings
from connector.arrangements.review_tasks import reopen_task
from connector.audit import sync_log
from connector.connections import account_owners
from connector.db.engine import writing
from connector.db.money import from_e4
from connector.db.tables import Connection, InvoiceRow, InvoiceSetting, Task
from connector.results import Result
from connector.sync.mirror.charged_fees import load_charged_fees
from connector.vocabulary import LogKind, TaskCode, TaskState
from connector.vocabulary.labels import in_sentence, label
from policies.formatting import format_amount, format_date
from policies.schedule import TASK_STEPS

TaskCheck = Callable[[Task | None], None]  # raises where a task is not what somebody read, or none of theirs
_IN_MAX = 500  # ids in one query
_FEE_CODES = frozenset({TaskCode.PROPOSE_WAIVER, TaskCode.UNPAID_FEE})
_NOT_LATE = "the due date was moved out"
_NOTHING_DUE = "no balance is due any more"
_REOPENED_WITHIN = timedelta(days=180)


class TaskError(Exception):
    """A task that cannot be closed like this; the message says why, and what would be possible."""


class NoOutcomeError(TaskError):
    """A task that is closed without saying what came of it."""


class Contact(NamedTuple):
    """A person at the customer, and their email address."""

    name: str
    email: str


class TaskStatus(Result):
    """A task after a change."""

    id: int
    state: TaskState
    outcome: str
    due_on: date


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """The outcome of a task. Everything but the note changes what the policy sees, and so the next decision.

    ``invoices`` are numbers or ids; without any the outcome is about every open invoice of the task.
    """

    note: str = ""
    promised_on: date | None = None
    promised_amount: Decimal | None = None  # of the invoices together, the longest due first; None for all of it
    disputed: str | None = None  # the reason, "" for none
    paused_until_on: date | None = None
    retry_on: date | None = None
    contact: Contact | None = None
    no_reminders: bool = False
    invoices: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return the outcome in words: ``promised to pay by 3 Dec 2026; spoke to Mr Ash``."""
        amount = f" {self.promised_amount:f}" if self.promised_amount else ""
        parts = [f"promised to pay{amount} by {format_date(self.promised_on)}"] if self.promised_on else []
        parts += [f"disputed{': ' if self.disputed else ''}{self.disputed}"] if self.disputed is not None else []
        parts += [f"reminders paused until {format_date(self.paused_until_on)}"] if self.paused_until_on else []
        parts += [f"try again on {format_date(self.retry_on)}"] if self.retry_on else []
        parts += [f"emails go to {self.contact.email} from now on"] if self.contact else []
        parts += ["wants no reminders by email"] if self.no_reminders else []
        parts += [self.note] if self.note else []
        return "; ".join(parts)


def complete(
    app: AppContext, ids: Iterable[int], *, by: str, note: str, require: TaskCheck | None = None
) -> list[TaskStatus]:
    """Close tasks as completed, with what came of them; those that ``require`` lets pass.

    Raises:
        NoOutcomeError: the ``note`` is blank.
        TaskError: a task is not open.

    """
    return [record_task_outcome(app, task_id, TaskOutcome(note=note), by=by, require=require) for task_id in ids]


def record_task_outcome(
    app: AppContext, task_id: int, outcome: TaskOutcome, *, by: str, require: TaskCheck | None = None
) -> TaskStatus:
    """Record the outcome of a task and close it, or set its new due date where it is to be tried again.

    Raises:
        NoOutcomeError: the outcome is empty.
        TaskError: the task is not open, or the outcome does not fit it.

    """
    summary = outcome.summary().strip()
    if not summary:
        raise NoOutcomeError("Enter the outcome: what came of it.")
    attribution = Attribution(by, app.now())
    with writing(app.engine) as session:
        task = _get_open_task(session, task_id, require)
        _apply_outcome(session, task, outcome, attribution)
        if outcome.retry_on is not None:
            task.due_on, task.outcome = outcome.retry_on, _joined(task.outcome, summary)
        else:
            _close_task(task, TaskState.DONE, attribution, _joined(task.outcome, summary))
        _log(session, task, attribution, LogKind.TASK_OUTCOME, f"{by} on task {task.id}: {summary}.")
        return TaskStatus(id=task_id, state=TaskState(task.state), outcome=task.outcome, due_on=task.due_on)


def reassign(app: AppContext, ids: Iterable[int], owner: str, *, by: str, require: TaskCheck | None = None) -> None:
    """Assign tasks to another owner ("Ann Lee <ann@example.com>"); those that ``require`` lets pass."""
    owner, attribution = account_owners.normalise_mailbox(owner), Attribution(by, app.now())
    with writing(app.engine) as session:
        for task_id in ids:
            task = _get_open_task(session, task_id, require)
            task.owner = owner
            _log(session, task, attribution, LogKind.TASK_ASSIGNED, f"{by} assigned task {task.id} to {owner}.")


def cancel_obsolete(session: Session, connection: Connection, *, at: datetime, run_id: int | None = None) -> list[Task]:
    """Cancel the open tasks whose invoices are all closed or no longer late, and return them.

    A task of the schedule is open again once its due date is moved back, or the payment is deleted: its step would not
    come again. A fee that is paid can still be wrong: the proposal to waive it lasts until the fee is waived or its
    reason is gone.
    """
    connection_id, zone = connection.id or 0, ZoneInfo(connection.time_zone)
    was_open = and_(
        col(Task.state) == TaskState.CANCELLED,
        col(Task.step) != "",
        col(Task.outcome).in_([_NOT_LATE, _NOTHING_DUE]),
        col(Task.ended_at) >= at - _REOPENED_WITHIN,
    )
    query = select(Task).where(
        col(Task.connection_id) == connection_id, or_(col(Task.state) == TaskState.OPEN, was_open)
    )
    tasks = [task for task in session.scalars(query) if task.invoice_ids]
    due_dates = _open_due_dates(session, connection_id, [each for task in tasks for each in task.invoice_ids])
    is_about_fees = any(task.code in _FEE_CODES for task in tasks)
    waived_ids = load_charged_fees(session, connection_id).list_waived() if is_about_fees else set()
    cancelled: list[Task] = []
    for task in tasks:
        outcome = _obsolete_outcome(task, task.created_at.astimezone(zone).date(), due_dates, waived_ids)
        if not outcome and task.state == TaskState.CANCELLED:
            reopen_task(session, task, at=at, run_id=run_id)
        elif outcome and task.state == TaskState.OPEN:
            _close_task(task, TaskState.CANCELLED, Attribution("", at), outcome)
            cancelled.append(task)
    return cancelled


def _obsolete_outcome(
    task: Task, created_on: date, due_dates: Mapping[str, date | None], waived_ids: Collection[str]
) -> str:
    """Return why nothing is left to do about a task; "" where something is.

    ``created_on`` is a date of the company, ``due_dates`` are those of open invoices, ``waived_ids`` the invoices of
    waived late fees.
    """
    if task.code in _FEE_CODES and all(each in waived_ids for each in task.invoice_ids):
        return "the fee was waived"
    if task.code == TaskCode.PROPOSE_WAIVER:
        return ""
    open_ids = [each for each in task.invoice_ids if each in due_dates]
    if not open_ids:
        return _NOTHING_DUE
    if task.step not in TASK_STEPS:
        return ""
    is_late = [(due_on := due_dates[each]) is None or due_on < created_on for each in open_ids]
    return "" if any(is_late) else _NOT_LATE


def _apply_outcome(session: Session, task: Task, outcome: TaskOutcome, attribution: Attribution) -> None:
    changes: list[Callable[[Session, InvoiceRow, Attribution], InvoiceSetting]] = []
    if outcome.promised_on is not None:
        _record_promise(session, task, outcome, outcome.promised_on, attribution)
    if outcome.disputed is not None:
        changes.append(partial(agreements.record_dispute, reason=outcome.disputed))
    if outcome.paused_until_on is not None:
        changes.append(partial(agreements.pause_reminders, until=outcome.paused_until_on, reason=outcome.note))
    invoices = _task_invoices(session, task, outcome.invoices) if changes else []
    for change in changes:
        for invoice in invoices:
            change(session, invoice, attribution)
    settings = SettingChanges(no_reminders=True) if outcome.no_reminders else SettingChanges()
    if outcome.contact is not None:
        settings["contact_name"], settings["emails"] = outcome.contact
    if settings:
        apply_settings(session, task.connection_id, task.customer_id, settings, by=attribution.by, at=attribution.at)


def _record_promise(session: Session, task: Task, outcome: TaskOutcome, on: date, attribution: Attribution) -> None:
    """Record a promise for the invoices that its amount covers, the longest due first; the last one maybe in part."""
    left = outcome.promised_amount
    invoices = _task_invoices(session, task, outcome.invoices)
    if left is not None:
        _require_amount_owed(left, invoices)
    for invoice in invoices:
        due = from_e4(invoice.due_e4)
        part = None if left is None or left >= due else left
        agreements.set_promise(session, invoice, attribution, on=on, reason=outcome.note, amount=part)
        left = None if left is None else left - due
        if left is not None and left <= 0:
            return


def _require_amount_owed(amount: Decimal, invoices: Sequence[InvoiceRow]) -> None:
    """Raise ``TaskError`` where that much of one currency is not due."""
    currencies = {invoice.currency for invoice in invoices}
    if len(currencies) > 1:
        raise TaskError(f"The invoices are in {' and '.join(sorted(currencies))}: record each promise at its invoice.")
    owed = sum((from_e4(invoice.due_e4) for invoice in invoices), Decimal(0))
    if not 0 < amount <= owed:
        raise TaskError(f"Enter an amount up to the {format_amount(owed, currencies.pop())} that is due.")


def add_note(app: AppContext, task_id: int, note: str, *, by: str) -> None:
    """Add a note to an open task."""
    attribution = Attribution(by, app.now())
    with writing(app.engine) as session:
        task = _get_open_task(session, task_id)
        task.outcome = _joined(task.outcome, note)
        _log(session, task, attribution, LogKind.TASK_OUTCOME, f"{by} noted on task {task.id}: {note}")


def _joined(*texts: str) -> str:
    return "; ".join(filter(None, texts))


def _task_invoices(session: Session, task: Task, names: Sequence[str]) -> list[InvoiceRow]:
    """Find the open invoices of a task, or those of them that are named by number or id."""
    query = select(InvoiceRow).where(
        col(InvoiceRow.connection_id) == task.connection_id,
        col(InvoiceRow.external_id).in_(task.invoice_ids),
        col(InvoiceRow.is_open),
    )
    found = list(session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.external_id))))
    unknown = set(names) - {name for row in found for name in (row.number, row.external_id)}
    if unknown or not found:
        message = f"Task {task.id} is not about {', '.join(sorted(unknown)) or 'any invoice that is still open'}."
        raise TaskError(message)
    return [row for row in found if not names or row.number in names or row.external_id in names]


def _get_open_task(session: Session, task_id: int, require: TaskCheck | None = None) -> Task:
    task = session.get(Task, task_id)
    if require is not None:
        require(task)
    if task is None:
        message = f"There is no task {task_id}. List the open ones: duewell tasks"
        raise TaskError(message)
    if task.state != TaskState.OPEN:
        state = in_sentence(label(task.state, "task_state"))
        message = f"Task {task_id} is already {state}{': ' if task.outcome else ''}{task.outcome}."
        raise TaskError(message)
    return task


def _close_task(task: Task, state: TaskState, attribution: Attribution, outcome: str) -> None:
    task.state, task.outcome, task.ended_at, task.ended_by = state, outcome, attribution.at, attribution.by


def _open_due_dates(session: Session, connection_id: int, ids: Collection[str]) -> dict[str, date | None]:
    if not ids:
        return {}
    query = select(col(InvoiceRow.external_id), col(InvoiceRow.due_on)).where(
        col(InvoiceRow.connection_id) == connection_id, col(InvoiceRow.is_open)
    )
    if len(ids) < _IN_MAX:
        query = query.where(col(InvoiceRow.external_id).in_(ids))
    return {row.external_id: row.due_on for row in session.execute(query)}


def _log(session: Session, task: Task, attribution: Attribution, kind: LogKind, text: str) -> None:
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
