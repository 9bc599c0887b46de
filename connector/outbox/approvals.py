"""What a person says about an outbox entry: it may leave, it never does, it did arrive; each told in the log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from datetime import datetime

from sqlmodel import Session

from connector.audit import sync_log
from connector.db.tables import OutboxEntry
from connector.outbox.entries import UNSENT_STATES, completed_steps, mark_done, mark_planned, mark_rejected
from connector.vocabulary import LogKind, OutboxState


class OutboxError(Exception):
    """A person asked for something an entry's state does not allow; the message says what it is and what would do."""


def approve(session: Session, ids: Iterable[int], *, by: str, at: datetime) -> list[OutboxEntry]:
    """Let waiting entries leave with the next run; what was refused outside (not by a person) is tried once more."""
    entries = [find_entry(session, entry_id, ("awaiting_approval", "rejected"), "approved") for entry_id in ids]
    for entry in entries:
        if entry.state == OutboxState.REJECTED and entry.resolved_by:
            message = f"Outbox entry {entry.id} was {entry.response}; it stays so."
            raise OutboxError(message)
    for entry in entries:
        entry.state, entry.approved_at, entry.approved_by = OutboxState.PLANNED, at, by
        log_entry_event(session, entry, at, LogKind.APPROVED, f"{by} approved: {entry.reason}")
    return entries


def reject(session: Session, ids: Iterable[int], *, by: str, at: datetime, reason: str = "") -> list[OutboxEntry]:
    """Keep un-sent entries from ever leaving; their steps count as taken, so the next rung comes in its time."""
    entries = [find_entry(session, entry_id, UNSENT_STATES, "rejected") for entry_id in ids]
    for entry in entries:
        answer = f"rejected by {by}" + (f": {reason}" if reason else "")
        mark_rejected(session, entry, at=at, detail=answer, resolved_by=by)
        for step in completed_steps(entry, at=at, on=at.date()):
            session.merge(step)
        log_entry_event(session, entry, at, LogKind.REJECTED, f"{entry.reason} — {answer}")
    return entries


def resolve(session: Session, entry_id: int, *, sent: bool, by: str, at: datetime) -> OutboxEntry:
    """Settle a doubt: it arrived (a deed, with its notes), or it did not (it may be planned again)."""
    entry = find_entry(session, entry_id, ("unconfirmed",), "resolved")
    entry.resolved_by = by
    if sent:
        mark_done(session, entry, at=at, reference=entry.reference, detail=f"{by} says that it arrived")
    else:
        mark_planned(session, entry, detail=f"{by} says that it did not arrive")
        entry.resolved_by = ""
    log_entry_event(session, entry, at, LogKind.RESOLVED, f"Doubt settled: {entry.response}.")
    return entry


def entry_etag(entry: OutboxEntry) -> str:
    """Give the fingerprint of all that a person who settles an entry must have looked at: its facts and its words."""
    if not entry.custom_text:
        return entry.content_hash
    words = json.dumps(entry.custom_text["lines"], sort_keys=True)
    return f"{entry.content_hash}-{hashlib.sha256(words.encode()).hexdigest()[:16]}"


def find_entry(session: Session, entry_id: int, states: Collection[str], verb: str) -> OutboxEntry:
    """Find an entry that is in one of some states; raises ``OutboxError``."""
    entry = session.get(OutboxEntry, entry_id)
    if entry is None:
        message = f"There is no outbox entry {entry_id}; `duewell outbox list` shows those there are."
        raise OutboxError(message)
    if entry.state not in states:
        message = f"Outbox entry {entry_id} is {entry.state}; only one that is {' or '.join(states)} can be {verb}."
        raise OutboxError(message)
    return entry


def log_entry_event(session: Session, entry: OutboxEntry, at: datetime, kind: LogKind, text: str) -> None:
    """Write a line of the log about an entry."""
    sync_log.write(
        session,
        at=at,
        kind=kind,
        text=text,
        connection_id=entry.connection_id,
        customer_id=entry.customer_id,
        invoice_id=entry.invoice_id,
        facts={"entry": entry.id, "key": entry.key, "kind": entry.kind},
    )
