"""What users decide about outbox entries: approve them, reject them, confirm or deny a delivery."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from datetime import datetime

from sqlmodel import Session

from connector.audit import sync_log
from connector.db.tables import OutboxEntry
from connector.outbox.entries import UNSENT_STATES, completed_steps, mark_done, mark_planned, mark_rejected
from connector.results import Result, optional
from connector.vocabulary import LogKind, OutboxState
from connector.vocabulary.labels import in_sentence, label


class OutboxError(Exception):
    """A change that the state of an outbox entry does not allow; the message says what would be possible."""


class EntryStatus(Result):
    """An outbox entry after a change."""

    id: int
    state: OutboxState
    response: str = optional("")


def approve(session: Session, ids: Iterable[int], *, by: str, at: datetime) -> list[OutboxEntry]:
    """Approve entries: the next run sends them. What a connected service rejected is tried once more.

    Raises:
        OutboxError: an entry in another state, or one that a user rejected; nothing is changed.

    """
    entries = [
        find_entry(session, entry_id, (OutboxState.AWAITING_APPROVAL, OutboxState.REJECTED), "approved")
        for entry_id in ids
    ]
    for entry in entries:
        if entry.state == OutboxState.REJECTED and entry.resolved_by:
            message = f"Outbox entry {entry.id} was {entry.response}; that is final."
            raise OutboxError(message)
    for entry in entries:
        entry.state, entry.approved_at, entry.approved_by = OutboxState.PLANNED, at, by
        log_entry_event(session, entry, at, LogKind.APPROVED, f"{by} approved: {entry.reason}")
    return entries


def reject(session: Session, ids: Iterable[int], *, by: str, at: datetime, reason: str = "") -> list[OutboxEntry]:
    """Reject unsent entries for good; their steps count as completed, so the next one follows in its time.

    Raises:
        OutboxError: an entry that was sent, or rejected before; nothing is changed.

    """
    entries = [find_entry(session, entry_id, UNSENT_STATES, "rejected") for entry_id in ids]
    for entry in entries:
        detail = f"rejected by {by}" + (f": {reason}" if reason else "")
        mark_rejected(session, entry, at=at, detail=detail, resolved_by=by)
        for step in completed_steps(entry, at=at, on=at.date()):
            session.merge(step)
        log_entry_event(session, entry, at, LogKind.REJECTED, f"{entry.reason} — {detail}")
    return entries


def resolve(session: Session, entry_id: int, *, sent: bool, by: str, at: datetime) -> OutboxEntry:
    """Confirm that an unconfirmed entry was delivered, or that it was not and may be planned again.

    Raises:
        OutboxError: the entry is not unconfirmed.

    """
    entry = find_entry(session, entry_id, (OutboxState.UNCONFIRMED,), "confirmed")
    entry.resolved_by = by
    if sent:
        mark_done(session, entry, at=at, reference=entry.reference, detail=f"{by} confirmed the delivery")
    else:
        mark_planned(session, entry, detail=f"{by} confirmed that it was not delivered")
        entry.resolved_by = ""
    log_entry_event(session, entry, at, LogKind.RESOLVED, f"Delivery checked: {entry.response}.")
    return entry


def entry_status(entry: OutboxEntry) -> EntryStatus:
    """Return the status of an entry after a change."""
    return EntryStatus(id=entry.id or 0, state=OutboxState(entry.state), response=entry.response)


def entry_etag(entry: OutboxEntry) -> str:
    """Return the fingerprint of everything a user reads before deciding about an entry: its facts and edited text."""
    if not entry.custom_text:
        return entry.content_hash
    lines = json.dumps(entry.custom_text["lines"], sort_keys=True)
    return f"{entry.content_hash}-{hashlib.sha256(lines.encode()).hexdigest()[:16]}"


def find_entry(session: Session, entry_id: int, states: Collection[str], verb: str) -> OutboxEntry:
    """Return an entry that is in one of these states.

    Raises:
        OutboxError: there is none, or it is in another state and cannot be what ``verb`` says.

    """
    entry = session.get(OutboxEntry, entry_id)
    if entry is None:
        message = f"There is no outbox entry {entry_id}. List them: duewell outbox list"
        raise OutboxError(message)
    if entry.state not in states:
        state, allowed = _state_text(entry.state), " or ".join(_state_text(each) for each in states)
        message = f"Outbox entry {entry_id} is {state}; only an entry that is {allowed} can be {verb}."
        raise OutboxError(message)
    return entry


def log_entry_event(session: Session, entry: OutboxEntry, at: datetime, kind: LogKind, text: str) -> None:
    """Write an entry of the sync log about an outbox entry."""
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


def _state_text(state: str) -> str:
    return in_sentence(label(state, "outbox_state"))
