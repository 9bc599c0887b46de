"""Detection of a database that was copied back by hand: a small file beside it holds the newest hash of its log.

`duewell restore` marks the database itself; a copied file carries no mark. The log never loses an entry: where the
newest one that this machine has seen is missing, the database is an older copy.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, bindparam, select
from sqlmodel import Session, SQLModel, col

from connector.app_context import AppContext
from connector.db.engine import reading, sqlite_file, writing
from connector.db.tables import SyncLogEntry
from connector.restore.restore_gap import mark_restored_by_hand
from connector.secrets.private_files import private_file

# Built once: every sync asks for them.
_LOG = SQLModel.metadata.tables["sync_log"].c
_NEWEST = select(_LOG.id, _LOG.hash, _LOG.at).order_by(_LOG.id.desc()).limit(1)
_HASH_OF = select(_LOG.hash).where(_LOG.id == bindparam("entry_id"))


class _LogHead(NamedTuple):
    """The newest entry of the log that this machine has seen."""

    entry_id: int
    hash: str
    at: datetime


def record_log_head(app: AppContext) -> None:
    """Record the newest entry of the log, replacing the file in one step."""
    with reading(app.engine) as session:
        entry = session.connection().execute(_NEWEST).first()
    if entry is None:
        return
    file = log_head_file(app)
    draft = private_file(file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}"))
    value = {"entry_id": entry.id, "hash": entry.hash, "at": entry.at.isoformat()}
    draft.write_text(json.dumps(value), encoding="utf-8")
    draft.replace(file)


def detect_rollback(app: AppContext, session: Session) -> bool:
    """Return whether the database is older than it was; if so, everything waits for approval, as after a restore.

    ``session`` is read only.
    """
    head = _read_head(log_head_file(app))
    if head is None or _hash_of(session, head.entry_id) == head.hash:
        return False
    with writing(app.engine) as database:
        mark_restored_by_hand(database, _last_common_at(database, head), app.now())
    record_log_head(app)
    return True


def log_head_file(app: AppContext) -> Path:
    """Return the file's path: beside an embedded database, otherwise in this machine's home folder."""
    return log_head_of(app.engine, app.settings.duewell_home)


def log_head_of(engine: Engine, home: Path) -> Path:
    """Return the path of the file for a database."""
    return (sqlite_file(engine) or home / "database").with_suffix(".log-head")


def _read_head(file: Path) -> _LogHead | None:
    """Return what was recorded; None before the first run here, and for a file cut off by a power failure."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        return _LogHead(value["entry_id"], value["hash"], datetime.fromisoformat(value["at"]))
    except (FileNotFoundError, ValueError):
        return None


def _last_common_at(session: Session, head: _LogHead) -> datetime | None:
    """Return when the last entry that both logs share was written: later ones were written after the rollback."""
    query = select(col(SyncLogEntry.at)).where(col(SyncLogEntry.id) <= head.entry_id, col(SyncLogEntry.at) <= head.at)
    return session.scalars(query.order_by(col(SyncLogEntry.id).desc()).limit(1)).first()


def _hash_of(session: Session, entry_id: int) -> str | None:
    return session.connection().execute(_HASH_OF, {"entry_id": entry_id}).scalar()
