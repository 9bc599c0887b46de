"""Writes to the ledger: notes, late fees and waivers; after an unknown outcome never repeated without a look first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec
from sqlmodel import Session

from connector.connections import fee_posting
from connector.db.invoice_names import title_of
from connector.db.tables import Connection, InvoiceRow, OutboxEntry
from connector.delivery.circuit_breaker import (
    defer,
    log_fields,
    record_deferral,
    record_done,
    record_rejection,
    record_unconfirmed,
    update_entry,
)
from connector.evaluation.evaluate import refresh_entry
from connector.outbox import entries
from connector.outbox.drafts import short_key
from connector.outbox.payloads import (
    EmailPayload,
    FeeWaiverPayload,
    LateFeePayload,
    NotePayload,
    dump_payload,
    load_payload,
    payload_as,
)
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind, OutboxKind
from connector.vocabulary.labels import in_sentence, label
from policies.formatting import format_date
from providers.errors import (
    AuthorizationExpired,
    OutcomeUnknown,
    PermanentError,
    ProviderError,
    RateLimited,
    TransientError,
)
from providers.ledger import DocumentRef, LateFeeInvoice, WaivedPart

MAX_NOTE_LENGTH = 250  # Xero's limit for History; QuickBooks notes are kept the same
MAX_ATTEMPTS = 5  # of unknown outcome, before somebody is asked
REPEAT_AFTER = timedelta(
    minutes=5
)  # a call ends within two minutes on both sides, and a ledger lists it a little later
MAX_INLINE_WAIT = timedelta(seconds=65)  # a minute's limit is waited out; anything longer is left to another run

LedgerCall = Callable[[], DocumentRef]
T = TypeVar("T")


def write_entry(ctx: RunContext, entry_id: int) -> None:
    """Post one planned note, late fee or waiver."""
    with ctx.writing() as session:
        connection = ctx.connection(session)
        entry = refresh_entry(ctx, session, entry_id)
        if entry is None or not entries.is_dispatchable(connection, entry, ctx.now()):
            return
        kind, was_attempted = entry.kind, entry.attempts > 0
        if kind == OutboxKind.LATE_FEE:  # every retry under the same key must post the same
            payload = payload_as(LateFeePayload, entry)
            entry.payload = dump_payload(msgspec.structs.replace(payload, dated_on=ctx.today(connection)))
        call = _build_call(ctx, session, connection, entry)
        entries.mark_sending(session, entry, at=ctx.now(), on=ctx.today(connection))
        text = f"Posting to the accounting system ({in_sentence(label(kind, 'outbox_kind'))}): {entry.reason}"
        ctx.log(session, LogKind.SENDING, text, **log_fields(entry))
    try:
        if was_attempted and _find_earlier_write(ctx, entry_id):
            return
        attempt(ctx, entry_id, kind, call)
    except PermanentError as error:  # of the look: the invoice is gone
        record_rejection(ctx, entry_id, str(error))
    except (AuthorizationExpired, TransientError) as error:
        defer(ctx, entry_id, kind, error)


def retry_entry(ctx: RunContext, entry_id: int) -> None:
    """Finish a write whose outcome is unknown: look for it in the ledger, else repeat it under the same key.

    It is not repeated within ``REPEAT_AFTER``: the call may still be under way, or not listed yet. A fee that the
    ledger does not have is decided anew instead, as its invoice may have been paid since. Where nothing may be sent
    now, the write is only looked for.
    """
    with ctx.reading() as session:
        connection = ctx.connection(session)
        entry = session.get_one(OutboxEntry, entry_id)
        kind, attempts = entry.kind, entry.attempts
        dispatched_at = entry.dispatched_at or entry.planned_at
        may_call = entries.is_permitted(connection, entry)
        call = _build_call(ctx, session, connection, entry)
    if _find_earlier_write(ctx, entry_id):
        return
    if abs(ctx.now() - dispatched_at) < REPEAT_AFTER:  # abs: the clock may have been put back
        return
    if attempts >= MAX_ATTEMPTS:
        record_unconfirmed(ctx, entry_id, f"After {attempts} calls its outcome is still unknown.")
    elif kind == OutboxKind.LATE_FEE:
        detail = "not found in the accounting system: it is decided anew"
        update_entry(ctx, entry_id, lambda session, entry: entries.mark_planned(session, entry, detail=detail))
    elif may_call:
        update_entry(ctx, entry_id, lambda session, entry: _mark_retry(ctx, session, entry))
        try:
            attempt(ctx, entry_id, kind, call)
        except (AuthorizationExpired, TransientError) as error:  # the first call may have arrived: it stays ``sending``
            record_deferral(ctx, kind, error)


def _mark_retry(ctx: RunContext, session: Session, entry: OutboxEntry) -> None:
    entry.attempts, entry.dispatched_at = entry.attempts + 1, ctx.now()
    ctx.log(session, LogKind.SENDING, f"Retrying under the same key: {entry.reason}", **log_fields(entry))


def attempt(ctx: RunContext, entry_id: int, kind: str, call: LedgerCall) -> None:
    """Make the call of an entry that is marked as sending, and record how it ended."""
    try:
        with ctx.dispatching(entry_id):
            posted = call_with_retry(ctx, call)
    except PermanentError as error:
        record_rejection(ctx, entry_id, str(error))
    except OutcomeUnknown as error:
        look_once(ctx, entry_id, kind, error)
    else:
        record_done(ctx, entry_id, posted.external_id, f"Posted as {posted.number or posted.external_id}")


def look_once(ctx: RunContext, entry_id: int, kind: str, error: OutcomeUnknown) -> None:
    """Search for a write whose reply was lost; if not found, it stays ``sending`` and the next run searches again."""
    ctx.on_progress("no response; checking whether it was posted")
    try:
        if _find_earlier_write(ctx, entry_id):
            return
    except ProviderError as failure:
        error = OutcomeUnknown(f"{error}; the check failed: {failure}")
    record_deferral(ctx, kind, OutcomeUnknown(f"{error} The next sync checks whether it was posted."))


def _find_earlier_write(ctx: RunContext, entry_id: int) -> bool:
    """Search for what an earlier call has posted; if it is found, the entry is done."""
    with ctx.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
    existing = _find_existing(ctx, entry)
    if existing is not None:
        record_done(ctx, entry_id, existing.external_id, "found in the accounting system, posted by an earlier call")
    return existing is not None


def call_with_retry(ctx: RunContext, call: Callable[[], T]) -> T:
    """Make a call, and wait out a minute's limit once: what was rejected for a limit was not carried out."""
    try:
        return call()
    except RateLimited as error:
        pause = (error.retry_at - ctx.now()) if error.retry_at else None
        if pause is None or pause > MAX_INLINE_WAIT:
            raise
        ctx.on_progress("waiting for the rate limit to reset")
        ctx.app.wait(pause.total_seconds())
        return call()


