"""After a restore: whether an effect had left already, in the time between backup and restore that nobody remembers.

The ledger is asked for our notes and fees, the mail system for our mails, before anything leaves. Where the mail system
cannot be asked, a person approves each mail for a week; and notes in the ledger tell of mails all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from connector import outbox
from connector.effects import note_key, short_key
from connector.hour import Hour
from connector.lanes import about, done, wait
from connector.tables import OutboxEntry
from providers.errors import Reconnect, Rejected, TryLater

LOOKS_LAST = timedelta(days=45)  # after the restore: the longest that a step which had left may be held up here
ASKS_LAST = timedelta(days=7)
SEARCH = timedelta(days=1)  # what one search in a mail system's log covers
LOG_KEPT = timedelta(days=30)  # by the mail system
_WORDS = "it had left before the database was put back from its backup"


def settled(hour: Hour, entry_id: int, kind: str) -> bool:
    """Look whether a planned effect had left before the restore, and if so record it; True if it must not leave now."""
    if hour.lost_time is None or hour.now() - hour.lost_time[1] > LOOKS_LAST:
        return False
    with hour.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
    try:
        reference = _in_ledger(hour, entry) or _in_mail_log(hour, entry)
    except TryLater as unasked:
        wait(hour, kind, unasked)
        return True
    except Reconnect as closed:  # an API key that may only send, say
        return _ask_person(hour, entry, str(closed))
    if reference is None:
        asks = entry.kind == "mail" and not _can_be_asked(hour) and hour.now() - hour.lost_time[1] <= ASKS_LAST
        return asks and _ask_person(hour, entry, "No log of mails is at hand.")
    with hour.writing() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        if entry.state != "planned":
            return True
        outbox.mark_calling(session, entry, at=hour.now(), on=hour.today(hour.connection(session)))
    done(hour, entry_id, reference, _WORDS)
    return True


def _in_ledger(hour: Hour, entry: OutboxEntry) -> str | None:
    """Find our own trace in the ledger: a fee by its number, a note by its key, and a mail by the note it left."""
    try:
        if entry.kind == "late_fee":
            found = hour.ledger.find_invoice(str(entry.payload["number"]))
        elif entry.kind in {"note", "mail"}:
            key = entry.key if entry.kind == "note" else note_key(entry.key, entry.invoice_id)
            found = hour.ledger.find_note(entry.invoice_id, short_key(key))
        else:
            return None
    except Rejected:  # the invoice is gone: so is what was written on it
        return None
    return found.external_id if found is not None else None


def _in_mail_log(hour: Hour, entry: OutboxEntry) -> str | None:
    if entry.kind not in {"mail", "owner_mail"} or hour.mailer is None or not _can_be_asked(hour):
        return None
    for since_at in _searches(hour):
        found = hour.mailer.find(entry.key, tuple(entry.payload.get("to", ())), since_at)
        if found is not None:
            return found.reference
    return None


def _can_be_asked(hour: Hour) -> bool:
    return hour.mailer is not None and hour.mailer.reconciles


def _searches(hour: Hour) -> Iterator[datetime]:
    """Cover the lost time, as far back as the log reaches."""
    assert hour.lost_time is not None  # noqa: S101 - asked before
    since_at, until_at = hour.lost_time
    since_at = max(since_at, hour.now() - LOG_KEPT)
    while since_at <= until_at:
        yield since_at
        since_at += SEARCH


def _ask_person(hour: Hour, entry: OutboxEntry, why: str) -> bool:
    """Leave a mail to a person's approval; one given since the restore counts."""
    assert hour.lost_time is not None  # noqa: S101 - asked before
    if entry.approved_at is not None and entry.approved_at >= hour.lost_time[1]:
        return False
    words = "It may have left before the database was put back, and nobody can be asked; approve or reject it"
    with hour.writing() as session:
        row = session.get_one(OutboxEntry, entry.id)
        if row.state == "planned":
            row.state = "waiting"
            if row.answer != words:  # said once; every run plans it anew
                hour.log(session, "asked", f"{words}: {entry.why} {why}", **about(row))
            row.answer = words
    return True
