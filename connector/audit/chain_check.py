"""Verification of the log's hash chain, with its last result kept for the web app."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.audit.sync_log import ChainVerdict
from connector.db.engine import reading, writing
from connector.db.tables import KeyValue

_NAME = "chain_checked"


def verify_log(app: AppContext) -> ChainVerdict:
    """Verify the chain from the first entry to the last, and store the result."""
    with reading(app.engine) as session:
        verdict = sync_log.verify(session)
    with writing(app.engine) as session:
        session.merge(KeyValue(connection_id=0, name=_NAME, value=verdict._asdict(), stored_at=app.now()))
    return verdict


def last_verification(session: Session) -> dict[str, Any] | None:
    """Return the last stored result and its time, or None."""
    row = session.get(KeyValue, (0, _NAME))
    return {**row.value, "at": row.stored_at} if row is not None else None
