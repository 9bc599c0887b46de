"""What a person says about an outbox entry: it may leave, it never does, it did arrive; each told in the log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from datetime import datetime

from sqlmodel import Session

from connector import sync_log
from connector.outbox import UNSENT, mark_done, mark_planned, mark_refused, steps_of
from connector.tables import OutboxEntry


class OutboxError(Exception):
    """A person asked for something an entry's state does not allow; the message says what it is and what would do."""


def approve(session: Session, ids: Iterable[int], *, by: str, at: datetime) -> list[OutboxEntry]:
    """Let waiting entries leave with the next run; what was refused outside (not by a person) is tried once more."""
    entries = [find_entry(session, entry_id, ("waiting", "refused"), "approved") for entry_id in ids]
    for entry in entries:
        if entry.state == "refused" and entry.settled_by:
            message = f"Outbox entry {entry.id} was {entry.answer}; it stays so."
            raise OutboxError(message)
    for entry in entries:
        entry.state, entry.approved_at, entry.approved_by = "planned", at, by
        tell(session, entry, at, "approved", f"{by} approved: {entry.why}")
    return entries


def reject(session: Session, ids: Iterable[int], *, by: str, at: datetime, why: str = "") -> list[OutboxEntry]:
    """Keep un-sent entries from ever leaving; their steps count as taken, so the next rung comes in its time."""
    entries = [find_entry(session, entry_id, UNSENT, "rejected") for entry_id in ids]
    for entry in entries:
        answer = f"rejected by {by}" + (f": {why}" if why else "")
        mark_refused(session, entry, at=at, answer=answer, by=by)
        for step in steps_of(entry, at=at, on=at.date()):
            session.merge(step)
        tell(session, entry, at, "rejected", f"{entry.why} — {answer}")
    return entries


def resolve(session: Session, entry_id: int, *, sent: bool, by: str, at: datetime) -> OutboxEntry:
    """Settle a doubt: it arrived (a deed, with its notes), or it did not (it may be planned again)."""
    entry = find_entry(session, entry_id, ("doubt",), "resolved")
    entry.settled_by = by
    if sent:
        mark_done(session, entry, at=at, reference=entry.reference, answer=f"{by} says that it arrived")
    else:
        mark_planned(session, entry, answer=f"{by} says that it did not arrive")
        entry.settled_by = ""
    tell(session, entry, at, "resolved", f"Doubt settled: {entry.answer}.")
    return entry


def looked_at(entry: OutboxEntry) -> str:
    """Give the fingerprint of all that a person who settles an entry must have looked at: its facts and its words."""
    if not entry.own_words:
        return entry.content
    words = json.dumps(entry.own_words["lines"], sort_keys=True)
    return f"{entry.content}-{hashlib.sha256(words.encode()).hexdigest()[:16]}"


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


def tell(session: Session, entry: OutboxEntry, at: datetime, kind: str, text: str) -> None:
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
