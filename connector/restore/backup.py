"""Backup and restore of the embedded SQLite database: one consistent file, written while everything is running.

A backup does not hold the key that encrypts the tokens: whoever finds the file must not get access to a company. Keep
``secret.key`` in another place; without it a restored duewell works, but its companies have to be connected again.

A restored database does not know what was sent after the backup. So that nothing is sent twice, live connections are
set to mode ``approve``, approvals are withdrawn, and each planned ledger write is searched for in the ledger before it
is made (``restore_gap.py``).

A backup is sealed with the installation's key (``seal.py``), and only an intact one is restored without being asked
for expressly: what it holds decides who may sign in. Its schema and its log are checked in any case.

Nor does it know whose access was revoked since. Sessions and sign-in links end, and what the replaced database knows
as revoked is revoked again (``connector/restore/revocations.py``).
"""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

import migrations
from connector.audit import sync_log
from connector.db.engine import DatabaseError, open_engine, reading, sqlite_file, upgrade, writing
from connector.db.tables import Connection, OutboxEntry, SignInLink, User, WebSession
from connector.restore.database_files import (
    check_integrity,
    copy_database,
    is_in_wal_mode,
    keep_replaced,
    leave_wal_mode,
    refuse_if_running,
    sidecar_files,
)
from connector.restore.restore_gap import APPROVED_KINDS, require_approval, restored_text
from connector.restore.revocations import reapply_revocations
from connector.restore.schema_check import check_schema, foreign_objects
from connector.restore.seal import Stamp, new_stamp, read_stamp, seal_file, store_stamp, why_unsealed
from connector.secrets.keyring import Keyring
from connector.secrets.private_files import private_file, private_folder, sync_folder
from connector.vocabulary import ConnectionMode, OutboxState, Role
from policies.formatting import format_datetime


