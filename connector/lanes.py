"""What all deliveries share: when a lane closes, how an entry's end is recorded and told in the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlmodel import Session

from connector import outbox
from connector.hour import Hour
from connector.tables import OutboxEntry
from providers.errors import Reconnect, TryLater

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


def put_off(hour: Hour, entry_id: int, error: Reconnect | TryLater) -> LaneClosed:
    """Take the intent back, tell the run why, and give the exception that closes the lane."""
    reason, until = str(error), getattr(error, "not_before_at", None)
    settle(
        hour, entry_id, lambda session, entry: outbox.mark_planned(session, entry, answer=reason, leaves_from_at=until)
    )
    reasons = hour.person if isinstance(error, Reconnect) else hour.later
    if reason not in reasons:
        reasons.append(reason)
    return LaneClosed(reason)


def about(entry: OutboxEntry) -> dict[str, Any]:
    """Give the log's columns for an entry."""
    facts = {"entry": entry.id, "key": entry.key, "kind": entry.kind, "attempt": entry.attempts}
    return {"customer_id": entry.customer_id, "invoice_id": entry.invoice_id, "facts": facts}
