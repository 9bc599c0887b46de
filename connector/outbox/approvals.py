"""What users decide about outbox entries: approve them, reject them, confirm or deny a delivery."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlmodel import Session

from connector.audit import sync_log
from connector.db.tables import CompletedStep, Connection, CustomerRow, OutboxEntry
from connector.geo import today_in
from connector.outbox.entries import UNSENT_STATES, completed_steps, mark_done, mark_planned, mark_rejected
from connector.results import Result, optional
from connector.vocabulary import LogKind, OutboxState
from connector.vocabulary.labels import in_sentence, label
from policies.formatting import format_date


class OutboxError(Exception):
    """A change that the state of an outbox entry does not allow; the message says what would be possible."""


class EntryChanged(OutboxError):
    """An outbox entry is not what the user read any more; the message says who changed it and when."""


class EntryStatus(Result):
    """An outbox entry after a change."""

    id: int
    state: OutboxState
    response: str = optional("")


def approve(
    session: Session, ids: Iterable[int], *, by: str, at: datetime, seen: Mapping[int, str] | None = None
) -> list[OutboxEntry]:
    """Approve entries: the next run sends them. What a connected service rejected is tried once more.

    ``seen`` are the versions (``entry_etag``) that the user read, by entry.

    Raises:
        EntryChanged: an entry is not what was read any more; nothing is changed.
        OutboxError: an entry in another state, or one that a user rejected; nothing is changed.

    """
    require_seen(session, seen or {})
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


def reject(
    session: Session,
    ids: Iterable[int],
    *,
    by: str,
    at: datetime,
    reason: str = "",
    seen: Mapping[int, str] | None = None,
) -> list[OutboxEntry]:
    """Reject unsent entries for good; their steps count as completed, so the next one follows in its time.

    ``seen`` are the versions that the user read, by entry.

    Raises:
        EntryChanged: an entry is not what was read any more; nothing is changed.
        OutboxError: an entry that was sent, or rejected before; nothing is changed.

    """
    require_seen(session, seen or {})
    entries = [find_entry(session, entry_id, UNSENT_STATES, "rejected") for entry_id in ids]
    for entry in entries:
        detail = f"rejected by {by}" + (f": {reason}" if reason else "")
        mark_rejected(session, entry, at=at, detail=detail, resolved_by=by)
        on = today_in(session.get_one(Connection, entry.connection_id).time_zone, at)
        for step in completed_steps(entry, at=at, on=on):
            session.merge(step)
        log_entry_event(session, entry, at, LogKind.REJECTED, f"{entry.reason} — {detail}")
    return entries


def undo(
    session: Session, ids: Iterable[int], *, by: str, at: datetime, seen: Mapping[int, str] | None = None
) -> list[OutboxEntry]:
    """Undo users' approvals and rejections, as long as nothing was sent: the entries await approval again.

    The next run drops those whose reason is gone by then. ``seen`` are the versions that the user read, by entry.

    Raises:
        EntryChanged: an entry is not what was read any more; nothing is changed.
        OutboxError: nobody decided about an entry, or it was sent; nothing is changed.

    """
    require_seen(session, seen or {})
    entries = [find_entry(session, entry_id, (OutboxState.PLANNED, OutboxState.REJECTED), "undone") for entry_id in ids]
    for entry in entries:
        decided = entry.resolved_by if entry.state == OutboxState.REJECTED else entry.approved_at
        if not decided:  # what a service rejected was not a decision of anybody's
            message = f"Nobody has approved or rejected outbox entry {entry.id}: there is nothing to undo."
            raise OutboxError(message)
    for entry in entries:
        decision = "rejection" if entry.state == OutboxState.REJECTED else "approval"
        if entry.state == OutboxState.REJECTED:
            _release_rejected_steps(session, entry)
            entry.ended_at, entry.response, entry.resolved_by = None, "", ""
        entry.state, entry.approved_at, entry.approved_by = OutboxState.AWAITING_APPROVAL, None, ""
        session.get_one(Connection, entry.connection_id).decision_fingerprint = ""
        text = f"{by} undid the {decision} of: {entry.reason}"
        log_entry_event(session, entry, at, LogKind.DECISION_UNDONE, text)
    return entries


def _release_rejected_steps(session: Session, entry: OutboxEntry) -> None:
    """Take back the steps that a rejection counted as completed, and no others."""
    for step in completed_steps(entry, at=entry.ended_at or entry.planned_at, on=entry.planned_at.date()):
        held = session.get(CompletedStep, (step.connection_id, step.invoice_id, step.step, step.recurrence_key))
        if held is not None and not held.outbox_id and not held.task_id and held.completed_at == entry.ended_at:
            session.delete(held)


def resolve(session: Session, entry_id: int, *, sent: bool, by: str, at: datetime, seen: str = "") -> OutboxEntry:
    """Confirm that an unconfirmed entry was delivered, or that it was not and may be planned again.

    ``seen`` is the version that the user read, "" for the present one: it may be about another attempt by now.

    Raises:
        EntryChanged: the entry is not what was read any more.
        OutboxError: the entry is not unconfirmed.

    """
    require_seen(session, {entry_id: seen} if seen else {})
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
    """Return the version of an entry: of everything a user reads before deciding about it.

    Those are its facts and edited text, the last change (such as a new template) and, of what was sent, the attempt.
    """
    lines = entry.custom_text["lines"] if entry.custom_text else None
    changed_at = entry.changed_at.isoformat() if entry.changed_at else None
    if not lines and not changed_at and entry.attempts <= 1:
        return entry.content_hash
    text = json.dumps([lines, changed_at, entry.attempts], sort_keys=True)
    return f"{entry.content_hash}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def require_seen(session: Session, seen: Mapping[int, str]) -> None:
    """Check that entries still are what a user read; those that do not exist are for ``find_entry``.

    Raises:
        EntryChanged: some have changed; the message names each.

    """
    rows = [(session.get(OutboxEntry, entry_id), version) for entry_id, version in seen.items()]
    changed = [row for row, version in rows if row is not None and entry_etag(row) != version]
    if changed:
        raise EntryChanged(" ".join(describe_change(session, row, name_it=len(seen) > 1) for row in changed))


def describe_change(session: Session, entry: OutboxEntry, *, name_it: bool = False) -> str:
    """Return who changed an entry and when, in the company's time, as a sentence."""
    subject = _name(session, entry) if name_it else f"This {in_sentence(label(entry.kind, 'outbox_kind'))}"
    if entry.changed_at is None:
        return f"{subject} has changed since you read it; read it again."
    zone = session.get_one(Connection, entry.connection_id).time_zone
    local = entry.changed_at.astimezone(ZoneInfo(zone))
    when = f"on {format_date(local.date())} at {local:%H:%M}"
    return f"{subject} was changed by {entry.changed_by or 'a sync'} {when}; read it again."


