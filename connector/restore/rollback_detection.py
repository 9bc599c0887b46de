"""Beside the database, in a small file: how far the log had come. So a database copied back by hand is noticed.

`duewell restore` says itself that what left since the backup is not known; a copied file does not. The log never loses
a line: where the newest line that this machine has seen is missing, the database is an older one than it was.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.engine import reading, sqlite_file, writing
from connector.db.tables import SyncLogEntry
from connector.restore.backup import mark_restored_by_hand
from connector.secrets.private_files import private_file


def record_log_head(app: AppContext) -> None:
    """Note the newest line of the log, replacing the file in one step."""
    with reading(app.engine) as session:
        line = session.scalars(select(SyncLogEntry).order_by(col(SyncLogEntry.id).desc()).limit(1)).first()
    if line is None:
        return
    file = log_head_file(app)
    draft = private_file(file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}"))
    said = {"line": line.id, "hash": line.hash, "at": line.at.isoformat()}
    draft.write_text(json.dumps(said), encoding="utf-8")
    draft.replace(file)


def detect_rollback(app: AppContext) -> bool:
    """Look whether the database is an older one than it was; then everything waits for a person, as after a restore."""
    try:
        seen = json.loads(log_head_file(app).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # the first run here, or a file cut off by a power failure
        return False
    with reading(app.engine) as session:
        if _hash(session, seen["line"]) == seen["hash"]:
            return False
    with writing(app.engine) as session:
        mark_restored_by_hand(session, _last_common(session, seen), app.now())
    record_log_head(app)
    return True


def log_head_file(app: AppContext) -> Path:
    """Name the file: beside an embedded database, else in the home of this machine."""
    database = sqlite_file(app.engine)
    return (database or app.settings.duewell_home / "database").with_suffix(".log-head")


def _last_common(session: Session, seen: dict[str, Any]) -> datetime | None:
    """Give the time of the last line from before: what was written since it was put back, a sign-in say, is younger."""
    query = select(col(SyncLogEntry.at)).where(col(SyncLogEntry.id) <= seen["line"])
    if "at" in seen:
        query = query.where(col(SyncLogEntry.at) <= datetime.fromisoformat(seen["at"]))
    return session.scalars(query.order_by(col(SyncLogEntry.id).desc()).limit(1)).first()


def _hash(session: Session, line: int) -> str | None:
    return session.execute(select(col(SyncLogEntry.hash)).where(col(SyncLogEntry.id) == line)).scalar()
