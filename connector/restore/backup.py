"""Backup and restore of the embedded SQLite database: one consistent file, written while everything is running.

A backup does not hold the key that encrypts the tokens: whoever finds the file must not get access to a company. Keep
``secret.key`` in another place; without it a restored duewell works, but its companies have to be connected again.

A restored database does not know what was sent after the backup. So that nothing is sent twice, live connections are
set to mode ``approve``, approvals are withdrawn, and each planned ledger write is searched for in the ledger before it
is made. ``restored_at`` is for code that searches the email service's log as well.

Nor does it know whose access was revoked since. Sessions and sign-in links end, and what the replaced database knows
as revoked is revoked again (``connector/restore/revocations.py``).
"""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session
from sqlmodel import col

import migrations
from connector.audit import sync_log
from connector.db.engine import DatabaseError, is_known_revision, open_engine, sqlite_file, upgrade, writing
from connector.db.tables import Connection, KeyValue, OutboxEntry, SignInLink, WebSession
from connector.restore.revocations import reapply_revocations
from connector.secrets.private_files import private_file, private_folder, sync_folder
from connector.vocabulary import ConnectionMode, LogKind, OutboxKind, OutboxState
from policies.formatting import format_datetime

_BACKUP_KEY, _RESTORED_KEY = "backup", "restored"
_UNKNOWN_AGE = timedelta(days=30)
_APP_WIDE = 0  # connection_id of values that belong to no connection


@dataclass(frozen=True, slots=True)
class Backup:
    """The stamp inside a backup: when it was made, and an id of its own."""

    id: str
    created_at: datetime
    schema: str


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What a restore did. ``backup`` is None for a copy without a stamp.

    ``replaced_file`` is the database it replaced; ``access_revoked``: what was revoked since the backup stays revoked.
    """

    backup: Backup | None
    replaced_file: Path | None
    access_revoked: bool


def write_backup(engine: Engine, file: Path, *, at: datetime) -> Backup:
    """Write a consistent copy of the database to ``file`` (mode 0600), while others go on reading and writing.

    Raises:
        DatabaseError: the database is PostgreSQL, or ``file`` is something other than an older backup.

    """
    source = sqlite_file(engine)
    if source is None:
        message = "only the embedded SQLite database is backed up here; for PostgreSQL use pg_dump"
        raise DatabaseError(message)
    if file.exists():
        _refuse_to_overwrite(file, source)
    backup = Backup(uuid.uuid4().hex, at.astimezone(UTC), migrations.HEAD)
    draft = private_file(file.with_name(f".{file.name}.{backup.id[:8]}"))
    try:
        _copy(source, draft)
        _write_stamp(draft, backup)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(file.absolute().parent)
    return backup


def restore_backup(database_url: str, file: Path, *, at: datetime) -> RestoreResult:
    """Replace the database with ``file``, and keep the replaced one beside it. Nothing else may be running.

    Everything is prepared in a copy first: a backup that is damaged, or of a newer version, changes nothing.

    Raises:
        DatabaseError: the database is PostgreSQL or in use, or ``file`` cannot be restored.

    """
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        message = "only the embedded SQLite database is restored here; for PostgreSQL use pg_restore"
        raise DatabaseError(message)
    target = Path(url.database).absolute()
    backup = _read_stamp(file)
    draft = private_file(private_folder(target.parent) / f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        _copy(file, draft)
        _prepare(draft, backup, at)
        replaced = _keep_replaced(target, at) if target.exists() else None
        access_revoked = replaced is not None and reapply_revocations(draft, replaced)
        target.with_suffix(".log-head").unlink(missing_ok=True)  # of the replaced database (rollback_detection.py)
        draft.replace(target)
    finally:
        for leftover in (draft, *_sidecar_files(draft)):
            leftover.unlink(missing_ok=True)
    sync_folder(target.parent)
    return RestoreResult(backup, replaced, access_revoked)


def restored_at(session: Session) -> datetime | None:
    """Return when this database was last restored, None if it never was."""
    fact = session.get(KeyValue, (_APP_WIDE, _RESTORED_KEY))
    return datetime.fromisoformat(fact.value["at"]) if fact else None


class RestoreGap(NamedTuple):
    """The time of which a restored database knows nothing: from its backup to its restore."""

    from_at: datetime
    to_at: datetime


def restore_gap(session: Session) -> RestoreGap | None:
    """Return the time this database knows nothing of, None if it was never restored.

    A backup of unknown age counts as 30 days old.
    """
    fact = session.get(KeyValue, (_APP_WIDE, _RESTORED_KEY))
    if fact is None:
        return None
    restored, created_at = datetime.fromisoformat(fact.value["at"]), fact.value["created_at"]
    return RestoreGap(datetime.fromisoformat(created_at) if created_at else restored - _UNKNOWN_AGE, restored)


def _copy(source: Path, target: Path) -> None:
    """Copy a database in one step, so that all pages are from the same instant, and check the copy."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)
            writer.execute("PRAGMA journal_mode=DELETE")  # one file, without -wal and -shm
            (verdict,) = writer.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        message = f"{source} cannot be read as a database: {error}"
        raise DatabaseError(message) from error
    if verdict != "ok":
        message = f"{source} is damaged: {verdict}"
        raise DatabaseError(message)