def describe_state(session: Session, entry: OutboxEntry) -> str:
    """Return where an entry stands and who decided it, as a sentence."""
    decided = f", approved by {entry.approved_by}" if entry.approved_by and entry.state != OutboxState.REJECTED else ""
    response = f": {entry.response}" if entry.state == OutboxState.REJECTED and entry.response else ""
    return f"{_name(session, entry)} is {_state_text(entry.state)}{decided}{response}."


def record_change(session: Session, entry: OutboxEntry, *, by: str, at: datetime) -> None:
    """Record that an unsent entry now says something else: an approval was given to what it said before."""
    entry.changed_at, entry.changed_by = at, by
    if entry.approved_at is not None:
        entry.approved_at, entry.approved_by, entry.state = None, "", OutboxState.AWAITING_APPROVAL
        text = f"{by} changed what this says, so that its approval no longer holds: {entry.reason}"
        log_entry_event(session, entry, at, LogKind.EMAIL_EDITED, text)


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


def _name(session: Session, entry: OutboxEntry) -> str:
    customer = session.get(CustomerRow, (entry.connection_id, entry.customer_id))
    kind = in_sentence(label(entry.kind, "outbox_kind"))
    return f"The {kind} to {customer.name if customer else entry.customer_id} ({entry.id})"


def _state_text(state: str) -> str:
    return in_sentence(label(state, "outbox_state"))
