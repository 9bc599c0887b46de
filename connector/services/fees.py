"""Late fees: the list of them with their states, approving them, waiving them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements.agreements import Attribution
from connector.audit import sync_log
from connector.db.engine import writing
from connector.db.invoice_names import labels_of
from connector.db.money import to_e4
from connector.db.tables import Connection, CustomerRow, OutboxEntry
from connector.outbox import approvals
from connector.outbox import entries as outbox_entries
from connector.outbox.payloads import FeeWaiverPayload, LateFeePayload, dump_payload, payload_as, plain
from connector.results import Amount, Result
from connector.services.fee_states import FeeStanding, load_standings
from connector.vocabulary import FeeState, LogKind, OutboxKind, OutboxState
from connector.vocabulary.labels import in_sentence, label
from policies.currencies import plain_amount, round_amount, split_in_proportion
from policies.formatting import format_amount


class InvalidAmountError(approvals.OutboxError):
    """An amount of a fee that cannot be waived; ``str()`` says how much can."""


class FeeLineItem(Result):
    """A line of a fee's calculation, in the currency of the fee."""

    text: str
    amount: Amount


class FeeItem(Result):
    """A late fee; ``annual_rate`` is in percent, ``invoice`` the numbers of the overdue invoices.

    ``waived`` is how much of the ``amount`` was waived, or is about to be.
    """

    id: int
    state: FeeState
    invoice: str
    amount: Amount
    waived: Amount
    currency: str
    annual_rate: str
    number: str
    calculation: list[FeeLineItem]
    connection: str
    customer: str
    reason: str
    response: str


def find_fees(
    session: Session, connection_id: int | None = None, *, ids: Collection[int] | None = None
) -> list[FeeItem]:
    """List late fees, newest first, or those with these ids."""
    query = select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.LATE_FEE).order_by(col(OutboxEntry.id).desc())
    if connection_id is not None:
        query = query.where(col(OutboxEntry.connection_id) == connection_id)
    if ids is not None:
        query = query.where(col(OutboxEntry.id).in_(list(ids)))
    fees = list(session.scalars(query))
    standings = load_standings(session, fees)
    return [_as_item(session, standings[fee.id]) for fee in fees]


def approve(
    session: Session, ids: Iterable[int], *, by: str, at: datetime, seen: Mapping[int, str] | None = None
) -> list[OutboxEntry]:
    """Approve draft fees: the next run posts them. ``seen`` are the versions that the user read, by entry.

    Raises:
        EntryChanged: a fee is not what was read any more; nothing is changed.
        OutboxError: an entry that is no draft fee; nothing is changed.

    """
    fee_ids = list(ids)
    for fee_id in fee_ids:
        _get_fee(session, fee_id)
    return approvals.approve(session, fee_ids, by=by, at=at, seen=seen)


def waive(
    app: AppContext,
    ids: Iterable[int],
    *,
    by: str,
    reason: str = "",
    amount: Decimal | None = None,
    seen: Mapping[int, str] | None = None,
) -> list[FeeItem]:
    """Waive fees: reject those not posted yet, and have the next run void or credit the posted ones.

    With an ``amount``, only that much of a posted fee is waived, by a credit note. ``seen`` are the versions that the
    user read, by entry.

    Raises:
        EntryChanged: a fee is not what was read any more; nothing is changed.
        OutboxError: an entry that is no fee, or one that cannot be waived now, or an amount that does not stand of it;
            nothing is changed.

    """
    now = app.now()
    with writing(app.engine) as session:
        fees = [_get_fee(session, fee_id) for fee_id in ids]
        approvals.require_seen(session, seen or {})
        for fee in fees:
            if fee.state in outbox_entries.UNSENT_STATES and amount is None:
                approvals.reject(session, [fee.id or 0], by=by, at=now, reason=reason or "waived")
            elif fee.state == OutboxState.DONE:
                standing = load_standings(session, [fee])[fee.id]
                _create_waiver(session, standing, Attribution(by, now), reason=reason, amount=amount)
            else:
                state = in_sentence(label(FeeStanding(fee).state))
                wanted = "a draft, approved or posted fee" if amount is None else "a posted fee, in part,"
                message = f"Fee {fee.id} is {state}; only {wanted} can be waived."
                raise approvals.OutboxError(message)
        session.flush()
        fee_ids = {fee.id for fee in fees}
        return [fee for fee in find_fees(session) if fee.id in fee_ids]


def parse_waived_amount(text: str) -> Decimal | None:
    """Return an amount as a user typed it; None where the whole fee is waived.

    Raises:
        InvalidAmountError: it is not an amount.

    """
    if not text.strip():
        return None
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        message = f"{text.strip()!r} is not an amount: write it like 4.00."
        raise InvalidAmountError(message)
    return amount


