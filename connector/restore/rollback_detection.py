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

from sqlalchemy import Engine, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.engine import reading, sqlite_file, writing
from connector.db.tables import SyncLogEntry
from connector.restore.restore_gap import mark_restored_by_hand
from connector.secrets.private_files import private_file


class _LogHead(NamedTuple):
    """The newest entry of the log that this machine has seen."""

    entry_id: int
    hash: str
    at: datetime


def record_log_head(app: AppContext) -> None:
    """Record the newest entry of the log, replacing the file in one step."""
    with reading(app.engine) as session:
        entry = session.scalars(select(SyncLogEntry).order_by(col(SyncLogEntry.id).desc()).limit(1)).first()
    if entry is None:
        return
    file = log_head_file(app)
    draft = private_file(file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}"))
    value = {"entry_id": entry.id, "hash": entry.hash, "at": entry.at.isoformat()}
    draft.write_text(json.dumps(value), encoding="utf-8")
    draft.replace(file)


def detect_rollback(app: AppContext) -> bool:
    """Return whether the database is older than it was; if so, everything waits for approval, as after a restore."""
    head = _read_head(log_head_file(app))
    if head is None:
        return False
    with reading(app.engine) as session:
        if _hash_of(session, head.entry_id) == head.hash:
            return False
    with writing(app.engine) as session:
        mark_restored_by_hand(session, _last_common_at(session, head), app.now())
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
    return session.execute(select(col(SyncLogEntry.hash)).where(col(SyncLogEntry.id) == entry_id)).scalar()
