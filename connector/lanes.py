"""What all deliveries share: when a lane closes, how an entry's end is recorded and told in the log.

A limit or a dead grant closes a lane for this run at once. What may concern one entry alone does so after a few in a
row: one odd invoice must not hold up the others, and a vendor that hangs must not hold up the run for hours.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlmodel import Session

from connector import outbox
from connector.hour import Hour
from connector.tables import OutboxEntry
from providers.errors import RateLimited, Reconnect, TryLater, Unknown

SETBACKS_MAX = 3  # in a row, of one kind
WAIT_MAX = timedelta(days=1)  # a clock that jumped must not put an effect off for a year

_DONE_WORDS = {
    "mail": ("mailed", "Mailed"),
    "owner_mail": ("told_owner", "Told the owner"),
    "note": ("noted", "Noted in the ledger"),
    "late_fee": ("charged", "Charged"),
    "waive_fee": ("waived", "Waived"),
}


class LaneClosed(Exception):
    """No more effects of this kind in this run: the vendor put us off, or a person must mend something."""


def settle(hour: Hour, entry_id: int, how: Callable[[Session, OutboxEntry], None]) -> None:
    """Record an entry's end in one transaction of the lease's owner."""
    with hour.writing() as session:
        how(session, session.get_one(OutboxEntry, entry_id))


def done(hour: Hour, entry_id: int, reference: str, answer: str) -> None:
    """Record that it happened; the notes it owes are planned in the same commit."""

    def how(session: Session, entry: OutboxEntry) -> None:
        kind, word = _DONE_WORDS[entry.kind]
        outbox.mark_done(session, entry, at=hour.now(), reference=reference, answer=answer)
        hour.tally[kind] += 1
        hour.setbacks[entry.kind] = 0
        hour.log(session, kind, f"{word}: {entry.why} {answer}.", **about(entry))

    settle(hour, entry_id, how)


def refused(hour: Hour, entry_id: int, answer: str) -> None:
    """Record that it was refused for good, and give a person the task to look at it."""

    def how(session: Session, entry: OutboxEntry) -> None:
        outbox.mark_refused(session, entry, at=hour.now(), answer=answer)
        hour.tally["refused"] += 1
        hour.log(session, "refused", f"Refused, not done: {answer}", **about(entry))
        outbox.ask_person(session, entry, at=hour.now(), on=hour.today(hour.connection(session)), why=answer)

    settle(hour, entry_id, how)


def doubt(hour: Hour, entry_id: int, answer: str) -> None:
    """Record that nobody knows; it is not tried again by itself."""

    def how(session: Session, entry: OutboxEntry) -> None:
        outbox.mark_doubt(entry, at=hour.now(), answer=answer)
        hour.tally["doubts"] += 1
        text = f"It is not known whether this happened, and it is not tried again by itself: {entry.why} {answer}"
        hour.log(session, "doubt", text, **about(entry))

    settle(hour, entry_id, how)


def put_off(hour: Hour, entry_id: int, kind: str, error: Reconnect | TryLater) -> None:
    """Take back an intent of which nothing has left; close the lane where the others would fare no better."""
    until = getattr(error, "not_before_at", None)
    if until is not None:
        until = min(until, hour.now() + WAIT_MAX)
    settle(
        hour,
        entry_id,
        lambda session, entry: outbox.mark_planned(session, entry, answer=str(error), leaves_from_at=until),
    )
    wait(hour, kind, error)


def wait(hour: Hour, kind: str, error: Reconnect | TryLater | Unknown) -> None:
    """Tell the run why an effect did not come about now, and close its lane if that holds for the others too."""
    reason = str(error)
    reasons = hour.person if isinstance(error, Reconnect) else hour.later
    if reason not in reasons:
        reasons.append(reason)
    if kind not in {"mail", "owner_mail"}:
        hour.calls.refused(error)
    hour.setbacks[kind] += 1
    if isinstance(error, (Reconnect, RateLimited)) or hour.setbacks[kind] >= SETBACKS_MAX:
        raise LaneClosed(reason) from error


def odd(hour: Hour, entry_id: int, error: Exception) -> None:
    """Put an entry aside that breaks our own code: the others go on, and the run says that it failed.

    A mail that was being sent is in doubt; a write into the ledger is looked for by the next run; else nothing changes.
    """
    why = f"{type(error).__name__} at outbox entry {entry_id}; please report this"

    def how(session: Session, entry: OutboxEntry) -> None:
        if entry.state == "calling" and entry.kind in {"mail", "owner_mail"}:
            outbox.mark_doubt(entry, at=hour.now(), answer=why)
            hour.tally["doubts"] += 1
        hour.log(session, "odd", f"Not done, because of a fault of duewell: {entry.why} {why}", **about(entry))

    settle(hour, entry_id, how)
    hour.failed.append(f"A fault of duewell: {why}.")


def about(entry: OutboxEntry) -> dict[str, Any]:
    """Give the log's columns for an entry."""
    facts = {"entry": entry.id, "key": entry.key, "kind": entry.kind, "attempt": entry.attempts}
    return {"customer_id": entry.customer_id, "invoice_id": entry.invoice_id, "facts": facts}