class UnsealedError(DatabaseError):
    """A file that is not an intact backup of this installation, or whose log is broken; ``str()`` says which."""


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What a restore did. ``backup`` is None for a copy without a stamp.

    ``replaced_file`` is the database it replaced; ``access_revoked``: what was revoked since the backup stays revoked.
    ``unsealed_reason`` is "" for an intact backup; of another file, ``owners`` may sign in. ``approve_companies`` were
    live and now need approval, as read back from the restored database.
    """

    backup: Stamp | None
    replaced_file: Path | None
    access_revoked: bool
    unsealed_reason: str
    owners: tuple[str, ...]
    approve_companies: tuple[str, ...]


def write_backup(engine: Engine, file: Path, keyring: Keyring, *, at: datetime) -> Stamp:
    """Write a consistent, sealed copy of the database to ``file`` (mode 0600), while others go on reading and writing.

    Raises:
        DatabaseError: the database is PostgreSQL, holds views or triggers of others, or ``file`` is something other
            than an older backup.

    """
    source = sqlite_file(engine)
    if source is None:
        message = "only the embedded SQLite database is backed up here; for PostgreSQL use pg_dump"
        raise DatabaseError(message)
    if foreign := foreign_objects(source):
        message = (
            f"the database holds what duewell did not make: {', '.join(foreign)}. A backup with it could not be"
            " restored; drop it first"
        )
        raise DatabaseError(message)
    if file.exists():
        _refuse_to_overwrite(file, source, at)
    stamp = new_stamp(at, migrations.HEAD)
    draft = private_file(file.with_name(f".{file.name}.{stamp.id[:8]}"))
    try:
        with keyring.unchanged():  # what it holds is encrypted with a key that is there when it is sealed
            copy_database(source, draft)
            _write_stamp(draft, stamp)
            stamp = seal_file(draft, stamp, keyring)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(file.absolute().parent)
    return stamp


def restore_backup(
    database_url: str, file: Path, keyring: Keyring, *, at: datetime, unsealed: bool = False
) -> RestoreResult:
    """Replace the database with ``file``, and keep the replaced one beside it. Nothing else may be running.

    Everything is prepared and read back in a copy first: a file that is refused changes nothing. ``unsealed`` also
    restores what is not an intact backup of this installation.

    Raises:
        UnsealedError: ``file`` is restored only with ``unsealed``.
        DatabaseError: the database is PostgreSQL or in use, or ``file`` cannot be restored.

    """
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        message = "only the embedded SQLite database is restored here; for PostgreSQL use pg_restore"
        raise DatabaseError(message)
    target = Path(url.database).absolute()
    if not file.is_file():
        message = f"there is no file {file}"
        raise DatabaseError(message)
    draft = private_file(private_folder(target.parent) / f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        stamp, reason = _take(file, draft, keyring, at, unsealed=unsealed)
        were_live = _prepare(draft, stamp, at, is_sealed=not reason)
        if target.exists():
            refuse_if_running(target)
        access_revoked = target.exists() and reapply_revocations(draft, target)
        result = _read_back(draft, RestoreResult(stamp, None, access_revoked, reason, (), were_live))
        if target.exists():
            result = replace(result, replaced_file=keep_replaced(target, at))
        target.with_suffix(".log-head").unlink(missing_ok=True)  # of the replaced database (rollback_detection.py)
        draft.replace(target)
    finally:
        for leftover in (draft, *sidecar_files(draft)):
            leftover.unlink(missing_ok=True)
    sync_folder(target.parent)
    return result


def _take(file: Path, draft: Path, keyring: Keyring, at: datetime, *, unsealed: bool) -> tuple[Stamp | None, str]:
    """Copy a file to the draft and check it there; return its stamp, and why it is not an intact backup ("" if it is).

    The copy of an intact backup is the very bytes that the seal is about. A file without one may be a database that
    was copied together with its write-ahead log.
    """
    shutil.copyfile(file, draft)
    stamp = None if is_in_wal_mode(draft) else _check(draft, file, at)
    reason = why_unsealed(draft, stamp, keyring)
    if not reason:
        check_integrity(draft, file)
    elif unsealed:
        copy_database(file, draft)
        stamp = _check(draft, file, at)
    else:
        raise UnsealedError(_unsealed_message(file, reason))
    engine = open_engine(f"sqlite:///{draft}")
    try:
        with reading(engine) as session:
            verdict = sync_log.verify(session)
    except SQLAlchemyError as error:
        message = f"the log in {file} cannot be read: {error.__cause__ or error}"
        raise DatabaseError(message) from error
    finally:
        engine.dispose()
    if not verdict.ok:
        broken = f"its log is broken at entry {verdict.broken_at_id}: {verdict.reason}"
        if not unsealed:
            raise UnsealedError(_unsealed_message(file, broken))
        reason = "; ".join(filter(None, [reason, broken]))
    return stamp, reason


def _unsealed_message(file: Path, reason: str) -> str:
    return (
        f"{file} is not an intact backup of this installation: {reason}. Whoever could write to it decides who may sign"
        " in, what is sent and where customers pay. Nothing was changed. If you trust it all the same, add --unsealed"
    )


def _check(database: Path, file: Path, at: datetime) -> Stamp | None:
    """Check the schema of a copy, and return its stamp. ``file`` is what messages name."""
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            check_schema(reader, file)
            return read_stamp(reader, file, now=at)
    except sqlite3.DatabaseError as error:
        message = f"{file} is not a database of duewell ({error}); choose a file that `duewell backup` wrote"
        raise DatabaseError(message) from error


def _write_stamp(file: Path, stamp: Stamp) -> None:
    engine = open_engine(f"sqlite:///{file}")
    try:
        with writing(engine) as session:
            store_stamp(session, stamp)
        leave_wal_mode(engine)
    finally:
        engine.dispose()


def _prepare(file: Path, stamp: Stamp | None, at: datetime, *, is_sealed: bool) -> tuple[str, ...]:
    """Upgrade the copy and mark it as restored, so that nothing is sent without approval; return who was live."""
    created_at = min(stamp.created_at, at) if stamp else None
    source = f"a backup of {format_datetime(created_at)}" if created_at else "a copy of unknown age"
    source += "" if is_sealed else ", not sealed by this installation"
    engine = open_engine(f"sqlite:///{file}")
    try:
        upgrade(engine)
        with writing(engine) as session:
            live = select(col(Connection.short_name)).where(col(Connection.mode) == ConnectionMode.LIVE)
            were_live = tuple(session.scalars(live.order_by(col(Connection.short_name))))
            require_approval(session, created_at, at, text=restored_text(source), backup_id=stamp.id if stamp else "")
        leave_wal_mode(engine)
    except SQLAlchemyError as error:
        message = f"the file cannot be prepared: {error.__cause__ or error}"
        raise DatabaseError(message) from error
    finally:
        engine.dispose()
    return were_live


def _read_back(file: Path, result: RestoreResult) -> RestoreResult:
    """Check in the finished copy that nothing is sent from it without approval and nobody is signed in."""
    engine = open_engine(f"sqlite:///{file}")
    try:
        with reading(engine) as session:
            quiet = [ConnectionMode.OBSERVE, ConnectionMode.APPROVE]
            still_live = session.scalars(select(col(Connection.id)).where(col(Connection.mode).not_in(quiet)))
            unapproved = (
                col(OutboxEntry.kind).in_(APPROVED_KINDS),
                col(OutboxEntry.state) == OutboxState.PLANNED,
            )
            left = (
                still_live.first(),
                session.scalars(select(col(OutboxEntry.id)).where(*unapproved)).first(),
                session.scalars(select(col(WebSession.token_hash))).first(),
                session.scalars(select(col(SignInLink.token_hash))).first(),
            )
            owner = (col(User.role) == Role.OWNER, col(User.disabled_at).is_(None))
            owners = tuple(session.scalars(select(col(User.email)).where(*owner).order_by(col(User.email))))
        leave_wal_mode(engine)
    except SQLAlchemyError as error:
        message = f"the prepared copy cannot be read back: {error.__cause__ or error}"
        raise DatabaseError(message) from error
    finally:
        engine.dispose()
    if any(each is not None for each in left):
        message = "the prepared copy does not hold what was written to it; nothing was changed"
        raise DatabaseError(message)
    return replace(result, owners=owners)


def _refuse_to_overwrite(file: Path, source: Path, at: datetime) -> None:
    if file.samefile(source):
        message = f"{file} is the database itself; choose another file"
        raise DatabaseError(message)
    try:
        stamp = _check(file, file, at)
    except DatabaseError:  # another kind of file
        stamp = None
    if stamp is None:
        message = f"{file} exists and is not a backup; choose another file"
        raise DatabaseError(message)
