"""Checks the log's chain for people, and remembers what came of it: whether it held, when, up to which line."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session

from connector import sync_log
from connector.database import reading, writing
from connector.installation import Installation
from connector.sync_log import ChainVerdict
from connector.tables import Stored

_NAME = "chain_checked"


def check(installation: Installation) -> ChainVerdict:
    """Check the chain from the first line to the last, and remember the verdict."""
    with reading(installation.engine) as session:
        verdict = sync_log.verify(session)
    with writing(installation.engine) as session:
        session.merge(Stored(connection_id=0, name=_NAME, value=verdict._asdict(), stored_at=installation.now()))
    return verdict


def last(session: Session) -> dict[str, Any] | None:
    """Tell what the last check found, and when; None where there was none."""
    row = session.get(Stored, (0, _NAME))
    return {**row.value, "at": row.stored_at} if row is not None else None
