"""What is in the job queue of PostgreSQL: read with plain SQL, so that only workers load its library."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text
from sqlmodel import Session

STALLED_AFTER = timedelta(minutes=1)  # since a worker's last heartbeat, of which there is one every ten seconds
_IS_STALLED = (
    "status = 'doing' AND NOT EXISTS (SELECT 1 FROM procrastinate_workers AS worker"
    " WHERE worker.id = job.worker_id AND worker.last_heartbeat > now() - make_interval(secs => :seconds))"
)
_COUNTS = f"""
SELECT count(*) FILTER (WHERE status = 'todo') AS todo,
    count(*) FILTER (WHERE status = 'doing') AS doing, count(*) FILTER (WHERE {_IS_STALLED}) AS stalled
FROM procrastinate_jobs AS job
"""  # noqa: S608 - our own condition
_DELETE_STALLED = f"DELETE FROM procrastinate_jobs AS job WHERE {_IS_STALLED}"  # noqa: S608 - our own condition
_SECONDS = {"seconds": STALLED_AFTER.total_seconds()}


def has_queue(session: Session) -> bool:
    """Return whether this database has a job queue; one without workers, or on SQLite, has none."""
    if session.get_bind().dialect.name != "postgresql":
        return False
    return session.execute(text("SELECT to_regclass('procrastinate_jobs')")).scalar() is not None


def count_jobs(session: Session) -> dict[str, int]:
    """Count the jobs by state: todo, doing, and of those doing the stalled ones; empty without a queue."""
    return dict(session.execute(text(_COUNTS), _SECONDS).mappings().one()) if has_queue(session) else {}


def list_queueing_locks(session: Session) -> set[str]:
    """List what waits in the queue.

    What is being done is not listed: its lease says so. A worker that is killed before it has one must not keep the
    company waiting until its job is cleared away.
    """
    query = "SELECT queueing_lock FROM procrastinate_jobs WHERE status = 'todo'"
    return set(session.execute(text(query)).scalars())


def clear_stalled(session: Session) -> None:
    """Delete the jobs of workers that are gone.

    Once a dead worker's row is removed, its jobs stay ``doing`` without one and nobody finds them (procrastinate's
    issue 1518). What they did is in the connections' rows.
    """
    session.execute(text(_DELETE_STALLED), _SECONDS)