def _find_existing(ctx: RunContext, entry: OutboxEntry) -> DocumentRef | None:
    if entry.kind == OutboxKind.NOTE:
        return ctx.ledger.find_note(entry.invoice_id, short_key(entry.key))
    if entry.kind == OutboxKind.LATE_FEE:
        return ctx.ledger.find_invoice(payload_as(LateFeePayload, entry).number)
    return None  # a waiver searches for what an earlier call has voided or credited


def _build_call(ctx: RunContext, session: Session, connection: Connection, entry: OutboxEntry) -> LedgerCall:
    ledger, key, invoice_id = ctx.ledger, entry.key, entry.invoice_id
    if entry.kind == OutboxKind.NOTE:
        text = format_note(session, connection, entry)
        return lambda: ledger.add_note(invoice_id, text, key)
    if entry.kind == OutboxKind.LATE_FEE:
        posting = fee_posting.load_fee_posting(session, entry.connection_id)
        fee = _build_fee(entry)._replace(posting=posting, customer_id=_invoiced_customer(session, entry))
        return lambda: ledger.post_late_fee(fee, key)
    waiver, today = payload_as(FeeWaiverPayload, entry), ctx.today(connection)
    part = WaivedPart(waiver.amount, waiver.part) if waiver.part else None
    return lambda: ledger.waive_late_fee(waiver.fee_id, key, reason=waiver.reason, on=today, part=part)


def _invoiced_customer(session: Session, entry: OutboxEntry) -> str:
    """Return whose invoice a fee is about: a parent may be written to for its sub-customer."""
    original = session.get(InvoiceRow, (entry.connection_id, entry.invoice_id))
    return original.customer_id if original is not None else entry.customer_id


def _build_fee(entry: OutboxEntry) -> LateFeeInvoice:
    payload = payload_as(LateFeePayload, entry)
    assert payload.dated_on is not None  # noqa: S101 - set before the first call
    return LateFeeInvoice(
        number=payload.number,
        original_invoice_id=entry.invoice_id,
        original_number=payload.original_numbers[0],
        customer_id=entry.customer_id,
        currency=entry.currency,
        amount=payload.amount,
        dated_on=payload.dated_on,
        due_on=payload.dated_on + timedelta(days=payload.due_days),
        description=payload.text,
        lines=payload.lines,
    )


def format_note(session: Session, connection: Connection, entry: OutboxEntry) -> str:
    """Return a note's one line of text, ending in the short form of its key, by which it is found again."""
    suffix = f" [duewell {short_key(entry.key)}]"
    text = _describe_parent(session, connection, entry) if entry.parent_id else payload_as(NotePayload, entry).text
    length = MAX_NOTE_LENGTH - len(suffix)
    return (text if len(text) <= length else text[: length - 1] + "…") + suffix


def _describe_parent(session: Session, connection: Connection, entry: OutboxEntry) -> str:
    """Describe the email, late fee or waiver that a note is about."""
    parent = session.get_one(OutboxEntry, entry.parent_id)
    day = format_date((parent.ended_at or parent.planned_at).astimezone(ZoneInfo(connection.time_zone)).date())
    invoice = session.get(InvoiceRow, (entry.connection_id, entry.invoice_id))
    title = title_of(session, invoice) if invoice is not None else f"invoice {entry.invoice_id}"
    payload = load_payload(parent)
    if isinstance(payload, LateFeePayload | FeeWaiverPayload):
        amount = payload.amounts.get(entry.invoice_id, payload.amount)
        fee = f"Late fee {payload.number} of {amount} {parent.currency}"
        if isinstance(payload, FeeWaiverPayload) and payload.part:
            of_fee = f"{amount} {parent.currency} of late fee {payload.number}"
            return f"{of_fee} waived for {title} on {day}. {payload.reason}."
        if isinstance(payload, FeeWaiverPayload):
            return f"{fee} waived for {title} on {day}. {payload.reason}."
        return f"{fee} charged for {title} on {day}."
    assert isinstance(payload, EmailPayload)  # noqa: S101 - nothing else has notes
    step = label(dict(payload.completed).get(entry.invoice_id, parent.step), "step")
    due = payload.due.get(entry.invoice_id)
    amount_due = f", {due} {parent.currency} due" if due else ""
    return f"{step} emailed to {', '.join(payload.to)} on {day} about {title}{amount_due}."
