"""After a restore: whether an entry had been sent already, between the backup and the restore.

Before anything is sent, the ledger is searched for our notes and fees, and the email service's log for our emails.
Where that log cannot be searched, each email needs approval for a week; notes in the ledger prove emails all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from connector.db.tables import OutboxEntry
from connector.delivery.circuit_breaker import log_fields, record_deferral, record_done
from connector.emails.inbound import events, refusals
from connector.outbox import entries
from connector.outbox.drafts import note_key, short_key
from connector.outbox.payloads import EmailPayload, LateFeePayload, OwnerEmailPayload, load_payload, payload_as
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind, OutboxKind, OutboxState
from providers.errors import AuthorizationExpired, PermanentError, TransientError
from providers.mailer import SendReceipt

CHECK_PERIOD = timedelta(days=45)  # after a restore; as long as a step that had been sent may still be planned
APPROVAL_PERIOD = timedelta(days=7)
SEARCH_WINDOW = timedelta(days=1)  # what one search of the email service's log covers
EMAIL_LOG_RETENTION = timedelta(days=30)  # of the email service
_FOUND_TEXT = "it had been sent before the database was restored from its backup"
_APPROVAL_TEXT = "It may have been sent before the database was restored, which cannot be checked; approve or reject it"


def must_withhold(ctx: RunContext, entry_id: int, kind: str) -> bool:
    """Return whether a planned entry must not be sent now, because it was sent before the restore or may have been.

    An entry that was sent before is recorded as done.
    """
    if ctx.restore_gap is None or ctx.now() - ctx.restore_gap.to_at > CHECK_PERIOD:
        return False
    with ctx.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        reference = events.find_delivery_proof(session, entry.key)  # of those that came since the restore
    try:
        reference = reference or _find_in_ledger(ctx, entry)
        receipt = SendReceipt(reference) if reference else _find_in_email_log(ctx, entry)
    except TransientError as error:
        record_deferral(ctx, kind, error)
        return True
    except AuthorizationExpired as error:  # an API key that may only send, say
        return _request_approval(ctx, entry, str(error))
    if receipt is None:
        is_unchecked = entry.kind == OutboxKind.EMAIL and not _can_search_email_log(ctx)
        if is_unchecked and ctx.now() - ctx.restore_gap.to_at <= APPROVAL_PERIOD:
            return _request_approval(ctx, entry, "The log of sent emails cannot be searched.")
        return False
    with ctx.writing() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        if entry.state != OutboxState.PLANNED:
            return True
        entries.mark_sending(session, entry, at=ctx.now(), on=ctx.today(ctx.connection(session)))
    record_done(ctx, entry_id, receipt.message_id, _FOUND_TEXT, given_message_id=receipt.given_message_id)
    with ctx.writing() as session:
        refusals.take_back(session, session.get_one(OutboxEntry, entry_id))  # where these events say that it came back
    return True


def _find_in_ledger(ctx: RunContext, entry: OutboxEntry) -> str | None:
    """Find a fee by its number, a note by its key, and an email by the note about it."""
    try:
        if entry.kind == OutboxKind.LATE_FEE:
            found = ctx.ledger.find_invoice(payload_as(LateFeePayload, entry).number)
        elif entry.kind in {OutboxKind.NOTE, OutboxKind.EMAIL}:
            key = entry.key if entry.kind == OutboxKind.NOTE else note_key(entry.key, entry.invoice_id)
            found = ctx.ledger.find_note(entry.invoice_id, short_key(key))
        else:
            return None
    except PermanentError:  # the invoice was deleted, and its notes with it
        return None
    return found.external_id if found is not None else None


def _find_in_email_log(ctx: RunContext, entry: OutboxEntry) -> SendReceipt | None:
    payload = load_payload(entry)
    if ctx.mailer is None or not _can_search_email_log(ctx):
        return None
    if not isinstance(payload, EmailPayload | OwnerEmailPayload):
        return None
    for since_at in _search_starts(ctx):
        found = ctx.mailer.find_sent(entry.key, payload.to, since_at)
        if found is not None:
            return found
    return None


def _can_search_email_log(ctx: RunContext) -> bool:
    return ctx.mailer is not None and ctx.mailer.can_find_sent


def _search_starts(ctx: RunContext) -> Iterator[datetime]:
    """Yield where each search starts, so that they cover the gap as far back as the log goes."""
    assert ctx.restore_gap is not None  # noqa: S101 - checked by the caller
    since_at, until_at = ctx.restore_gap
    since_at = max(since_at, ctx.now() - EMAIL_LOG_RETENTION)
    while since_at <= until_at:
        yield since_at
        since_at += SEARCH_WINDOW


def _request_approval(ctx: RunContext, entry: OutboxEntry, reason: str) -> bool:
    """Make an email wait for approval, and return True; False where it was approved since the restore."""
    assert ctx.restore_gap is not None  # noqa: S101 - checked by the caller
    if entry.approved_at is not None and entry.approved_at >= ctx.restore_gap.to_at:
        return False
    with ctx.writing() as session:
        row = session.get_one(OutboxEntry, entry.id)
        if row.state == OutboxState.PLANNED:
            row.state = OutboxState.AWAITING_APPROVAL
            if row.response != _APPROVAL_TEXT:  # logged once, though every run plans it anew
                text = f"{_APPROVAL_TEXT}: {entry.reason} {reason}"
                ctx.log(session, LogKind.APPROVAL_REQUESTED, text, **log_fields(row))
            row.response = _APPROVAL_TEXT
    return True