def _write_stamp(file: Path, backup: Backup) -> None:
    engine = open_engine(f"sqlite:///{file}")
    try:
        with writing(engine) as session:
            value = {"id": backup.id, "created_at": backup.created_at.isoformat(), "schema": backup.schema}
            session.merge(KeyValue(connection_id=_APP_WIDE, name=_BACKUP_KEY, value=value, stored_at=backup.created_at))
        _leave_wal(engine)
    finally:
        engine.dispose()
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _leave_wal(engine: Engine) -> None:
    engine.dispose()
    with closing(sqlite3.connect(str(sqlite_file(engine)))) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def _read_stamp(file: Path) -> Backup | None:
    """Return the stamp of a backup, None where it has none. Raises ``DatabaseError`` for a file of another kind."""
    if not file.is_file():
        message = f"there is no file {file}"
        raise DatabaseError(message)
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            (revision,) = reader.execute("SELECT version_num FROM alembic_version").fetchone()
            stamp = reader.execute("SELECT value FROM key_value WHERE name = ?", (_BACKUP_KEY,)).fetchone()
    except sqlite3.DatabaseError as error:
        message = f"{file} is not a database of duewell ({error}); choose a file that `duewell backup` wrote"
        raise DatabaseError(message) from error
    if not is_known_revision(revision):
        message = f"{file} was written by a newer duewell (its schema is {revision}); update duewell first"
        raise DatabaseError(message)
    value = json.loads(stamp[0]) if stamp else None
    return Backup(value["id"], datetime.fromisoformat(value["created_at"]), value["schema"]) if value else None


def _prepare(file: Path, backup: Backup | None, at: datetime) -> None:
    """Upgrade the copy and mark it as restored, so that nothing is sent from it without approval."""
    engine = open_engine(f"sqlite:///{file}")
    try:
        upgrade(engine)
        with writing(engine) as session:
            _mark_restored(session, backup, at)
        _leave_wal(engine)
    finally:
        engine.dispose()


def _mark_restored(session: Session, backup: Backup | None, at: datetime) -> None:
    created_at = backup.created_at if backup else None
    source = f"a backup of {format_datetime(created_at)}" if created_at else "a copy of unknown age"
    _require_approval(session, created_at, at, source=source, backup_id=backup.id if backup else "")


def mark_restored_by_hand(session: Session, created_at: datetime | None, at: datetime) -> None:
    """Mark a database that was copied back by hand, and that knows nothing after ``created_at``, as restored."""
    source = f"a copy of {format_datetime(created_at)}, by hand" if created_at else "a copy of unknown age, by hand"
    _require_approval(session, created_at, at, source=source, backup_id="")


def _require_approval(
    session: Session, created_at: datetime | None, at: datetime, *, source: str, backup_id: str
) -> None:
    """Make everything that is still to be sent wait for approval, and end all sessions."""
    value = {"at": at.isoformat(), "created_at": created_at.isoformat() if created_at else None}
    session.merge(KeyValue(connection_id=_APP_WIDE, name=_RESTORED_KEY, value=value, stored_at=at))
    unsent = col(OutboxEntry.state).in_([OutboxState.PLANNED, OutboxState.AWAITING_APPROVAL])
    session.execute(
        update(OutboxEntry)
        .where(unsent, col(OutboxEntry.kind).in_([OutboxKind.EMAIL, OutboxKind.LATE_FEE]))
        .values(state=OutboxState.AWAITING_APPROVAL, approved_at=None, approved_by="")
    )
    # A run first resolves entries in state sending: it searches the ledger, and never repeats a write blindly.
    session.execute(
        update(OutboxEntry)
        .where(unsent, col(OutboxEntry.kind).not_in([OutboxKind.EMAIL, OutboxKind.LATE_FEE]))
        .values(state=OutboxState.SENDING, dispatched_at=created_at or at)
    )
    for connection in session.scalars(select(Connection).where(col(Connection.mode) == ConnectionMode.LIVE)):
        connection.mode = ConnectionMode.APPROVE
        connection.decision_fingerprint = ""
    for table in (WebSession, SignInLink):  # may have ended or been used since: all users sign in again
        session.execute(delete(table))
    text = f"Restored from {source}. What was sent since is not known: everything waits for approval."
    sync_log.write(session, at=at, kind=LogKind.RESTORED, text=text, facts={"backup": backup_id})


def _keep_replaced(target: Path, at: datetime) -> Path:
    """Link the current database to a second name, so that a rename replaces the first in one step."""
    _refuse_if_running(target)
    kept = target.with_name(f"{target.name}.replaced-{at.astimezone(UTC):%Y%m%dT%H%M%S}")
    while kept.exists():  # restored twice within a second, or killed and restarted
        kept = kept.with_name(f"{kept.name}-again")
    for sidecar in _sidecar_files(target):  # of a damaged database: they must not be taken for the restored one's
        if sidecar.exists():
            sidecar.rename(kept.with_name(kept.name + sidecar.name.removeprefix(target.name)))
    os.link(target, kept)
    return kept


def _refuse_if_running(target: Path) -> None:
    """Raise where another process has the database open: only without one does SQLite leave write-ahead mode."""
    try:
        with closing(sqlite3.connect(target, timeout=1)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            return
        mode = "wal"
    except sqlite3.DatabaseError:
        return  # damaged: nobody is using it
    if mode == "wal":
        message = "duewell is running with this database: stop it (serve, worker, run), then restore"
        raise DatabaseError(message)


def _refuse_to_overwrite(file: Path, source: Path) -> None:
    if file.samefile(source):
        message = f"{file} is the database itself; choose another file"
        raise DatabaseError(message)
    try:
        stamp = _read_stamp(file)
    except DatabaseError:  # another kind of file
        stamp = None
    if stamp is None:
        message = f"{file} exists and is not a backup; choose another file"
        raise DatabaseError(message)


def _sidecar_files(database: Path) -> list[Path]:
    return [database.with_name(database.name + ending) for ending in ("-wal", "-shm", "-journal")]
