"""How each connection is: mode, health, last and next run, what is left of its budget, what waits for a person."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.connections.registry import describe
from connector.db.engine import reading
from connector.db.tables import Budget, Connection, OutboxEntry, SyncRun, Task
from connector.runtime.budget import count_month_reads
from connector.vocabulary import ConnectionHealth, OutboxState, TaskState

_ATTENTION_STATES = (OutboxState.AWAITING_APPROVAL, OutboxState.UNCONFIRMED)


def status(app: AppContext) -> list[dict[str, Any]]:
    """Tell how every connection is."""
    now = app.now()
    with reading(app.engine) as session:
        entries = _entries_by_state(session)
        tasks = _open_tasks(session)
        reads = count_month_reads(session, now)
        rows = session.scalars(select(Connection).order_by(col(Connection.id)))
        return [
            {
                **describe(row),
                "running": row.lease_until_at is not None and row.lease_until_at > now,
                "last_run_at": row.last_run_at,
                "last_run": _last_run(session, row),
                "next_run_at": None
                if row.pause_reason or row.health == ConnectionHealth.DISCONNECTED
                else row.next_run_at,
                "budget": _budget(session, row),
                "provider_reads_this_month": reads.get(row.provider, 0),
                "webhooks_complete_since_at": row.webhooks_complete_since_at,
                "reconciled_at": row.reconciled_at,
                "drift": row.drift,
                "needs_attention": {
                    "approvals": entries.get((row.id, OutboxState.AWAITING_APPROVAL), 0),
                    "unconfirmed": entries.get((row.id, OutboxState.UNCONFIRMED), 0),
                    "tasks": tasks.get(row.id, 0),
                },
            }
            for row in rows
        ]


def _entries_by_state(session: Session) -> dict[tuple[int | None, str], int]:
    query = (
        select(col(OutboxEntry.connection_id), col(OutboxEntry.state), func.count())
        .where(col(OutboxEntry.state).in_(_ATTENTION_STATES))
        .group_by(col(OutboxEntry.connection_id), col(OutboxEntry.state))
    )
    return {(connection_id, state): count for connection_id, state, count in session.execute(query)}


def _open_tasks(session: Session) -> dict[int | None, int]:
    query = (
        select(col(Task.connection_id), func.count())
        .where(col(Task.state) == TaskState.OPEN)
        .group_by(col(Task.connection_id))
    )
    return dict(session.execute(query).all())


def _last_run(session: Session, row: Connection) -> dict[str, Any] | None:
    query = select(SyncRun).where(col(SyncRun.connection_id) == row.id).order_by(col(SyncRun.id).desc()).limit(1)
    run = session.scalars(query).first()
    if run is None:
        return None
    return {"id": run.id, "outcome": run.outcome, "reason": run.reason, "ended_at": run.ended_at, "counts": run.counts}


def _budget(session: Session, row: Connection) -> list[dict[str, Any]]:
    query = select(Budget).where(col(Budget.connection_id) == row.id).order_by(col(Budget.limit_name))
    return [
        {
            "limit": item.limit_name,
            "used": item.used,
            "remaining": item.remaining,
            "blocked_until_at": item.blocked_until_at,
        }
        for item in session.scalars(query)
    ]
