"""Writes into the ledger: notes, fees, waivers; retried with the same key, after a look where the outcome is old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlmodel import Session

from connector import outbox
from connector.deciding import as_it_stands
from connector.effects import short_key
from connector.hour import Hour
from connector.lanes import about, done, doubt, put_off, refused, settle, wait
from connector.people import writeback
from connector.tables import Connection, InvoiceRow, OutboxEntry
from policies import wording
from providers.errors import RateLimited, Reconnect, Rejected, TryLater, Unknown
from providers.ledger import LateFeeInvoice, Posted

NOTE_LENGTH = 250  # Xero's limit for History; QuickBooks notes are kept alike
MOST_ATTEMPTS = 5  # of unknown outcome; then a person is asked
SHORT_WAIT = timedelta(seconds=65)  # a minute's limit is waited for; anything longer is another run's business

Call = Callable[[], Posted]


def write(hour: Hour, entry_id: int) -> None:
    """Deliver one planned note, fee or waiver."""
    with hour.writing() as session:
        connection = hour.connection(session)
        entry = as_it_stands(hour, session, entry_id)
        if entry is None or not outbox.may_leave(connection, entry, hour.now()):
            return
        kind = entry.kind
        if kind == "late_fee":  # a retry under the same key must say the same
            entry.payload = {**entry.payload, "dated_on": hour.today(connection).isoformat()}
        call = _call(hour, session, connection, entry)
        outbox.mark_calling(session, entry, at=hour.now(), on=hour.today(connection))
        hour.log(session, "calling", f"Writing into the ledger ({kind.replace('_', ' ')}): {entry.why}", **about(entry))
    try:
        _attempt(hour, entry_id, kind, call)
    except (Reconnect, TryLater) as nothing_left:
        put_off(hour, entry_id, kind, nothing_left)


def retry(hour: Hour, entry_id: int) -> None:
    """Settle a write that was left without an answer: look whether it is there, else call again with the same key.

    A fee that is not there is decided anew instead: its invoice may have been paid since. Where nothing may leave now,
    it is only looked for.
    """
    with hour.reading() as session:
        connection = hour.connection(session)
        entry = session.get_one(OutboxEntry, entry_id)
        kind, invoice_id, key, attempts = entry.kind, entry.invoice_id, entry.key, entry.attempts
        number = str(entry.payload.get("number", ""))
        may_call = outbox.is_allowed(connection, entry)
        call = _call(hour, session, connection, entry)
    there = _look(hour, kind, invoice_id, key, number)
    if there is not None:
        done(hour, entry_id, there.external_id, "found in the ledger, where an earlier call had put it")
    elif attempts >= MOST_ATTEMPTS:
        doubt(hour, entry_id, f"After {attempts} calls the ledger has still not said what became of it.")
    elif kind == "late_fee":
        answer = "the ledger does not have it: it is decided anew"
        settle(hour, entry_id, lambda session, entry: outbox.mark_planned(session, entry, answer=answer))
    elif may_call:
        settle(hour, entry_id, lambda session, entry: _again(hour, session, entry))
        try:
            _attempt(hour, entry_id, kind, call)
        except (Reconnect, TryLater) as nothing_left:  # this time; of the first time nobody knows: it stays ``calling``
            wait(hour, kind, nothing_left)


def _again(hour: Hour, session: Session, entry: OutboxEntry) -> None:
    entry.attempts, entry.called_at = entry.attempts + 1, hour.now()
    hour.log(session, "calling", f"Calling again with the same key: {entry.why}", **about(entry))


def _attempt(hour: Hour, entry_id: int, kind: str, call: Call) -> None:
    try:
        with hour.leaves(entry_id):
            posted = _patiently(hour, call)
    except Rejected as no:
        refused(hour, entry_id, str(no))
    except Unknown as unknown:
        # It stays ``calling``: the next run looks, then calls again under the same key.
        wait(hour, kind, Unknown(f"{unknown} The next run looks whether it arrived."))
    else:
        done(hour, entry_id, posted.external_id, f"The ledger's id is {posted.number or posted.external_id}")


def _patiently(hour: Hour, call: Call) -> Posted:
    """Call; wait out a minute's limit once; repeat an unknown outcome once, which the key makes safe."""
    try:
        return call()
    except RateLimited as limited:
        pause = (limited.not_before_at - hour.now()) if limited.not_before_at else None
        if pause is None or pause > SHORT_WAIT:
            raise
        hour.tell("waiting for the ledger's minute to end")
        hour.installation.stop.wait(max(pause.total_seconds(), 0.0))
        return call()
    except Unknown as first:
        hour.tell("no answer; calling again with the same key")
        try:
            return call()
        except (Reconnect, TryLater, Rejected) as second:  # says nothing of the first call, which may have arrived
            message = f"{first}; called again: {second}"
            raise Unknown(message) from second


