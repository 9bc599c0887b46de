"""Backup and restore of the embedded database: one consistent file while everything runs on, and the way back.

The key that encrypts the tokens is not in a backup: whoever finds the file must not get into anybody's books. Keep
``secret.key`` in another place; without it a restored duewell works, but its companies have to be connected anew.

A restored database does not know what left after its backup was made. So that nothing goes out twice, every live
connection comes back in mode ``approve``, approvals are withdrawn, and un-sent writes into a ledger are looked for
there before they are made. ``restored_at`` tells when that was, for those who look in a mail system's log as well.

Nor does it know who was sent away since. Sessions and sign-in links end, and what the replaced database knows as
closed is closed again (``access/closed_since.py``).
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
_APP_WIDE = 0  # connection_id of facts about the installation


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup says of itself: when it was made, and its own name among all backups."""

    id: str
    created_at: datetime
    schema: str


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What a restore did: which backup is in place now, and where the database it replaced was put.

    ``closed_again``: who was sent away since the backup was made is not let in by it either.
    """

    backup: Backup | None
    replaced_file: Path | None
    access_revoked: bool


def write_backup(engine: Engine, file: Path, *, at: datetime) -> Backup:
    """Copy the database into ``file`` (mode 0600), all of one moment, while others read and write on."""
    source = sqlite_file(engine)
    if source is None:
        message = "only the embedded SQLite is backed up here; for PostgreSQL use pg_dump"
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
    """Put ``file`` in place of the database and keep the replaced one beside it. Nothing else may be running.

    Everything is made ready in a copy first: a backup that is damaged, or of a newer duewell, changes nothing.
    """
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        message = "only the embedded SQLite is restored here; for PostgreSQL use pg_restore"
        raise DatabaseError(message)
    target = Path(url.database).absolute()
    backup = _read_stamp(file)
    draft = private_file(private_folder(target.parent) / f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        _copy(file, draft)
        _prepare(draft, backup, at)
        aside = _keep_replaced(target, at) if target.exists() else None
        closed_again = aside is not None and reapply_revocations(draft, aside)
        target.with_suffix(".log-head").unlink(missing_ok=True)  # of the replaced one (newest.py)
        draft.replace(target)
    finally:
        for leftover in (draft, *_sidecar_files(draft)):
            leftover.unlink(missing_ok=True)
    sync_folder(target.parent)
    return RestoreResult(backup, aside, closed_again)


def restored_at(session: Session) -> datetime | None:
    """Tell when this database was put back from a backup, ``None`` if it never was."""
    fact = session.get(KeyValue, (_APP_WIDE, _RESTORED_KEY))
    return datetime.fromisoformat(fact.value["at"]) if fact else None


def restore_gap(session: Session) -> tuple[datetime, datetime] | None:
    """Tell from when to when this database remembers nothing; a backup of unknown age is taken for a month old."""
    fact = session.get(KeyValue, (_APP_WIDE, _RESTORED_KEY))
    if fact is None:
        return None
    at, created_at = fact.value["at"], fact.value["created_at"]
    restored = datetime.fromisoformat(at)
    return (datetime.fromisoformat(created_at) if created_at else restored - _UNKNOWN_AGE, restored)


def _copy(source: Path, target: Path) -> None:
    """Copy in one step: SQLite holds its view of the database meanwhile, so all pages are of one moment."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)
            writer.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
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
    with closing(sqlite3.connect(str(sqlite_file(engine)))) as plain:
        plain.execute("PRAGMA journal_mode=DELETE")


def _read_stamp(file: Path) -> Backup | None:
    """Check that the file is a database of ours that this duewell knows, and read its stamp if it has one."""
    if not file.is_file():
        message = f"there is no file {file}"
        raise DatabaseError(message)
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            (revision,) = reader.execute("SELECT version_num FROM alembic_version").fetchone()
            stamp = reader.execute("SELECT value FROM key_value WHERE name = ?", (_BACKUP_KEY,)).fetchone()
    except sqlite3.DatabaseError as error:
        message = f"{file} is not a database of duewell ({error}); name one that `duewell backup` wrote"
        raise DatabaseError(message) from error
    if not is_known_revision(revision):
        message = f"{file} was written by a newer duewell (its schema is {revision}); update duewell first"
        raise DatabaseError(message)
    said = json.loads(stamp[0]) if stamp else None
    return Backup(said["id"], datetime.fromisoformat(said["created_at"]), said["schema"]) if said else None


