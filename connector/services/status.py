"""The status of each connection: mode, health, last and next run, call budget, and what needs attention."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.connections.registry import ConnectionItem, as_item
from connector.connections.tokens import find_grant_ends
from connector.db.engine import reading
from connector.db.tables import Budget, Connection, OutboxEntry, SyncRun, Task
from connector.results import Result
from connector.runtime.budget import count_month_reads
from connector.services.outbox_search import ATTENTION_STATES
from connector.vocabulary import ConnectionHealth, LimitWindow, OutboxState, RunOutcome, TaskState


class LastRun(Result):
    """The last run of a connection; ``outcome`` is None while it is under way."""

    id: int
    outcome: RunOutcome | None
    reason: str
    ended_at: datetime | None
    counts: dict[str, int] | None


class BudgetItem(Result):
    """What is left of one of the provider's call limits."""

    limit: LimitWindow
    used: int
    remaining: int | None
    blocked_until_at: datetime | None


class AttentionCounts(Result):
    """How many outbox entries and tasks need a user."""

    approvals: int
    unconfirmed: int
    tasks: int


class ConnectionStatus(ConnectionItem):
    """The status of a connection.

    ``reconciled_at`` is when its open documents were last compared one by one, ``drift`` how many of them had to be
    corrected, ever; ``provider_reads_this_month`` counts the reads of all companies at the same provider;
    ``authorization_ends_on`` is when only a new consent helps, if that is within 60 days.
    """

    running: bool
    last_run_at: datetime | None
    last_run: LastRun | None
    next_run_at: datetime | None
    budget: list[BudgetItem]
    provider_reads_this_month: int
    webhooks_complete_since_at: datetime | None
    reconciled_at: datetime | None
    drift: int
    authorization_ends_on: date | None
    needs_attention: AttentionCounts


def list_statuses(app: AppContext) -> list[ConnectionStatus]:
    """Return the status of every connection."""
    now = app.now()
    with reading(app.engine) as session:
        entries, tasks, reads = _count_entries(session), _count_open_tasks(session), count_month_reads(session, now)
        rows = session.scalars(select(Connection).order_by(col(Connection.id))).all()
        ends = find_grant_ends(session, rows, now)
        return [
            ConnectionStatus(
                **as_item(row).model_dump(),
                running=row.lease_until_at is not None and row.lease_until_at > now,
                last_run_at=row.last_run_at,
                last_run=_last_run(session, row),
                next_run_at=row.next_run_at if _is_scheduled(row) else None,
                budget=_budget(session, row),
                provider_reads_this_month=reads.get(row.provider, 0),
                webhooks_complete_since_at=row.webhooks_complete_since_at,
                reconciled_at=row.reconciled_at,
                drift=row.drift,
                authorization_ends_on=ends.get(row.id or 0),
                needs_attention=AttentionCounts(
                    approvals=entries.get((row.id, OutboxState.AWAITING_APPROVAL), 0),
                    unconfirmed=entries.get((row.id, OutboxState.UNCONFIRMED), 0),
                    tasks=tasks.get(row.id, 0),
                ),
            )
            for row in rows
        ]


def _is_scheduled(row: Connection) -> bool:
    return not row.pause_reason and row.health is not ConnectionHealth.DISCONNECTED


def _count_entries(session: Session) -> dict[tuple[int | None, str], int]:
    query = (
        select(col(OutboxEntry.connection_id), col(OutboxEntry.state), func.count())
        .where(col(OutboxEntry.state).in_(ATTENTION_STATES))
        .group_by(col(OutboxEntry.connection_id), col(OutboxEntry.state))
    )
    return {(connection_id, state): count for connection_id, state, count in session.execute(query)}


def _count_open_tasks(session: Session) -> dict[int | None, int]:
    query = (
        select(col(Task.connection_id), func.count())
        .where(col(Task.state) == TaskState.OPEN)
        .group_by(col(Task.connection_id))
    )
    return dict(session.execute(query).all())


def _last_run(session: Session, row: Connection) -> LastRun | None:
    query = select(SyncRun).where(col(SyncRun.connection_id) == row.id).order_by(col(SyncRun.id).desc()).limit(1)
    run = session.scalars(query).first()
    return None if run is None else LastRun.model_validate(run, from_attributes=True)


def _budget(session: Session, row: Connection) -> list[BudgetItem]:
    query = select(Budget).where(col(Budget.connection_id) == row.id).order_by(col(Budget.limit_name))
    return [
        BudgetItem(
            limit=budget.limit_name,
            used=budget.used,
            remaining=budget.remaining,
            blocked_until_at=budget.blocked_until_at,
        )
        for budget in session.scalars(query)
    ]
