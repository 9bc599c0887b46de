"""The lease on a connection: one run at a time, on one machine or many, with nothing to clean up after a kill.

There are two guards. A file lock separates the runs on *this* machine and dies with its process, so that a killed run
is taken over at once. The lease in the connection's row separates *machines*; it expires, or ends when its owner is
known to be dead (``worker_beats``), and its ``fence`` number makes a late write of an owner that was declared dead fail
instead of mixing with the new owner's.
"""

from __future__ import annotations

import os
import secrets
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import and_, bindparam, not_, or_, select, update
from sqlmodel import Session, SQLModel, col

from connector.app_context import AppContext
from connector.db.engine import writing
from connector.db.tables import Connection
from connector.geo import is_reached
from connector.vocabulary import ConnectionHealth

LEASE_DURATION = timedelta(minutes=10)  # longer than the slowest single call; every write of the run renews it
CLOCK_SKEW = timedelta(minutes=5)  # between machines
MAX_UTC_OFFSET = timedelta(hours=14)  # where a day starts first
MAX_RUN_DELAY = timedelta(days=8)  # longer than any interval: a run planned later was planned by a wrong clock


# Every write of a run begins with it: on the table, and built once, it takes a fifth of the time.
_CONNECTIONS = SQLModel.metadata.tables["connection"]
_RENEW = (
    update(_CONNECTIONS)
    .where(_CONNECTIONS.c.id == bindparam("of_id"), _CONNECTIONS.c.fence == bindparam("of_fence"))
    .values(lease_until_at=bindparam("until_at"))
)
_RELEASE = (
    update(_CONNECTIONS)
    .where(_CONNECTIONS.c.id == bindparam("of_id"), _CONNECTIONS.c.fence == bindparam("of_fence"))
    .values(lease_until_at=None, lease_owner="")
)
_OWNER = (
    select(_CONNECTIONS.c.fence, _CONNECTIONS.c.lease_until_at, _CONNECTIONS.c.lease_owner)
    .where(_CONNECTIONS.c.id == bindparam("of_id"))
    .with_for_update()
)
_CLAIM = (
    update(_CONNECTIONS)
    .where(_CONNECTIONS.c.id == bindparam("of_id"))
    .values(fence=bindparam("new_fence"), lease_until_at=bindparam("until_at"), lease_owner=bindparam("new_owner"))
)


class RunInProgress(Exception):
    """Another run of this connection is under way."""


class LeaseLost(Exception):
    """Another machine has taken over the connection: this run must stop and write nothing more."""


@dataclass(slots=True)
class Lease:
    """The right to run a connection; ``fence`` grows by one with every owner."""

    app: AppContext
    connection_id: int
    fence: int
    is_released: bool = False  # committed with the last write of the run

    def renew(self, session: Session) -> None:
        """Extend the lease in the caller's transaction; raise ``LeaseLost`` if it has another owner."""
        until_at = self.app.now() + LEASE_DURATION
        values = {"of_id": self.connection_id, "of_fence": self.fence, "until_at": until_at}
        if session.connection().execute(_RENEW, values).rowcount != 1:
            raise LeaseLost(_lease_lost_message(self.connection_id))

    def release(self, session: Session) -> None:
        """End the lease in the caller's transaction, which is the last of the run."""
        session.connection().execute(_RELEASE, {"of_id": self.connection_id, "of_fence": self.fence})

    def check(self, session: Session) -> None:
        """Raise ``LeaseLost`` if the lease has another owner."""
        fence = session.scalars(select(col(Connection.fence)).where(col(Connection.id) == self.connection_id)).one()
        if fence != self.fence:
            raise LeaseLost(_lease_lost_message(self.connection_id))


@contextmanager
def acquire(app: AppContext, connection_id: int) -> Iterator[Lease]:
    """Hold the lease of a connection for one run; raise ``RunInProgress`` at once if another run holds it."""
    lock = _run_lock(app.settings.duewell_home, connection_id)
    try:
        lock.acquire(blocking=False)
    except Timeout as taken:
        message = f"a run of connection {connection_id} is under way"
        raise RunInProgress(message) from taken
    try:
        lease = _claim(app, connection_id)
        try:
            yield lease
        finally:
            if not lease.is_released:
                with writing(app.engine, company_id=connection_id) as session:
                    lease.release(session)
    finally:
        lock.release()


