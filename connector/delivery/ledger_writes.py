"""Writes into the ledger: notes, fees, waivers; retried with the same key, after a look where the outcome is old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlmodel import Session

from connector.connections import fee_booking
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
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind, OutboxKind
from policies import formatting
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, RateLimited, TransientError
from providers.ledger import DocumentRef, LateFeeInvoice

MAX_NOTE_LENGTH = 250  # Xero's limit for History; QuickBooks notes are kept alike
MAX_ATTEMPTS = 5  # of unknown outcome; then a person is asked
MAX_INLINE_WAIT = timedelta(seconds=65)  # a minute's limit is waited for; anything longer is another run's business

LedgerCall = Callable[[], DocumentRef]


def write_entry(ctx: RunContext, entry_id: int) -> None:
    """Deliver one planned note, fee or waiver."""
    with ctx.writing() as session:
        connection = ctx.connection(session)
        entry = refresh_entry(ctx, session, entry_id)
        if entry is None or not entries.is_dispatchable(connection, entry, ctx.now()):
            return
        kind = entry.kind
        if kind == "late_fee":  # a retry under the same key must say the same
            entry.payload = {**entry.payload, "dated_on": ctx.today(connection).isoformat()}
        call = _build_call(ctx, session, connection, entry)
        entries.mark_sending(session, entry, at=ctx.now(), on=ctx.today(connection))
        ctx.log(
            session,
            LogKind.SENDING,
            f"Writing into the ledger ({kind.replace('_', ' ')}): {entry.reason}",
            **log_fields(entry),
        )
    try:
        _attempt(ctx, entry_id, kind, call)
    except (AuthorizationExpired, TransientError) as nothing_left:
        defer(ctx, entry_id, kind, nothing_left)


def retry_entry(ctx: RunContext, entry_id: int) -> None:
    """Settle a write that was left without an answer: look whether it is there, else call again with the same key.

    A fee that is not there is decided anew instead: its invoice may have been paid since. Where nothing may leave now,
    it is only looked for.
    """
    with ctx.reading() as session:
        connection = ctx.connection(session)
        entry = session.get_one(OutboxEntry, entry_id)
        kind, invoice_id, key, attempts = entry.kind, entry.invoice_id, entry.key, entry.attempts
        number = str(entry.payload.get("number", ""))
        may_call = entries.is_permitted(connection, entry)
        call = _build_call(ctx, session, connection, entry)
    there = _find_existing(ctx, kind, invoice_id, key, number)
    if there is not None:
        record_done(ctx, entry_id, there.external_id, "found in the ledger, where an earlier call had put it")
    elif attempts >= MAX_ATTEMPTS:
        record_unconfirmed(ctx, entry_id, f"After {attempts} calls the ledger has still not said what became of it.")
    elif kind == "late_fee":
        answer = "the ledger does not have it: it is decided anew"
        update_entry(ctx, entry_id, lambda session, entry: entries.mark_planned(session, entry, detail=answer))
    elif may_call:
        update_entry(ctx, entry_id, lambda session, entry: _mark_retry(ctx, session, entry))
        try:
            _attempt(ctx, entry_id, kind, call)
        except (
            AuthorizationExpired,
            TransientError,
        ) as nothing_left:  # this time; of the first time nobody knows: it stays ``calling``
            record_deferral(ctx, kind, nothing_left)


def _mark_retry(ctx: RunContext, session: Session, entry: OutboxEntry) -> None:
    entry.attempts, entry.dispatched_at = entry.attempts + 1, ctx.now()
    ctx.log(session, LogKind.SENDING, f"Calling again with the same key: {entry.reason}", **log_fields(entry))


def _attempt(ctx: RunContext, entry_id: int, kind: str, call: LedgerCall) -> None:
    try:
        with ctx.dispatching(entry_id):
            posted = _call_with_retry(ctx, call)
    except PermanentError as no:
        record_rejection(ctx, entry_id, str(no))
    except OutcomeUnknown as unknown:
        # It stays ``calling``: the next run looks, then calls again under the same key.
        record_deferral(ctx, kind, OutcomeUnknown(f"{unknown} The next run looks whether it arrived."))
    else:
        record_done(ctx, entry_id, posted.external_id, f"The ledger's id is {posted.number or posted.external_id}")


def _call_with_retry(ctx: RunContext, call: LedgerCall) -> DocumentRef:
    """Call; wait out a minute's limit once; repeat an unknown outcome once, which the key makes safe."""
    try:
        return call()
    except RateLimited as limited:
        pause = (limited.retry_at - ctx.now()) if limited.retry_at else None
        if pause is None or pause > MAX_INLINE_WAIT:
            raise
        ctx.on_progress("waiting for the ledger's minute to end")
        ctx.app.stop.wait(max(pause.total_seconds(), 0.0))
        return call()
    except OutcomeUnknown as first:
        ctx.on_progress("no answer; calling again with the same key")
        try:
            return call()
        except (
            AuthorizationExpired,
            TransientError,
            PermanentError,
        ) as second:  # says nothing of the first call, which may have arrived
            message = f"{first}; called again: {second}"
            raise OutcomeUnknown(message) from second


