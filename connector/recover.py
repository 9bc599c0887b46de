"""Settles calls that a killed run left without an answer, before anything new is planned."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from connector import ledger_writes
from connector.hour import Hour
from connector.lanes import LaneClosed, done, doubt, odd, wait
from connector.lease import LeaseLost
from connector.letters import mail_events
from connector.tables import OutboxEntry
from providers.errors import ProviderError, Reconnect, TryLater

MAILS = ("mail", "owner_mail")
log = logging.getLogger("duewell.recover")
# SendGrid keeps its e-mail logs for 30 days; a mail nobody found within three is a person's to settle.
SEARCH_LASTS = timedelta(days=3)


def settle_what_was_left(hour: Hour) -> None:
    """Look for every mail in doubt and every call without an answer; whatever cannot be found out becomes a doubt."""
    if hour.dry_run:
        return
    left = _left(hour)
    for entry_id in [entry_id for entry_id, _state, kind in left if kind in MAILS]:
        _mail(hour, entry_id)
    try:
        for entry_id in [entry_id for entry_id, state, kind in left if kind not in MAILS and state == "calling"]:
            _write(hour, entry_id)
    except LaneClosed:
        hour.tell("the ledger put us off; the rest is settled next time")


def _write(hour: Hour, entry_id: int) -> None:
    """Settle one write into the ledger; one that cannot be looked up must not keep the run from all the others."""
    with hour.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        kind, called_at = entry.kind, entry.called_at or entry.planned_at
    try:
        ledger_writes.retry(hour, entry_id)
    except (LaneClosed, LeaseLost, SQLAlchemyError):
        raise
    except (Reconnect, TryLater) as unasked:
        if hour.now() - called_at > SEARCH_LASTS:
            doubt(hour, entry_id, f"For three days the ledger has not said what became of it: {unasked}")
        wait(hour, kind, unasked)
    except ProviderError as no:
        doubt(hour, entry_id, f"The ledger cannot be asked what became of it: {no}")
    except Exception as error:  # a fault of ours in one entry
        log.exception("settling outbox entry %s broke off", entry_id)
        odd(hour, entry_id, error)


def _mail(hour: Hour, entry_id: int) -> None:
    with hour.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        state, key, called_at = entry.state, entry.key, entry.called_at or entry.planned_at
        to, told = tuple(entry.payload.get("to", ())), mail_events.proof_of(session, key)
    if told is not None:
        done(hour, entry_id, told, "the mail system told that it left")
        return
    reference = _search(hour, key, to, called_at=called_at) if hour.now() - called_at <= SEARCH_LASTS else None
    if reference is not None:
        done(hour, entry_id, reference, "found in the mail system's own log")
    elif state == "calling":
        doubt(hour, entry_id, "The run that was sending it ended before it learned the answer.")


def _search(hour: Hour, key: str, to: tuple[str, ...], *, called_at: datetime) -> str | None:
    if hour.mailer is None or not hour.mailer.reconciles:
        return None
    try:
        found = hour.mailer.find(key, to, called_at)
    except ProviderError as error:
        hour.tell(f"the mail system's log could not be asked: {error}")
        return None
    return found.reference if found is not None else None


def _left(hour: Hour) -> list[tuple[int, str, str]]:
    """List id, state and kind of what has no sure end, oldest first."""
    with hour.reading() as session:
        rows = session.execute(
            select(col(OutboxEntry.id), col(OutboxEntry.state), col(OutboxEntry.kind))
            .where(
                col(OutboxEntry.connection_id) == hour.connection_id,
                col(OutboxEntry.state).in_(["calling", "doubt"]),
            )
            .order_by(col(OutboxEntry.id))
        )
        return [(entry_id or 0, state, kind) for entry_id, state, kind in rows]