def list_due(
    session: Session, now: datetime, limit: int, *, home: Path | None = None, connection_id: int | None = None
) -> list[int]:
    """List the connections that are due and not being run, the longest overdue first; or only one of them.

    Nothing is claimed: each run acquires its own lease, so two workers that read the same list run nothing twice.
    With ``home``, duewell's folder, a lease of a process of this machine that was killed is not waited for.
    """
    own = "" if home is None else _machine(home)
    is_running = and_(
        col(Connection.lease_until_at) >= now, col(Connection.lease_until_at) <= now + LEASE_DURATION + CLOCK_SKEW
    )
    rows = session.execute(
        select(
            col(Connection.id),
            col(Connection.pause_reason),
            col(Connection.paused_until_on),
            col(Connection.time_zone),
            is_running.label("is_running"),
        )
        .where(
            *([col(Connection.id) == connection_id] if connection_id is not None else []),
            or_(col(Connection.pause_reason) == "", col(Connection.paused_until_on) <= (now + MAX_UTC_OFFSET).date()),
            col(Connection.health) != ConnectionHealth.DISCONNECTED,
            or_(
                col(Connection.next_run_at).is_(None),
                col(Connection.next_run_at) <= now,
                col(Connection.next_run_at) > now + MAX_RUN_DELAY,
            ),
            or_(
                col(Connection.lease_until_at).is_(None),
                not_(is_running),
                *([col(Connection.lease_owner).startswith(f"{own}:", autoescape=True)] if home else []),
            ),
        )
        .order_by(col(Connection.next_run_at))
    )
    due = (
        row.id
        for row in rows
        if (not row.pause_reason or is_reached(row.paused_until_on, row.time_zone, now))
        and not (row.is_running and home and _is_locked(home, row.id))
    )
    return list(islice(due, limit))


def lease_owner(home: Path) -> str:
    """Return the name by which this process owns leases: of its machine, of duewell's folder there, and its number."""
    return f"{_machine(home)}:{os.getpid()}"


def next_run_slot(app: AppContext, connection: Connection) -> datetime:
    """Return when the connection is due next: at its own second of the interval, so that not all are due at once."""
    interval_s = app.settings.duewell_interval_minutes * 60
    offset_s = zlib.crc32(f"{connection.provider}:{connection.external_id}".encode()) % interval_s
    now = app.now()
    now_s = int(now.timestamp())
    return datetime.fromtimestamp(now_s - (now_s - offset_s) % interval_s + interval_s, now.tzinfo)


def _claim(app: AppContext, connection_id: int) -> Lease:
    home = app.settings.duewell_home
    now = app.now()
    with writing(app.engine, company_id=connection_id) as session:
        database = session.connection()
        row = database.execute(_OWNER, {"of_id": connection_id}).one()
        # A lease of this machine belongs to a dead process: a living one would hold the file lock.
        # One that ends later than a lease can was taken by a wrong clock.
        is_running = row.lease_until_at is not None and now < row.lease_until_at <= now + LEASE_DURATION + CLOCK_SKEW
        if is_running and not row.lease_owner.startswith(f"{_machine(home)}:"):
            message = (
                f"connection {connection_id} is being run by {row.lease_owner} until {row.lease_until_at:%H:%M:%S} UTC"
            )
            raise RunInProgress(message)
        fence = row.fence + 1
        values = {
            "of_id": connection_id,
            "new_fence": fence,
            "until_at": now + LEASE_DURATION,
            "new_owner": lease_owner(home),
        }
        database.execute(_CLAIM, values)
    return Lease(app, connection_id, fence)


def _lease_lost_message(connection_id: int) -> str:
    return f"connection {connection_id} was taken over by another worker"


def _run_lock(home: Path, connection_id: int) -> FileLock:
    return FileLock(_locks(home) / f"run-{connection_id}.lock", mode=0o600)


def _is_locked(home: Path, connection_id: int) -> bool:
    """Return whether a living process of this machine runs the connection."""
    lock = _run_lock(home, connection_id)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def _locks(home: Path) -> Path:
    folder = home / "locks"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _machine(home: Path) -> str:
    """Return the name of those that share file locks: machines, or containers, may have the same host name."""
    file = _locks(home) / "id"
    if not file.exists():
        whole = file.with_name(secrets.token_hex(4))
        whole.write_text(whole.name, encoding="ascii")
        with suppress(FileExistsError):
            file.hardlink_to(whole)  # so that nobody reads it half written, not even after a crash
        whole.unlink()
    return f"{socket.gethostname()}/{file.read_text(encoding='ascii')}"
