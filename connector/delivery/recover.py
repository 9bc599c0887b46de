"""Settles calls that a killed run left without an answer, before anything new is planned."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from connector.db.tables import OutboxEntry
from connector.delivery import ledger_writes
from connector.delivery.circuit_breaker import (
    CircuitOpen,
    record_deferral,
    record_done,
    record_fault,
    record_unconfirmed,
)
from connector.emails.inbound import events
from connector.runtime.lease import LeaseLost
from connector.runtime.run_context import RunContext
from connector.vocabulary import OutboxState
from providers.errors import AuthorizationExpired, ProviderError, TransientError

EMAIL_KINDS = ("email", "owner_email")
log = logging.getLogger("duewell.recover")
# SendGrid keeps its e-mail logs for 30 days; a mail nobody found within three is a person's to settle.
SEARCH_PERIOD = timedelta(days=3)


def recover_interrupted(ctx: RunContext) -> None:
    """Look for every mail in doubt and every call without an answer; whatever cannot be found out becomes a doubt."""
    if ctx.dry_run:
        return
    left = _find_interrupted(ctx)
    for entry_id in [entry_id for entry_id, _state, kind in left if kind in EMAIL_KINDS]:
        _recover_email(ctx, entry_id)
    try:
        for entry_id in [entry_id for entry_id, state, kind in left if kind not in EMAIL_KINDS and state == "sending"]:
            _recover_write(ctx, entry_id)
    except CircuitOpen:
        ctx.on_progress("the ledger put us off; the rest is settled next time")


def _recover_write(ctx: RunContext, entry_id: int) -> None:
    """Settle one write into the ledger; one that cannot be looked up must not keep the run from all the others."""
    with ctx.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        kind, called_at = entry.kind, entry.dispatched_at or entry.planned_at
    try:
        ledger_writes.retry_entry(ctx, entry_id)
    except (CircuitOpen, LeaseLost, SQLAlchemyError):
        raise
    except (AuthorizationExpired, TransientError) as unasked:
        if ctx.now() - called_at > SEARCH_PERIOD:
            record_unconfirmed(ctx, entry_id, f"For three days the ledger has not said what became of it: {unasked}")
        record_deferral(ctx, kind, unasked)
    except ProviderError as no:
        record_unconfirmed(ctx, entry_id, f"The ledger cannot be asked what became of it: {no}")
    except Exception as error:  # a fault of ours in one entry
        log.exception("settling outbox entry %s broke off", entry_id)
        record_fault(ctx, entry_id, error)


def _recover_email(ctx: RunContext, entry_id: int) -> None:
    with ctx.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        state, key, called_at = entry.state, entry.key, entry.dispatched_at or entry.planned_at
        to, told = tuple(entry.payload.get("to", ())), events.find_delivery_proof(session, key)
    if told is not None:
        record_done(ctx, entry_id, told, "the mail system told that it left")
        return
    reference = _search_email_log(ctx, key, to, called_at=called_at) if ctx.now() - called_at <= SEARCH_PERIOD else None
    if reference is not None:
        record_done(ctx, entry_id, reference, "found in the mail system's own log")
    elif state == "sending":
        record_unconfirmed(ctx, entry_id, "The run that was sending it ended before it learned the answer.")


def _search_email_log(ctx: RunContext, key: str, to: tuple[str, ...], *, called_at: datetime) -> str | None:
    if ctx.mailer is None or not ctx.mailer.can_find_sent:
        return None
    try:
        found = ctx.mailer.find_sent(key, to, called_at)
    except ProviderError as error:
        ctx.on_progress(f"the mail system's log could not be asked: {error}")
        return None
    return found.message_id if found is not None else None


def _find_interrupted(ctx: RunContext) -> list[tuple[int, str, str]]:
    """List id, state and kind of what has no sure end, oldest first."""
    with ctx.reading() as session:
        rows = session.execute(
            select(col(OutboxEntry.id), col(OutboxEntry.state), col(OutboxEntry.kind))
            .where(
                col(OutboxEntry.connection_id) == ctx.connection_id,
                col(OutboxEntry.state).in_([OutboxState.SENDING, OutboxState.UNCONFIRMED]),
            )
            .order_by(col(OutboxEntry.id))
        )
        return [(entry_id or 0, state, kind) for entry_id, state, kind in rows]
