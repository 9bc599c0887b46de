"""What a restored database does not know: what was sent between the backup and the restore."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from sqlmodel import col

from connector.audit import sync_log
from connector.db.tables import Connection, KeyValue, OutboxEntry, SignInLink, WebSession
from connector.vocabulary import ConnectionMode, LogKind, OutboxKind, OutboxState
from policies.formatting import format_datetime

_RESTORED_KEY = "restored"
_UNKNOWN_AGE = timedelta(days=30)
_APP_WIDE = 0  # connection_id of values that belong to no connection
APPROVED_KINDS = (OutboxKind.EMAIL, OutboxKind.LATE_FEE)  # sent from a restored database only after approval


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


def mark_restored_by_hand(session: Session, created_at: datetime | None, at: datetime) -> None:
    """Mark a database that was copied back by hand, and that knows nothing after ``created_at``, as restored."""
    source = f"a copy of {format_datetime(created_at)}, by hand" if created_at else "a copy of unknown age, by hand"
    require_approval(session, created_at, at, text=restored_text(source), backup_id="")


def restored_text(source: str) -> str:
    """Return the log line of a restore from ``source``."""
    return f"Restored from {source}. What was sent since is not known: everything waits for approval."


def require_approval(session: Session, created_at: datetime | None, at: datetime, *, text: str, backup_id: str) -> None:
    """Make everything that is still to be sent wait for approval, and end all sessions. ``text`` tells the log why."""
    value = {"at": at.isoformat(), "created_at": created_at.isoformat() if created_at else None}
    session.merge(KeyValue(connection_id=_APP_WIDE, name=_RESTORED_KEY, value=value, stored_at=at))
    unsent = col(OutboxEntry.state).in_([OutboxState.PLANNED, OutboxState.AWAITING_APPROVAL])
    session.execute(
        update(OutboxEntry)
        .where(unsent, col(OutboxEntry.kind).in_(APPROVED_KINDS))
        .values(state=OutboxState.AWAITING_APPROVAL, approved_at=None, approved_by="")
    )
    # A run first resolves entries in state sending: it searches the ledger, and never repeats a write blindly.
    session.execute(
        update(OutboxEntry)
        .where(unsent, col(OutboxEntry.kind).not_in(APPROVED_KINDS))
        .values(state=OutboxState.SENDING, dispatched_at=created_at or at)
    )
    for connection in session.scalars(select(Connection).where(col(Connection.mode) == ConnectionMode.LIVE)):
        connection.mode = ConnectionMode.APPROVE
        connection.decision_fingerprint = ""
    for table in (WebSession, SignInLink):  # may have ended or been used since: all users sign in again
        session.execute(delete(table))
    sync_log.write(session, at=at, kind=LogKind.RESTORED, text=text, facts={"backup": backup_id})
