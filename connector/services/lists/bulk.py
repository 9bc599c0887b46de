"""Acts on many rows of a list: each row only as the person saw it, a few hundred in a transaction.

What has changed since it was seen is left as it is, and reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial

from sqlmodel import Session

from connector.app_context import AppContext
from connector.arrangements import agreements, tasks
from connector.arrangements.agreements import Attribution
from connector.arrangements.customer_settings import SettingChanges, apply_settings
from connector.db.engine import reading, writing
from connector.db.ids import parse_id
from connector.db.tables import CustomerRow, CustomerSetting, InvoiceRow, InvoiceSetting, OutboxEntry, Task
from connector.errors import NotFound
from connector.outbox import approvals
from connector.services import fees
from connector.services.lists.engine import Key
from connector.services.lists.tasks import task_version
from connector.vocabulary import OutboxState

SEEN_MAX = 1000  # rows of one act: what a form can carry, and a database writes in a few seconds
_PER_TRANSACTION = 200
_LEFT_SHOWN = 20

InvoiceChange = Callable[[Session, InvoiceRow, Attribution], InvoiceSetting]


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A row that a person chose, and the version of it that they saw."""

    key: Key
    version: str


@dataclass(slots=True)
class BulkResult:
    """How many rows were changed, and why others were left as they are."""

    done: int = 0
    left: list[str] = field(default_factory=list)
    undo_at: datetime | None = None  # the instant of an act that can be undone as a whole

    @property
    def reasons(self) -> list[str]:
        """The first reasons, and how many more there are."""
        more = len(self.left) - _LEFT_SHOWN
        return [*self.left[:_LEFT_SHOWN], *([f"And {more} more."] if more > 0 else [])]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and which companies they may see: None for all."""

    name: str
    company_ids: Collection[int] | None = None

    def require(self, company_id: int | None) -> None:
        """Raise ``NotFound`` for a company that they may not see."""
        if self.company_ids is not None and company_id not in self.company_ids:
            raise NotFound


def parse_seen(texts: Sequence[str], *, pairs: bool) -> list[SeenRow]:
    """Parse chosen rows, each as ``key:version``; ``pairs`` are keys of a company and the ledger's id.

    Raises:
        NotFound: a text is not of this form.

    """
    found = {}
    for text in texts[: 2 * SEEN_MAX]:
        name, _, version = text.rpartition(":")
        first, _, external_id = name.partition(":")
        number = parse_id(first)
        if number is None or pairs != bool(external_id):
            raise NotFound
        key: Key = (number, external_id) if pairs else (number,)
        found[key] = SeenRow(key, version)
    return list(found.values())


def format_seen(key: Key, version: str) -> str:
    """Return a row as a form carries it."""
    return ":".join([*map(str, key), version])


def decide_entries(
    app: AppContext, rows: Sequence[SeenRow], actor: Actor, *, approve: bool, reason: str = ""
) -> BulkResult:
    """Approve or reject outbox entries that await approval."""
    result = BulkResult()
    for some in _chunks(rows):
        with writing(app.engine) as session:
            ids = [row.key[0] for row in some if _may_decide(session, row, actor, result)]
            if approve:
                approvals.approve(session, ids, by=actor.name, at=app.now())
            else:
                approvals.reject(session, ids, by=actor.name, at=app.now(), reason=reason)
            result.done += len(ids)
    return result


def resolve_entries(app: AppContext, rows: Sequence[SeenRow], actor: Actor, *, sent: bool) -> BulkResult:
    """Confirm or deny the delivery of unconfirmed entries."""

    def resolve(row: SeenRow) -> None:
        with writing(app.engine) as session:
            _require_company(session, row, actor)
            approvals.resolve(session, row.key[0], sent=sent, by=actor.name, at=app.now(), seen=row.version)

    return _one_by_one(rows, resolve)


def waive_fees(app: AppContext, rows: Sequence[SeenRow], actor: Actor, *, reason: str = "") -> BulkResult:
    """Waive late fees as a whole."""

    def waive(row: SeenRow) -> None:
        with reading(app.engine) as session:
            _require_company(session, row, actor)
        fees.waive(app, [row.key[0]], by=actor.name, reason=reason, seen={row.key[0]: row.version})

    return _one_by_one(rows, waive)


def complete_tasks(app: AppContext, rows: Sequence[SeenRow], actor: Actor, note: str) -> BulkResult:
    """Record the same outcome for tasks, and close them."""

    def complete(task_id: int, require: tasks.TaskCheck) -> None:
        tasks.complete(app, [task_id], by=actor.name, note=note, require=require)

    return _for_tasks(rows, actor, complete)


def assign_tasks(app: AppContext, rows: Sequence[SeenRow], actor: Actor, owner: str) -> BulkResult:
    """Assign tasks to a person ("Ann Lee <ann@example.com>")."""

    def assign(task_id: int, require: tasks.TaskCheck) -> None:
        tasks.reassign(app, [task_id], owner, by=actor.name, require=require)

    return _for_tasks(rows, actor, assign)


def _for_tasks(rows: Sequence[SeenRow], actor: Actor, act: Callable[[int, tasks.TaskCheck], None]) -> BulkResult:
    """Act on each task as it was seen: that is checked in the transaction that changes it."""

    def change(row: SeenRow) -> None:
        def require(task: Task | None) -> None:
            if task is None:
                raise NotFound
            actor.require(task.connection_id)
            if task_version(task) != row.version:
                raise tasks.TaskError(f"Task {task.id} has changed since you read it.")

        act(row.key[0], require)

    return _one_by_one(rows, change)


def _one_by_one(rows: Sequence[SeenRow], act: Callable[[SeenRow], object]) -> BulkResult:
    """Act on each row in a transaction of its own: what is not possible for one is reported, and stops no other."""
    result = BulkResult()
    for row in rows:
        try:
            act(row)
        except (approvals.OutboxError, tasks.TaskError) as error:
            result.left.append(str(error))
        else:
            result.done += 1
    return result


def _require_company(session: Session, row: SeenRow, actor: Actor) -> None:
    entry = session.get(OutboxEntry, row.key[0])
    if entry is None:
        raise NotFound
    actor.require(entry.connection_id)


def change_invoices(
    app: AppContext,
    rows: Sequence[SeenRow],
    actor: Actor,
    change: InvoiceChange,
    version_of: Callable[[InvoiceRow], str],
) -> BulkResult:
    """Change the agreements about open invoices; ``change`` is one of the functions of the agreements."""
    result, attribution = BulkResult(), Attribution(actor.name, app.now())  # one instant, by which it can be undone
    for some in _chunks(rows):
        with writing(app.engine) as session:
            for row in some:
                actor.require(row.key[0])
                invoice = session.get(InvoiceRow, row.key)
                if invoice is None or not invoice.is_open or version_of(invoice) != row.version:
                    name = invoice.number if invoice is not None else ""
                    result.left.append(f"Invoice {name or row.key[1]} has changed since you read it.")
                    continue
                change(session, invoice, attribution)
                result.done += 1
    result.undo_at = attribution.at
    return result


def pause_invoices(until_on: date | None, reason: str) -> InvoiceChange:
    """Return the change that pauses reminders for an invoice."""
    return partial(agreements.pause_reminders, until=until_on, reason=reason)


def customer_version(row: CustomerRow, setting: CustomerSetting | None) -> str:
    """Return what a user read of a customer before changing their settings."""
    read = f"{row.name} {row.emails} {setting.set_at.isoformat() if setting is not None else ''}"
    return hashlib.sha256(read.encode()).hexdigest()[:10]


def set_for_customers(app: AppContext, rows: Sequence[SeenRow], actor: Actor, changes: SettingChanges) -> BulkResult:
    """Change the settings of customers."""
    result = BulkResult()
    for some in _chunks(rows):
        with writing(app.engine) as session:
            for row in some:
                actor.require(row.key[0])
                customer = session.get(CustomerRow, row.key)
                setting = session.get(CustomerSetting, row.key)
                if customer is None or customer_version(customer, setting) != row.version:
                    name = customer.name if customer is not None else row.key[1]
                    result.left.append(f"{name} has changed since you read it.")
                    continue
                apply_settings(session, row.key[0], row.key[1], changes, by=actor.name, at=app.now())
                result.done += 1
    return result


def _may_decide(session: Session, row: SeenRow, actor: Actor, result: BulkResult) -> bool:
    entry = session.get(OutboxEntry, row.key[0])
    if entry is None:
        raise NotFound
    actor.require(entry.connection_id)
    if approvals.entry_etag(entry) != row.version:
        result.left.append(approvals.describe_change(session, entry, name_it=True))
    elif entry.state != OutboxState.AWAITING_APPROVAL:
        result.left.append(approvals.describe_state(session, entry))
    else:
        return True
    return False


def _chunks(rows: Sequence[SeenRow]) -> Iterator[Sequence[SeenRow]]:
    for start in range(0, len(rows), _PER_TRANSACTION):
        yield rows[start : start + _PER_TRANSACTION]
