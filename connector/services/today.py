"""The start page, over all of a user's companies: what needs attention, what was sent and what comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, func, select
from sqlmodel import Session, col

from connector.db.tables import Connection, CustomerRow, InvoiceDecisionRow, OutboxEntry, SyncRun, Task
from connector.evaluation import exceptions
from connector.vocabulary import ConnectionHealth, OutboxState, TaskState
from policies.formatting import format_datetime

STALE_AFTER = timedelta(hours=26)
SHOWN_MAX = 25
_RECENTLY = timedelta(hours=24)
_COMING_DAYS = 7
_NOW = datetime.min.replace(tzinfo=UTC)  # sorts what is sent with the next sync before what waits
_SENT_KINDS = (
    "email",
    "owner_email",
    "late_fee",
    "fee_waiver",
)  # notes are left out: each only records one of these in the accounting system


class TaskRow(NamedTuple):
    """A task with its customer's name and its company."""

    task: Task
    customer: str
    company: Connection


class EntryRow(NamedTuple):
    """An outbox entry with its customer's name and its company."""

    entry: OutboxEntry
    customer: str
    company: Connection


@dataclass(slots=True)
class CompanySummary:
    """A company, and how much of it needs attention."""

    row: Connection
    approvals: int = 0
    unconfirmed: int = 0
    tasks: int = 0
    exceptions: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def needs_attention(self) -> bool:
        """Return whether anything does."""
        return bool(self.approvals or self.unconfirmed or self.tasks or self.exceptions or self.problems)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Everything on the page; lists have up to ``SHOWN_MAX`` items, counts are complete."""

    companies: list[CompanySummary]
    tasks: list[TaskRow]
    exceptions: list[exceptions.ListedException]
    sent: list[EntryRow]
    sent_counts: Counter[str]
    planned: list[EntryRow]
    upcoming: list[tuple[date, str, int]]

    @property
    def omitted(self) -> dict[str, int]:
        """Return how many tasks and exceptions are not shown."""
        counted = {"tasks": sum(each.tasks for each in self.companies)}
        counted["exceptions"] = sum(each.exceptions for each in self.companies)
        return {"tasks": counted["tasks"] - len(self.tasks), "exceptions": counted["exceptions"] - len(self.exceptions)}

    @property
    def needing_attention(self) -> list[CompanySummary]:
        """Return the companies that need attention."""
        return [company for company in self.companies if company.needs_attention]


def load_dashboard(session: Session, rows: Sequence[Connection], now: datetime) -> Dashboard:
    """Load the dashboard, with as many queries for a hundred companies as for one."""
    companies = {row.id or 0: CompanySummary(row) for row in rows}
    ids = list(companies)
    for connection_id, state, count in session.execute(_entry_counts_query(ids)):
        if state == "awaiting_approval":
            companies[connection_id].approvals = count
        else:
            companies[connection_id].unconfirmed = count
    for connection_id, count in session.execute(_task_counts_query(ids)):
        companies[connection_id].tasks = count
    for connection_id, count in exceptions.count_by_company(session, ids).items():
        companies[connection_id].exceptions = count
    ended = _last_runs(session, ids)
    for connection_id, company in companies.items():
        company.problems = list(_problems(company.row, ended.get(connection_id), now))
    since = now - _RECENTLY
    return Dashboard(
        companies=list(companies.values()),
        tasks=list_open_tasks(session, companies, size=SHOWN_MAX),
        exceptions=exceptions.list_open(session, ids, size=SHOWN_MAX),
        sent=_entries(
            session, companies, col(OutboxEntry.ended_at) >= since, col(OutboxEntry.state) == OutboxState.DONE
        ),
        sent_counts=_sent_counts(session, ids, since),
        planned=_planned(session, companies),
        upcoming=_upcoming(session, ids, now.date()),
    )


def _entry_counts_query(ids: Sequence[int]) -> Select[int, OutboxState, int]:
    return (
        select(col(OutboxEntry.connection_id), col(OutboxEntry.state), func.count())
        .where(
            col(OutboxEntry.connection_id).in_(ids),
            col(OutboxEntry.state).in_([OutboxState.AWAITING_APPROVAL, OutboxState.UNCONFIRMED]),
        )
        .group_by(col(OutboxEntry.connection_id), col(OutboxEntry.state))
    )


def _task_counts_query(ids: Sequence[int]) -> Select[int, int]:
    return (
        select(col(Task.connection_id), func.count())
        .where(col(Task.connection_id).in_(ids), col(Task.state) == TaskState.OPEN)
        .group_by(col(Task.connection_id))
    )


def _last_runs(session: Session, ids: Sequence[int]) -> dict[int, SyncRun]:
    newest = (
        select(func.max(SyncRun.id)).where(col(SyncRun.connection_id).in_(ids)).group_by(col(SyncRun.connection_id))
    )
    return {run.connection_id: run for run in session.scalars(select(SyncRun).where(col(SyncRun.id).in_(newest)))}


def _problems(row: Connection, run: SyncRun | None, now: datetime) -> Iterable[str]:
    """Yield what keeps a company from being synced, as sentences."""
    if row.health == ConnectionHealth.DISCONNECTED:
        return
    if row.health in {ConnectionHealth.AUTHORIZATION_EXPIRED, ConnectionHealth.FAILING}:
        yield row.health_reason or "It has to be reconnected."
    elif run is not None and run.outcome in {"action_required", "failed"}:
        yield run.reason or "The last sync did not complete."
    if row.pause_reason:
        yield f"Paused: {row.pause_reason}"
    elif row.synced_at is not None and now - row.synced_at > STALE_AFTER:
        yield f"Last synced on {format_datetime(row.synced_at)}."


def list_open_tasks(
    session: Session, companies: Mapping[int, CompanySummary], *, size: int, offset: int = 0
) -> list[TaskRow]:
    """List a page of the open tasks, the earliest due first."""
    query = (
        select(Task, col(CustomerRow.name))
        .outerjoin(CustomerRow, _customer_of(Task))
        .where(col(Task.connection_id).in_(list(companies)), col(Task.state) == TaskState.OPEN)
        .order_by(col(Task.due_on), col(Task.id))
        .limit(size)
        .offset(offset)
    )
    return [TaskRow(task, name or "", companies[task.connection_id].row) for task, name in session.execute(query)]


def _planned(session: Session, companies: dict[int, CompanySummary]) -> list[EntryRow]:
    """Return what is planned and will be sent automatically; companies in observe mode send nothing."""
    acting = {each: company for each, company in companies.items() if company.row.mode != "observe"}
    found = _entries(session, acting, col(OutboxEntry.state) == OutboxState.PLANNED)
    return sorted(found, key=lambda each: each.entry.send_after or _NOW)


def _entries(
    session: Session, companies: dict[int, CompanySummary], *conditions: ColumnElement[bool]
) -> list[EntryRow]:
    query = (
        select(OutboxEntry, col(CustomerRow.name))
        .outerjoin(CustomerRow, _customer_of(OutboxEntry))
        .where(col(OutboxEntry.connection_id).in_(list(companies)), col(OutboxEntry.kind).in_(_SENT_KINDS), *conditions)
        .order_by(col(OutboxEntry.ended_at).desc(), col(OutboxEntry.id).desc())
        .limit(SHOWN_MAX)
    )
    return [EntryRow(entry, name or "", companies[entry.connection_id].row) for entry, name in session.execute(query)]


def _sent_counts(session: Session, ids: Sequence[int], since: datetime) -> Counter[str]:
    query = (
        select(col(OutboxEntry.kind), func.count())
        .where(
            col(OutboxEntry.connection_id).in_(ids),
            col(OutboxEntry.ended_at) >= since,
            col(OutboxEntry.state) == OutboxState.DONE,
        )
        .group_by(col(OutboxEntry.kind))
    )
    return Counter({str(kind): int(count) for kind, count in session.execute(query)})


def _upcoming(session: Session, ids: Sequence[int], today: date) -> list[tuple[date, str, int]]:
    """Return, for the coming days, how many invoices have which next step, by their latest decision."""
    query = (
        select(col(InvoiceDecisionRow.next_on), col(InvoiceDecisionRow.next_step), func.count())
        .where(
            col(InvoiceDecisionRow.connection_id).in_(ids),
            col(InvoiceDecisionRow.next_on) > today,
            col(InvoiceDecisionRow.next_on) <= today + timedelta(days=_COMING_DAYS),
            col(InvoiceDecisionRow.next_step).is_not(None),
        )
        .group_by(col(InvoiceDecisionRow.next_on), col(InvoiceDecisionRow.next_step))
        .order_by(col(InvoiceDecisionRow.next_on), col(InvoiceDecisionRow.next_step))
    )
    return [(on, step, count) for on, step, count in session.execute(query) if on is not None and step is not None]


def _customer_of(table: type[Task | OutboxEntry]) -> ColumnElement[bool]:
    same_company = col(CustomerRow.connection_id) == col(table.connection_id)
    return same_company & (col(CustomerRow.external_id) == col(table.customer_id))
