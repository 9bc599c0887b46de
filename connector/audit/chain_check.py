"""Verification of the log's hash chain, with its last result kept for the web app."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.audit.sync_log import ChainVerdict
from connector.db.engine import reading, writing
from connector.db.tables import KeyValue

_NAME = "chain_checked"


class LastVerification(NamedTuple):
    """The result of the last verification, and when it was made."""

    at: datetime
    verdict: ChainVerdict


def verify_log(app: AppContext) -> ChainVerdict:
    """Verify the chain from the first entry to the last, and store the result."""
    with reading(app.engine) as session:
        verdict = sync_log.verify(session)
    with writing(app.engine) as session:
        session.merge(KeyValue(connection_id=0, name=_NAME, value=verdict._asdict(), stored_at=app.now()))
    return verdict


def last_verification(session: Session) -> LastVerification | None:
    """Return the last stored verification, or None."""
    row = session.get(KeyValue, (0, _NAME))
    return LastVerification(row.stored_at, ChainVerdict(**row.value)) if row is not None else None