def _create_waiver(
    session: Session, standing: FeeStanding, attribution: Attribution, *, reason: str, amount: Decimal | None
) -> None:
    """Plan a waiver; where a part of the fee was waived before, one of the rest is of a part as well."""
    fee, waivers = standing.fee, standing.waivers
    payload = payload_as(LateFeePayload, fee)
    rest = payload.amount - standing.waived
    if rest <= 0:
        return
    if amount is not None and not 0 < amount <= rest:
        message = f"{format_amount(rest, fee.currency)} of fee {fee.id} stands: waive more than 0 and at most that."
        raise InvalidAmountError(message)
    amount = rest if amount is None else round_amount(amount, fee.currency)
    valid_parts = [each for each in waivers if each.state != OutboxState.REJECTED]
    part = len(valid_parts) + 1 if valid_parts or amount < payload.amount else 0
    key = f"{fee.key}:waive" + (f":{part}" if part else "")
    what = f"{format_amount(amount, fee.currency)} of the late fee" if part else "the late fee"
    suffix = f": {reason}" if reason else ""
    text, note = f"{attribution.by} waived {what} {payload.number}{suffix}.", f"{attribution.by} waived it{suffix}"
    waiver = _build_waiver(fee, payload, amount, part, note)
    known = next((each for each in waivers if each.key == key), None)
    if known is not None:  # it was rejected, and is asked for again: the ledger may accept it now
        known.state, known.ended_at, known.reason, known.payload = OutboxState.PLANNED, None, text, waiver
        known.amount_e4 = to_e4(amount)
        return
    session.add(
        OutboxEntry(
            connection_id=fee.connection_id,
            key=key,
            kind=OutboxKind.FEE_WAIVER,
            state=OutboxState.PLANNED,
            customer_id=fee.customer_id,
            invoice_id=fee.invoice_id,
            currency=fee.currency,
            step=fee.step,
            payload=waiver,
            amount_e4=to_e4(amount),
            reason=text,
            approved_at=attribution.at,
            approved_by=attribution.by,
            parent_id=fee.id,
            planned_at=attribution.at,
        )
    )
    sync_log.write(
        session,
        at=attribution.at,
        kind=LogKind.WAIVER_REQUESTED,
        text=f"{text} The next sync voids or credits it in the accounting system.",
        connection_id=fee.connection_id,
        customer_id=fee.customer_id,
        invoice_id=fee.invoice_id,
        facts={"fee": fee.id},
    )


def _build_waiver(
    fee: OutboxEntry, payload: LateFeePayload, amount: Decimal, part: int, note: str
) -> dict[str, object]:
    """Return the payload of a waiver; its amount is shared by the overdue invoices in proportion to their fees."""
    shares = split_in_proportion(amount, list(payload.amounts.values()), fee.currency)
    return dump_payload(
        FeeWaiverPayload(
            fee_id=fee.reference,
            reason=note,
            number=payload.number,
            amount=plain(amount),
            amounts={invoice_id: plain(each) for invoice_id, each in zip(payload.amounts, shares, strict=True)},
            part=part,
            completed=payload.completed,
        )
    )


def _get_fee(session: Session, entry_id: int) -> OutboxEntry:
    entry = session.get(OutboxEntry, entry_id)
    if entry is None or entry.kind != OutboxKind.LATE_FEE:
        message = f"There is no late fee {entry_id}. List them: duewell fees list"
        raise approvals.OutboxError(message)
    return entry


def original_names(session: Session, fee: OutboxEntry) -> list[str]:
    """Return what the invoices that a late fee is about are called."""
    return load_original_names(session, [fee])[fee.id]


def load_original_names(session: Session, fees: Sequence[OutboxEntry]) -> dict[int | None, list[str]]:
    """Return what the invoices that late fees are about are called, by the id of the fee's entry."""
    payloads = {fee.id: payload_as(LateFeePayload, fee) for fee in fees}
    keys = {
        fee.id: list(dict.fromkeys((fee.connection_id, invoice_id) for invoice_id, _step in payloads[fee.id].completed))
        for fee in fees
    }
    labels = labels_of(session, {key for of_fee in keys.values() for key in of_fee})
    return {
        fee_id: [labels[key].name for key in of_fee if key in labels] or list(payloads[fee_id].original_numbers)
        for fee_id, of_fee in keys.items()
    }


def _as_item(session: Session, standing: FeeStanding) -> FeeItem:
    fee = standing.fee
    customer = session.get(CustomerRow, (fee.connection_id, fee.customer_id))
    payload = payload_as(LateFeePayload, fee)
    return FeeItem(
        id=fee.id or 0,
        state=standing.state,
        invoice=", ".join(original_names(session, fee)),
        amount=plain_amount(payload.amount, fee.currency),
        waived=plain_amount(standing.waived, fee.currency),
        currency=fee.currency,
        annual_rate=str(payload.annual_rate),
        number=payload.number,
        calculation=[
            FeeLineItem(text=text, amount=plain_amount(amount, fee.currency)) for text, amount in payload.calculation
        ],
        connection=session.get_one(Connection, fee.connection_id).short_name,
        customer=customer.name if customer is not None else "",
        reason=fee.reason,
        response=standing.response,
    )
