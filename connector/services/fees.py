"""Late fees: the list of them with their states, approving them, waiving them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import writing
from connector.db.invoice_names import names_of
from connector.db.paging import Page, paginate
from connector.db.tables import Connection, CustomerRow, OutboxEntry
from connector.outbox import approvals
from connector.outbox import entries as outbox_entries
from connector.outbox.payloads import FeeWaiverPayload, LateFeePayload, dump_payload, payload_as
from connector.results import Amount, Result
from connector.vocabulary import FeeState, LogKind, OutboxKind, OutboxState
from connector.vocabulary.labels import in_sentence, label
from policies.currencies import plain_amount

_STATES = {
    OutboxState.PLANNED: FeeState.APPROVED,
    OutboxState.AWAITING_APPROVAL: FeeState.DRAFT,
    OutboxState.DONE: FeeState.POSTED,
}
_WAIVER_STATES = {OutboxState.DONE: FeeState.WAIVED, OutboxState.REJECTED: FeeState.POSTED}


class FeeLineItem(Result):
    """A line of a fee's calculation, in the currency of the fee."""

    text: str
    amount: Amount


class FeeItem(Result):
    """A late fee; ``annual_rate`` is in percent, ``invoice`` the numbers of the overdue invoices."""

    id: int
    state: FeeState
    invoice: str
    amount: Amount
    currency: str
    annual_rate: str
    number: str
    calculation: list[FeeLineItem]
    connection: str
    customer: str
    reason: str
    response: str


def find_fees(session: Session, connection_id: int | None = None, *, page: Page | None = None) -> list[FeeItem]:
    """List late fees, newest first."""
    query = select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.LATE_FEE).order_by(col(OutboxEntry.id).desc())
    if connection_id is not None:
        query = query.where(col(OutboxEntry.connection_id) == connection_id)
    fees = list(
        session.scalars(paginate(query, page, col(OutboxEntry.connection_id), OutboxEntry.id, newest_first=True))
    )
    waivers = {
        row.parent_id: row
        for row in session.scalars(select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.FEE_WAIVER))
    }
    return [_as_item(session, fee, waivers.get(fee.id)) for fee in fees]


def approve(session: Session, ids: Iterable[int], *, by: str, at: datetime) -> list[OutboxEntry]:
    """Approve draft fees: the next run posts them.

    Raises:
        OutboxError: an entry that is no draft fee; nothing is changed.

    """
    fee_ids = list(ids)
    for fee_id in fee_ids:
        _get_fee(session, fee_id)
    return approvals.approve(session, fee_ids, by=by, at=at)


def waive(app: AppContext, ids: Iterable[int], *, by: str, reason: str = "") -> list[FeeItem]:
    """Waive fees: reject those not posted yet, and have the next run void or credit the posted ones.

    Raises:
        OutboxError: an entry that is no fee, or one that cannot be waived now; nothing is changed.

    """
    now = app.now()
    with writing(app.engine) as session:
        fees = [_get_fee(session, fee_id) for fee_id in ids]
        for fee in fees:
            if fee.state in outbox_entries.UNSENT_STATES:
                approvals.reject(session, [fee.id or 0], by=by, at=now, reason=reason or "waived")
            elif fee.state == OutboxState.DONE:
                _create_waiver(session, fee, by=by, reason=reason, at=now)
            else:
                state = in_sentence(label(fee_state(fee, None)))
                message = f"Fee {fee.id} is {state}; only a draft, approved or posted fee can be waived."
                raise approvals.OutboxError(message)
        session.flush()
        fee_ids = {fee.id for fee in fees}
        return [fee for fee in find_fees(session) if fee.id in fee_ids]


def fee_state(fee: OutboxEntry, waiver: OutboxEntry | None) -> FeeState:
    """Return where a fee stands, from its outbox entry and that of its waiver."""
    if waiver is not None:
        return _WAIVER_STATES.get(OutboxState(waiver.state), FeeState.WAIVER_REQUESTED)
    state = OutboxState(fee.state)
    if state is OutboxState.REJECTED and fee.resolved_by:
        return FeeState.WAIVED
    return _STATES.get(state) or FeeState(state.value)


def _create_waiver(session: Session, fee: OutboxEntry, *, by: str, reason: str, at: datetime) -> None:
    payload = payload_as(LateFeePayload, fee)
    key = f"{fee.key}:waive"
    text = f"{by} waived the late fee {payload.number}" + (f": {reason}" if reason else "")
    note = f"{by} waived it" + (f": {reason}" if reason else "")
    known = session.scalar(select(OutboxEntry).where(col(OutboxEntry.key) == key))
    if known is not None:
        if known.state == OutboxState.REJECTED:  # asked again: the ledger may accept it now
            known.state, known.ended_at, known.reason = OutboxState.PLANNED, None, f"{text}."
            known.payload = dump_payload(msgspec.structs.replace(payload_as(FeeWaiverPayload, known), reason=note))
        return
    waiver = FeeWaiverPayload(
        fee_id=fee.reference,
        reason=note,
        number=payload.number,
        amount=payload.amount,
        amounts=payload.amounts,
        completed=payload.completed,
    )
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
            payload=dump_payload(waiver),
            reason=f"{text}.",
            approved_at=at,
            approved_by=by,
            parent_id=fee.id,
            planned_at=at,
        )
    )
    sync_log.write(
        session,
        at=at,
        kind=LogKind.WAIVER_REQUESTED,
        text=f"{text}; the next sync voids or credits it in the accounting system.",
        connection_id=fee.connection_id,
        customer_id=fee.customer_id,
        invoice_id=fee.invoice_id,
        facts={"fee": fee.id},
    )


def _get_fee(session: Session, entry_id: int) -> OutboxEntry:
    entry = session.get(OutboxEntry, entry_id)
    if entry is None or entry.kind != OutboxKind.LATE_FEE:
        message = f"There is no late fee {entry_id}. List them: duewell fees list"
        raise approvals.OutboxError(message)
    return entry


def original_names(session: Session, fee: OutboxEntry) -> list[str]:
    """Return what the invoices that a late fee is about are called."""
    payload = payload_as(LateFeePayload, fee)
    ids = list(dict.fromkeys(invoice_id for invoice_id, _step in payload.completed))
    names = names_of(session, fee.connection_id, ids)
    return [names[each] for each in ids if each in names] or list(payload.original_numbers)


def _as_item(session: Session, fee: OutboxEntry, waiver: OutboxEntry | None) -> FeeItem:
    customer = session.get(CustomerRow, (fee.connection_id, fee.customer_id))
    response = fee.response
    if waiver is not None:
        rejected = waiver.state == OutboxState.REJECTED
        response = f"It could not be waived: {waiver.response}" if rejected else waiver.response or response
    payload = payload_as(LateFeePayload, fee)
    return FeeItem(
        id=fee.id or 0,
        state=fee_state(fee, waiver),
        invoice=", ".join(original_names(session, fee)),
        amount=plain_amount(payload.amount, fee.currency),
        currency=fee.currency,
        annual_rate=str(payload.annual_rate),
        number=payload.number,
        calculation=[
            FeeLineItem(text=text, amount=plain_amount(amount, fee.currency)) for text, amount in payload.calculation
        ],
        connection=session.get_one(Connection, fee.connection_id).short_name,
        customer=customer.name if customer is not None else "",
        reason=fee.reason,
        response=response,
    )