def _prepare(file: Path, backup: Backup | None, at: datetime) -> None:
    """Bring the copy up to date and mark it, so that nothing leaves from it before a person has looked."""
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
    of = f"a backup of {format_datetime(created_at)}" if created_at else "a copy of unknown age"
    _require_approval(session, created_at, at, of=of, backup_id=backup.id if backup else "")


def mark_restored_by_hand(session: Session, created_at: datetime | None, at: datetime) -> None:
    """Mark a database that somebody put back by hand, and that knows nothing after ``made_at``, as a restore does."""
    of = f"a copy of {format_datetime(created_at)}, by hand" if created_at else "a copy of unknown age, by hand"
    _require_approval(session, created_at, at, of=of, backup_id="")


def _require_approval(session: Session, created_at: datetime | None, at: datetime, *, of: str, backup_id: str) -> None:
    value = {"at": at.isoformat(), "created_at": created_at.isoformat() if created_at else None}
    session.merge(KeyValue(connection_id=_APP_WIDE, name=_RESTORED_KEY, value=value, stored_at=at))
    unsent = col(OutboxEntry.state).in_([OutboxState.PLANNED, OutboxState.AWAITING_APPROVAL])
    session.execute(
        update(OutboxEntry)
        .where(unsent, col(OutboxEntry.kind).in_([OutboxKind.EMAIL, OutboxKind.LATE_FEE]))
        .values(state=OutboxState.AWAITING_APPROVAL, approved_at=None, approved_by="")
    )
    # Under way with no answer is what a run settles first: by looking, never by doing it again unseen.
    session.execute(
        update(OutboxEntry)
        .where(unsent, col(OutboxEntry.kind).not_in([OutboxKind.EMAIL, OutboxKind.LATE_FEE]))
        .values(state=OutboxState.SENDING, dispatched_at=created_at or at)
    )
    for connection in session.scalars(select(Connection).where(col(Connection.mode) == ConnectionMode.LIVE)):
        connection.mode = ConnectionMode.APPROVE
        connection.decision_fingerprint = ""
    for way_in in (WebSession, SignInLink):  # ended, used or made anew since: everybody comes in afresh
        session.execute(delete(way_in))
    text = f"Put back from {of}. What left since then is not known here: everything waits for a person's approval."
    sync_log.write(session, at=at, kind=LogKind.RESTORED, text=text, facts={"backup": backup_id})


def _keep_replaced(target: Path, at: datetime) -> Path:
    """Give the present database a second name; the next rename then replaces the first in one step."""
    _refuse_if_running(target)
    aside = target.with_name(f"{target.name}.replaced-{at.astimezone(UTC):%Y%m%dT%H%M%S}")
    while aside.exists():  # restored twice within a second, or killed and begun again
        aside = aside.with_name(f"{aside.name}-again")
    for companion in _sidecar_files(target):  # left by a damaged database: they must not touch the restored one
        if companion.exists():
            companion.rename(aside.with_name(aside.name + companion.name.removeprefix(target.name)))
    os.link(target, aside)
    return aside


def _refuse_if_running(target: Path) -> None:
    """Leave write-ahead mode, which SQLite allows only to one who is alone with the file."""
    try:
        with closing(sqlite3.connect(target, timeout=1)) as alone:
            (mode,) = alone.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            return
        mode = "wal"
    except sqlite3.DatabaseError:
        return  # damaged: nobody works with it
    if mode == "wal":
        message = "duewell is running with this database: stop it (serve, worker, run) and restore then"
        raise DatabaseError(message)


def _refuse_to_overwrite(file: Path, source: Path) -> None:
    if file.samefile(source):
        message = f"{file} is the database itself; name another file"
        raise DatabaseError(message)
    try:
        stamp = _read_stamp(file)
    except DatabaseError:  # a file of another kind
        stamp = None
    if stamp is None:
        message = f"{file} exists and is no backup; name another file"
        raise DatabaseError(message)


def _sidecar_files(database: Path) -> list[Path]:
    return [database.with_name(database.name + ending) for ending in ("-wal", "-shm", "-journal")]
