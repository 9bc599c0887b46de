"""After a restore: whether an effect had left already, in the time between backup and restore that nobody remembers.

The ledger is asked for our notes and fees, the mail system for our mails, before anything leaves. Where the mail system
cannot be asked, a person approves each mail for a week; and notes in the ledger tell of mails all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from connector.db.tables import OutboxEntry
from connector.delivery.circuit_breaker import log_fields, record_deferral, record_done
from connector.outbox import entries
from connector.outbox.drafts import note_key, short_key
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind, OutboxKind, OutboxState
from providers.errors import AuthorizationExpired, PermanentError, TransientError

CHECK_PERIOD = timedelta(days=45)  # after the restore: the longest that a step which had left may be held up here
APPROVAL_PERIOD = timedelta(days=7)
SEARCH_WINDOW = timedelta(days=1)  # what one search in a mail system's log covers
EMAIL_LOG_RETENTION = timedelta(days=30)  # by the mail system
_FOUND_TEXT = "it had left before the database was put back from its backup"


def must_withhold(ctx: RunContext, entry_id: int, kind: str) -> bool:
    """Look whether a planned effect had left before the restore, and if so record it; True if it must not leave now."""
    if ctx.restore_gap is None or ctx.now() - ctx.restore_gap.to_at > CHECK_PERIOD:
        return False
    with ctx.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
    try:
        reference = _find_in_ledger(ctx, entry) or _find_in_email_log(ctx, entry)
    except TransientError as unasked:
        record_deferral(ctx, kind, unasked)
        return True
    except AuthorizationExpired as closed:  # an API key that may only send, say
        return _request_approval(ctx, entry, str(closed))
    if reference is None:
        asks = (
            entry.kind == OutboxKind.EMAIL
            and not _can_search_email_log(ctx)
            and ctx.now() - ctx.restore_gap.to_at <= APPROVAL_PERIOD
        )
        return asks and _request_approval(ctx, entry, "No log of mails is at hand.")
    with ctx.writing() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        if entry.state != OutboxState.PLANNED:
            return True
        entries.mark_sending(session, entry, at=ctx.now(), on=ctx.today(ctx.connection(session)))
    record_done(ctx, entry_id, reference, _FOUND_TEXT)
    return True


def _find_in_ledger(ctx: RunContext, entry: OutboxEntry) -> str | None:
    """Find our own trace in the ledger: a fee by its number, a note by its key, and a mail by the note it left."""
    try:
        if entry.kind == OutboxKind.LATE_FEE:
            found = ctx.ledger.find_invoice(str(entry.payload["number"]))
        elif entry.kind in {OutboxKind.NOTE, OutboxKind.EMAIL}:
            key = entry.key if entry.kind == OutboxKind.NOTE else note_key(entry.key, entry.invoice_id)
            found = ctx.ledger.find_note(entry.invoice_id, short_key(key))
        else:
            return None
    except PermanentError:  # the invoice is gone: so is what was written on it
        return None
    return found.external_id if found is not None else None


def _find_in_email_log(ctx: RunContext, entry: OutboxEntry) -> str | None:
    if (
        entry.kind not in {OutboxKind.EMAIL, OutboxKind.OWNER_EMAIL}
        or ctx.mailer is None
        or not _can_search_email_log(ctx)
    ):
        return None
    for since_at in _search_starts(ctx):
        found = ctx.mailer.find_sent(entry.key, tuple(entry.payload.get("to", ())), since_at)
        if found is not None:
            return found.message_id
    return None


def _can_search_email_log(ctx: RunContext) -> bool:
    return ctx.mailer is not None and ctx.mailer.can_find_sent


def _search_starts(ctx: RunContext) -> Iterator[datetime]:
    """Cover the lost time, as far back as the log reaches."""
    assert ctx.restore_gap is not None  # noqa: S101 - asked before
    since_at, until_at = ctx.restore_gap
    since_at = max(since_at, ctx.now() - EMAIL_LOG_RETENTION)
    while since_at <= until_at:
        yield since_at
        since_at += SEARCH_WINDOW


def _request_approval(ctx: RunContext, entry: OutboxEntry, reason: str) -> bool:
    """Leave a mail to a person's approval; one given since the restore counts."""
    assert ctx.restore_gap is not None  # noqa: S101 - asked before
    if entry.approved_at is not None and entry.approved_at >= ctx.restore_gap.to_at:
        return False
    words = "It may have left before the database was put back, and nobody can be asked; approve or reject it"
    with ctx.writing() as session:
        row = session.get_one(OutboxEntry, entry.id)
        if row.state == "planned":
            row.state = OutboxState.AWAITING_APPROVAL
            if row.response != words:  # said once; every run plans it anew
                ctx.log(session, LogKind.APPROVAL_REQUESTED, f"{words}: {entry.reason} {reason}", **log_fields(row))
            row.response = words
    return True