def _look(hour: Hour, kind: str, invoice_id: str, key: str, number: str) -> Posted | None:
    if kind == "note":
        return hour.ledger.find_note(invoice_id, short_key(key))
    if kind == "late_fee":
        return hour.ledger.find_invoice(number)
    return None  # voiding what is void changes nothing


def _call(hour: Hour, session: Session, connection: Connection, entry: OutboxEntry) -> Call:
    ledger, key, invoice_id = hour.ledger, entry.key, entry.invoice_id
    if entry.kind == "note":
        text = note_text(session, connection, entry)
        return lambda: ledger.add_note(invoice_id, text, key)
    if entry.kind == "late_fee":
        fee = _fee(entry)._replace(booking=writeback.booking(session, entry.connection_id))
        return lambda: ledger.post_late_fee(fee, key)
    fee_id, today = str(entry.payload["fee_id"]), hour.today(connection)
    return lambda: ledger.waive_late_fee(fee_id, key, reason=entry.payload["reason"], on=today)


def _fee(entry: OutboxEntry) -> LateFeeInvoice:
    payload = entry.payload
    dated_on = date.fromisoformat(payload["dated_on"])
    return LateFeeInvoice(
        number=payload["number"],
        of_invoice_id=entry.invoice_id,
        of_number=payload["of_number"],
        customer_id=entry.customer_id,
        currency=entry.currency,
        amount=Decimal(payload["amount"]),
        dated_on=dated_on,
        due_on=dated_on + timedelta(days=payload["due_days"]),
        description=payload["text"],
        lines=tuple((text, Decimal(amount)) for text, amount in payload.get("lines", ())),
    )


def note_text(session: Session, connection: Connection, entry: OutboxEntry) -> str:
    """Tell in one line what was done about the invoice, ending in the key's short form by which it is found again."""
    mark = f" [duewell {short_key(entry.key)}]"
    text = _told_of(session, connection, entry) if entry.parent_id else str(entry.payload["text"])
    room = NOTE_LENGTH - len(mark)
    return (text if len(text) <= room else text[: room - 1] + "…") + mark


def _told_of(session: Session, connection: Connection, entry: OutboxEntry) -> str:
    """Tell of the mail, fee or waiver that a note follows from."""
    parent = session.get_one(OutboxEntry, entry.parent_id)
    on = (parent.ended_at or parent.planned_at).astimezone(ZoneInfo(connection.time_zone)).date()
    day = wording.day(on)
    invoice = session.get(InvoiceRow, (entry.connection_id, entry.invoice_id))
    number = invoice.number if invoice is not None else entry.invoice_id
    payload = parent.payload
    if parent.kind in {"late_fee", "waive_fee"}:
        amount = payload.get("amounts", {}).get(entry.invoice_id, payload["amount"])
        verb = "charged" if parent.kind == "late_fee" else "waived"
        text = f"Late fee {payload['number']} of {amount} {parent.currency} {verb} for invoice {number} on {day}."
        return text + (f" {payload['reason']}." if parent.kind == "waive_fee" else "")
    step = dict(map(tuple, payload["taken"])).get(entry.invoice_id, parent.step).replace("_", " ")
    due = payload["due"].get(entry.invoice_id)
    owed = f", {due} {parent.currency} due" if due else ""
    return f"Mail '{step}' sent to {', '.join(payload['to'])} on {day} about invoice {number}{owed}."
