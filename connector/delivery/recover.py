"""Recovers what a killed run left behind: entries that were being sent, and emails whose delivery is unconfirmed.

It runs first, before anything new is planned.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import NamedTuple

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
from connector.outbox.entries import EMAIL_KINDS
from connector.outbox.payloads import EmailPayload, OwnerEmailPayload, load_payload
from connector.runtime.lease import LeaseLost
from connector.runtime.run_context import RunContext
from connector.vocabulary import OutboxState
from providers.errors import AuthorizationExpired, ProviderError, TransientError
from providers.mailer import SendReceipt

SEARCH_PERIOD = timedelta(days=3)  # SendGrid's log reaches back 30 days; what is not found in three, a user resolves
log = logging.getLogger("duewell.recover")


class _Interrupted(NamedTuple):
    """An entry without a certain end."""

    id: int
    state: str
    kind: str


def recover_interrupted(ctx: RunContext) -> None:
    """Search for each email and write whose outcome is unknown; what cannot be found becomes unconfirmed."""
    if ctx.dry_run:
        return
    interrupted = _find_interrupted(ctx)
    for each in interrupted:
        if each.kind in EMAIL_KINDS:
            _recover_email(ctx, each.id)
    try:
        for each in interrupted:
            if each.kind not in EMAIL_KINDS and each.state == OutboxState.SENDING:
                _recover_write(ctx, each.id)
    except CircuitOpen:
        ctx.on_progress("the accounting system deferred us; the next sync looks for the rest")


def _recover_write(ctx: RunContext, entry_id: int) -> None:
    """Recover a write to the ledger; one that cannot be looked up must not keep the run from all the others."""
    with ctx.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        kind, dispatched_at = entry.kind, entry.dispatched_at or entry.planned_at
    try:
        ledger_writes.retry_entry(ctx, entry_id)
    except (CircuitOpen, LeaseLost, SQLAlchemyError):
        raise
    except (AuthorizationExpired, TransientError) as error:
        if ctx.now() - dispatched_at > SEARCH_PERIOD:
            record_unconfirmed(ctx, entry_id, f"For three days its outcome could not be looked up: {error}")
        record_deferral(ctx, kind, error)
    except ProviderError as error:
        record_unconfirmed(ctx, entry_id, f"Its outcome cannot be looked up: {error}")
    except Exception as error:  # an internal error in one entry
        log.exception("recovering outbox entry %s failed", entry_id)
        record_fault(ctx, entry_id, error)


def _recover_email(ctx: RunContext, entry_id: int) -> None:
    with ctx.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        state, key, dispatched_at = entry.state, entry.key, entry.dispatched_at or entry.planned_at
        payload, proof = load_payload(entry), events.find_delivery_proof(session, key)
    if proof is not None:
        record_done(ctx, entry_id, proof, "the email service reported that it was sent")
        return
    assert isinstance(payload, EmailPayload | OwnerEmailPayload)  # noqa: S101 - an email's
    receipt = None
    if ctx.now() - dispatched_at <= SEARCH_PERIOD:
        receipt = _search_email_log(ctx, key, payload.to, since_at=dispatched_at)
    if receipt is not None:
        detail, given = "found in the email service's log", receipt.given_message_id
        record_done(ctx, entry_id, receipt.message_id, detail, given_message_id=given)
    elif state == OutboxState.SENDING:
        record_unconfirmed(ctx, entry_id, "The sync that was sending it ended before it got the answer.")


def _search_email_log(ctx: RunContext, key: str, to: tuple[str, ...], *, since_at: datetime) -> SendReceipt | None:
    if ctx.mailer is None or not ctx.mailer.can_find_sent:
        return None
    try:
        return ctx.mailer.find_sent(key, to, since_at)
    except ProviderError as error:
        ctx.on_progress(f"the email service's log could not be searched: {error}")
        return None


def _find_interrupted(ctx: RunContext) -> list[_Interrupted]:
    """Return the entries without a certain end, oldest first."""
    with ctx.reading() as session:
        rows = session.execute(
            select(col(OutboxEntry.id), col(OutboxEntry.state), col(OutboxEntry.kind))
            .where(
                col(OutboxEntry.connection_id) == ctx.connection_id,
                col(OutboxEntry.state).in_([OutboxState.SENDING, OutboxState.UNCONFIRMED]),
            )
            .order_by(col(OutboxEntry.id))
        )
        return [_Interrupted(entry_id or 0, state, kind) for entry_id, state, kind in rows]
