"""How each connection is: mode, health, last and next run, what is left of its budget, what waits for a person."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.access.connections import describe
from connector.budget import reads_this_month
from connector.database import reading
from connector.installation import Installation
from connector.tables import Budget, Connection, OutboxEntry, SyncRun, Task

_PERSON_STATES = ("waiting", "doubt")


def status(installation: Installation) -> list[dict[str, Any]]:
    """Tell how every connection is."""
    now = installation.now()
    with reading(installation.engine) as session:
        entries = _entries_by_state(session)
        tasks = _open_tasks(session)
        reads = reads_this_month(session, now)
        rows = session.scalars(select(Connection).order_by(col(Connection.id)))
        return [
            {
                **describe(row),
                "running": row.lease_until_at is not None and row.lease_until_at > now,
                "last_run_at": row.last_run_at,
                "last_run": _last_run(session, row),
                "next_run_at": None if row.paused_why or row.health == "disconnected" else row.next_run_at,
                "budget": _budget(session, row),
                "reads_of_all": reads.get(row.provider, 0),
                "webhook_trusted_since_at": row.announced_since_at,
                "compared_at": row.reconciled_at,
                "drift": row.drift,
                "waiting": {
                    "approvals": entries.get((row.id, "waiting"), 0),
                    "doubts": entries.get((row.id, "doubt"), 0),
                    "tasks": tasks.get(row.id, 0),
                },
            }
            for row in rows
        ]


def _entries_by_state(session: Session) -> dict[tuple[int | None, str], int]:
    query = (
        select(col(OutboxEntry.connection_id), col(OutboxEntry.state), func.count())
        .where(col(OutboxEntry.state).in_(_PERSON_STATES))
        .group_by(col(OutboxEntry.connection_id), col(OutboxEntry.state))
    )
    return {(connection_id, state): count for connection_id, state, count in session.execute(query)}


def _open_tasks(session: Session) -> dict[int | None, int]:
    query = (
        select(col(Task.connection_id), func.count()).where(col(Task.state) == "open").group_by(col(Task.connection_id))
    )
    return dict(session.execute(query).all())


def _last_run(session: Session, row: Connection) -> dict[str, Any] | None:
    query = select(SyncRun).where(col(SyncRun.connection_id) == row.id).order_by(col(SyncRun.id).desc()).limit(1)
    run = session.scalars(query).first()
    if run is None:
        return None
    return {"id": run.id, "outcome": run.outcome, "why": run.why, "ended_at": run.ended_at, "numbers": run.numbers}


def _budget(session: Session, row: Connection) -> list[dict[str, Any]]:
    query = select(Budget).where(col(Budget.connection_id) == row.id).order_by(col(Budget.limit_name))
    return [
        {"limit": item.limit_name, "used": item.used, "left": item.remaining, "blocked_until_at": item.blocked_until_at}
        for item in session.scalars(query)
    ]
