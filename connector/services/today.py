"""The start page, over all of a user's companies: what is owed, what needs a person, what happened and what comes next.

It is as long for twenty companies as for one, and asks the database as often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Date,
    SQLColumnExpression,
    String,
    and_,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlmodel import Session, col

from connector.connections.tokens import find_grant_ends, grant_end_text
from connector.db.tables import Connection, InvoiceDecisionRow, OutboxEntry, SyncRun, Task
from connector.reports.scope import Scope
from connector.services.attention import AttentionList, load_attention
from connector.services.receivables_totals import CurrencyTotals, load_currency_totals
from connector.services.run_progress import RunProgress, describe_progress
from connector.vocabulary import ConnectionHealth, ConnectionMode, OutboxKind, OutboxState, RunOutcome, TaskState
from policies.formatting import format_datetime

STALE_AFTER = timedelta(hours=26)
SHOWN_MAX = 5  # customers on the page; all others are behind a link
RECENTLY = timedelta(hours=24)
_COMING_DAYS = 7
# Notes are left out: each only records one of these in the accounting system
_SENT_KINDS = (OutboxKind.EMAIL, OutboxKind.OWNER_EMAIL, OutboxKind.LATE_FEE, OutboxKind.FEE_WAIVER)


@dataclass(slots=True)
class CompanySummary:
    """A company, what keeps it from being synced, and its run under way, if any."""

    row: Connection
    problems: list[str] = field(default_factory=list)
    run: SyncRun | None = None

    @property
    def progress(self) -> RunProgress | None:
        """How far its run under way has come."""
        return describe_progress(self.run) if self.run is not None else None

    @property
    def is_unread(self) -> bool:
        """Whether its invoices have not all been read yet."""
        return self.row.first_pull_done_at is None and self.row.health != ConnectionHealth.DISCONNECTED


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Everything on the page; ``sent`` and ``planned`` count outbox entries by kind, ``upcoming`` steps by date."""

    companies: list[CompanySummary]
    totals: list[CurrencyTotals]
    attention: AttentionList
    sent: Counter[str]
    planned: Counter[str]
    upcoming: Counter[date]
    coming_tasks: int

    @property
    def with_problems(self) -> list[CompanySummary]:
        """The companies that are not synced as they should be."""
        return [company for company in self.companies if company.problems]

    @property
    def observing(self) -> list[CompanySummary]:
        """The companies of which nothing is sent, whatever comes next."""
        return [
            each
            for each in self.companies
            if each.row.mode == ConnectionMode.OBSERVE and each.row.health != ConnectionHealth.DISCONNECTED
        ]

    @property
    def unread(self) -> list[CompanySummary]:
        """The companies whose invoices have not all been read yet."""
        return [company for company in self.companies if company.is_unread]

    @property
    def in_first_sync(self) -> list[CompanySummary]:
        """Those of them that are being read, or will be within a minute."""
        return [company for company in self.unread if not company.problems]


def load_dashboard(
    session: Session, rows: Sequence[Connection], now: datetime, *, is_replayed: bool = False
) -> Dashboard:
    """Load the dashboard, with as many queries for a hundred companies as for one.

    Where days are replayed (the demo), an old sync is nothing to worry about.
    """
    scope = Scope(rows, now)
    companies = [CompanySummary(row) for row in rows]
    latest = _last_runs(session, scope.ids) if rows else {}
    ends = find_grant_ends(session, rows, now) if rows else {}
    for company in companies:
        run = latest.get(company.row.id or 0)
        company.problems = list(_problems(company.row, run, None if is_replayed else now))
        if (ends_on := ends.get(company.row.id or 0)) is not None:
            company.problems.append(grant_end_text(ends_on, company.row.provider))
        company.run = run if run is not None and run.outcome is None else None
    totals = load_currency_totals(session, scope) if rows else []
    typical = {each.currency: each.typical for each in totals}
    attention = load_attention(session, scope, typical, size=SHOWN_MAX)
    dashboard = Dashboard(companies, totals, attention, Counter(), Counter(), Counter(), 0)
    return _add_counts(session, scope, dashboard) if rows else dashboard


