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
from connector import sync_log
from connector.access.closed_since import close_again
from connector.access.private_files import private_file, private_folder, sync_folder
from connector.database import DatabaseError, knows_revision, open_engine, sqlite_file, upgrade, writing
from connector.tables import Connection, OutboxEntry, SignInLink, Stored, WebSession
from policies.wording import moment

_STAMP, _RESTORED = "backup", "restored"
_UNKNOWN_AGE = timedelta(days=30)
_INSTALLATION = 0  # connection_id of facts about the installation


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup says of itself: when it was made, and its own name among all backups."""

    id: str
    made_at: datetime
    schema: str


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: which backup is in place now, and where the database it replaced was put.

    ``closed_again``: who was sent away since the backup was made is not let in by it either.
    """

    backup: Backup | None
    kept_aside: Path | None
    closed_again: bool


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
        _stamp(draft, backup)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(file.absolute().parent)
    return backup


def restore_backup(database_url: str, file: Path, *, at: datetime) -> Restored:
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
        _make_ready(draft, backup, at)
        aside = _set_aside(target, at) if target.exists() else None
        closed_again = aside is not None and close_again(draft, aside)
        target.with_suffix(".newest").unlink(missing_ok=True)  # of the replaced one (newest.py)
        draft.replace(target)
    finally:
        for leftover in (draft, *_companions(draft)):
            leftover.unlink(missing_ok=True)
    sync_folder(target.parent)
    return Restored(backup, aside, closed_again)


def restored_at(session: Session) -> datetime | None:
    """Tell when this database was put back from a backup, ``None`` if it never was."""
    fact = session.get(Stored, (_INSTALLATION, _RESTORED))
    return datetime.fromisoformat(fact.value["at"]) if fact else None


def lost_time(session: Session) -> tuple[datetime, datetime] | None:
    """Tell from when to when this database remembers nothing; a backup of unknown age is taken for a month old."""
    fact = session.get(Stored, (_INSTALLATION, _RESTORED))
    if fact is None:
        return None
    at, made_at = fact.value["at"], fact.value["made_at"]
    restored = datetime.fromisoformat(at)
    return (datetime.fromisoformat(made_at) if made_at else restored - _UNKNOWN_AGE, restored)


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


def _stamp(file: Path, backup: Backup) -> None:
    engine = open_engine(f"sqlite:///{file}")
    try:
        with writing(engine) as session:
            value = {"id": backup.id, "made_at": backup.made_at.isoformat(), "schema": backup.schema}
            session.merge(Stored(connection_id=_INSTALLATION, name=_STAMP, value=value, stored_at=backup.made_at))
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
            stamp = reader.execute("SELECT value FROM stored_fact WHERE name = ?", (_STAMP,)).fetchone()
    except sqlite3.DatabaseError as error:
        message = f"{file} is not a database of duewell ({error}); name one that `duewell backup` wrote"
        raise DatabaseError(message) from error
    if not knows_revision(revision):
        message = f"{file} was written by a newer duewell (its schema is {revision}); update duewell first"
        raise DatabaseError(message)
    said = json.loads(stamp[0]) if stamp else None
    return Backup(said["id"], datetime.fromisoformat(said["made_at"]), said["schema"]) if said else None


def _make_ready(file: Path, backup: Backup | None, at: datetime) -> None:
    """Bring the copy up to date and mark it, so that nothing leaves from it before a person has looked."""
    engine = open_engine(f"sqlite:///{file}")
    try:
        upgrade(engine)
        with writing(engine) as session:
            _mark(session, backup, at)
        _leave_wal(engine)
    finally:
        engine.dispose()


def _mark(session: Session, backup: Backup | None, at: datetime) -> None:
    made_at = backup.made_at if backup else None
    of = f"a backup of {moment(made_at)}" if made_at else "a copy of unknown age"
    _let_all_wait(session, made_at, at, of=of, backup_id=backup.id if backup else "")


def mark_put_back(session: Session, made_at: datetime | None, at: datetime) -> None:
    """Mark a database that somebody put back by hand, and that knows nothing after ``made_at``, as a restore does."""
    of = f"a copy of {moment(made_at)}, by hand" if made_at else "a copy of unknown age, by hand"
    _let_all_wait(session, made_at, at, of=of, backup_id="")


def _let_all_wait(session: Session, made_at: datetime | None, at: datetime, *, of: str, backup_id: str) -> None:
    value = {"at": at.isoformat(), "made_at": made_at.isoformat() if made_at else None}
    session.merge(Stored(connection_id=_INSTALLATION, name=_RESTORED, value=value, stored_at=at))
    unsent = col(OutboxEntry.state).in_(["planned", "waiting"])
    session.execute(
        update(OutboxEntry)
        .where(unsent, col(OutboxEntry.kind).in_(["mail", "late_fee"]))
        .values(state="waiting", approved_at=None, approved_by="")
    )
    # Under way with no answer is what a run settles first: by looking, never by doing it again unseen.
    session.execute(
        update(OutboxEntry)
        .where(unsent, col(OutboxEntry.kind).not_in(["mail", "late_fee"]))
        .values(state="calling", called_at=made_at or at)
    )
    for connection in session.scalars(select(Connection).where(col(Connection.mode) == "live")):
        connection.mode = "approve"
        connection.decided_on = ""
    for way_in in (WebSession, SignInLink):  # ended, used or made anew since: everybody comes in afresh
        session.execute(delete(way_in))
    text = f"Put back from {of}. What left since then is not known here: everything waits for a person's approval."
    sync_log.write(session, at=at, kind="restored", text=text, facts={"backup": backup_id})


def _set_aside(target: Path, at: datetime) -> Path:
    """Give the present database a second name; the next rename then replaces the first in one step."""
    _refuse_if_running(target)
    aside = target.with_name(f"{target.name}.replaced-{at.astimezone(UTC):%Y%m%dT%H%M%S}")
    while aside.exists():  # restored twice within a second, or killed and begun again
        aside = aside.with_name(f"{aside.name}-again")
    for companion in _companions(target):  # left by a damaged database: they must not touch the restored one
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


def _companions(database: Path) -> list[Path]:
    return [database.with_name(database.name + ending) for ending in ("-wal", "-shm", "-journal")]