def _find_existing(ctx: RunContext, kind: str, invoice_id: str, key: str, number: str) -> DocumentRef | None:
    if kind == "note":
        return ctx.ledger.find_note(invoice_id, short_key(key))
    if kind == "late_fee":
        return ctx.ledger.find_invoice(number)
    return None  # voiding what is void changes nothing


def _build_call(ctx: RunContext, session: Session, connection: Connection, entry: OutboxEntry) -> LedgerCall:
    ledger, key, invoice_id = ctx.ledger, entry.key, entry.invoice_id
    if entry.kind == OutboxKind.NOTE:
        text = format_note(session, connection, entry)
        return lambda: ledger.add_note(invoice_id, text, key)
    if entry.kind == OutboxKind.LATE_FEE:
        fee = _build_fee(entry)._replace(posting=fee_booking.load_booking(session, entry.connection_id))
        return lambda: ledger.post_late_fee(fee, key)
    fee_id, today = str(entry.payload["fee_id"]), ctx.today(connection)
    return lambda: ledger.waive_late_fee(fee_id, key, reason=entry.payload["reason"], on=today)


def _build_fee(entry: OutboxEntry) -> LateFeeInvoice:
    payload = entry.payload
    dated_on = date.fromisoformat(payload["dated_on"])
    return LateFeeInvoice(
        number=payload["number"],
        original_invoice_id=entry.invoice_id,
        original_number=payload["original_number"],
        customer_id=entry.customer_id,
        currency=entry.currency,
        amount=Decimal(payload["amount"]),
        dated_on=dated_on,
        due_on=dated_on + timedelta(days=payload["due_days"]),
        description=payload["text"],
        lines=tuple((text, Decimal(amount)) for text, amount in payload.get("lines", ())),
    )


def format_note(session: Session, connection: Connection, entry: OutboxEntry) -> str:
    """Tell in one line what was done about the invoice, ending in the key's short form by which it is found again."""
    mark = f" [duewell {short_key(entry.key)}]"
    text = _describe_parent(session, connection, entry) if entry.parent_id else str(entry.payload["text"])
    room = MAX_NOTE_LENGTH - len(mark)
    return (text if len(text) <= room else text[: room - 1] + "…") + mark


def _describe_parent(session: Session, connection: Connection, entry: OutboxEntry) -> str:
    """Tell of the mail, fee or waiver that a note follows from."""
    parent = session.get_one(OutboxEntry, entry.parent_id)
    on = (parent.ended_at or parent.planned_at).astimezone(ZoneInfo(connection.time_zone)).date()
    day = formatting.format_date(on)
    invoice = session.get(InvoiceRow, (entry.connection_id, entry.invoice_id))
    number = invoice.number if invoice is not None else entry.invoice_id
    payload = parent.payload
    if parent.kind in {OutboxKind.LATE_FEE, OutboxKind.FEE_WAIVER}:
        amount = payload.get("amounts", {}).get(entry.invoice_id, payload["amount"])
        verb = "charged" if parent.kind == OutboxKind.LATE_FEE else "waived"
        text = f"Late fee {payload['number']} of {amount} {parent.currency} {verb} for invoice {number} on {day}."
        return text + (f" {payload['reason']}." if parent.kind == OutboxKind.FEE_WAIVER else "")
    step = dict(map(tuple, payload["completed"])).get(entry.invoice_id, parent.step).replace("_", " ")
    due = payload["due"].get(entry.invoice_id)
    owed = f", {due} {parent.currency} due" if due else ""
    return f"Mail '{step}' sent to {', '.join(payload['to'])} on {day} about invoice {number}{owed}."