def _add_counts(session: Session, scope: Scope, dashboard: Dashboard) -> Dashboard:
    coming_tasks = 0
    for what, kind, on, count in session.execute(_counts_query(scope)):
        if what == "upcoming" and on is not None:
            dashboard.upcoming[on] += count
        elif what == "tasks":
            coming_tasks += count
        elif what in {"sent", "planned"}:
            (dashboard.sent if what == "sent" else dashboard.planned)[kind] += count
    return replace(dashboard, coming_tasks=coming_tasks)


def _counts_query(scope: Scope) -> CompoundSelect[str, str, date | None, int]:
    """Select what was sent since yesterday, what will be sent automatically, and what the coming week brings."""
    entry_kind = cast(OutboxEntry.kind, String)
    acting = [row.id or 0 for row in scope.companies if row.mode != ConnectionMode.OBSERVE]  # the others send nothing
    entries = [
        select(literal(what), entry_kind, cast(null(), Date), func.count())
        .where(condition, col(OutboxEntry.kind).in_(_SENT_KINDS))
        .group_by(entry_kind)
        for what, condition in (
            ("sent", _sent_since(scope.ids, scope.now - RECENTLY)),
            (
                "planned",
                and_(col(OutboxEntry.connection_id).in_(acting), col(OutboxEntry.state) == OutboxState.PLANNED),
            ),
        )
    ]
    upcoming = (
        select(literal("upcoming"), literal(""), col(InvoiceDecisionRow.next_on), func.count())
        .where(
            _within_week(scope, InvoiceDecisionRow, col(InvoiceDecisionRow.next_on)),
            col(InvoiceDecisionRow.next_step).is_not(None),
        )
        .group_by(col(InvoiceDecisionRow.next_on))
    )
    tasks = select(literal("tasks"), literal(""), cast(null(), Date), func.count()).where(
        _within_week(scope, Task, col(Task.due_on)), col(Task.state) == TaskState.OPEN
    )
    return union_all(*entries, upcoming, tasks)


def _sent_since(ids: Sequence[int], since: datetime) -> ColumnElement[bool]:
    return and_(
        col(OutboxEntry.connection_id).in_(ids),
        col(OutboxEntry.ended_at) >= since,
        col(OutboxEntry.state) == OutboxState.DONE,
    )


def _within_week(
    scope: Scope,
    table: type[InvoiceDecisionRow | Task],
    on: SQLColumnExpression[date] | SQLColumnExpression[date | None],
) -> ColumnElement[bool]:
    """Return a condition for the dates from tomorrow on, by each company's own date."""
    return or_(
        *(
            and_(col(table.connection_id).in_(ids), on > today, on <= today + timedelta(days=_COMING_DAYS))
            for today, ids in scope.companies_by_date()
        )
    )


def _last_runs(session: Session, ids: Sequence[int]) -> dict[int, SyncRun]:
    newest = (
        select(func.max(SyncRun.id)).where(col(SyncRun.connection_id).in_(ids)).group_by(col(SyncRun.connection_id))
    )
    return {run.connection_id: run for run in session.scalars(select(SyncRun).where(col(SyncRun.id).in_(newest)))}


def _problems(row: Connection, run: SyncRun | None, now: datetime | None) -> Iterable[str]:
    """Yield what keeps a company from being synced, as sentences; without ``now``, no sync is too long ago."""
    if row.health == ConnectionHealth.DISCONNECTED:
        return
    if row.health in {ConnectionHealth.AUTHORIZATION_EXPIRED, ConnectionHealth.FAILING}:
        yield row.health_reason or "It has to be reconnected."
    elif run is not None and run.outcome in {RunOutcome.ACTION_REQUIRED, RunOutcome.FAILED}:
        yield run.reason or "The last sync did not complete."
    if row.pause_reason:
        yield f"Paused: {row.pause_reason}"
    elif now is not None and row.synced_at is not None and now - row.synced_at > STALE_AFTER:
        yield f"Last synced on {format_datetime(row.synced_at)}."
