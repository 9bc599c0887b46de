"""Where late fees stand: by their outbox entries, by those of their waivers, and by their invoices in the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import and_, or_, select
from sqlmodel import Session, col

from connector.db.tables import InvoiceRow, OutboxEntry
from connector.outbox.payloads import FeeWaiverPayload, LateFeePayload, payload_as
from connector.sync.mirror.customer_behaviour import is_settled_by_money
from connector.vocabulary import FeeState, OutboxKind, OutboxState
from policies.receivables import InvoiceStatus

_STATES = {
    OutboxState.PLANNED: FeeState.APPROVED,
    OutboxState.AWAITING_APPROVAL: FeeState.DRAFT,
    OutboxState.DONE: FeeState.POSTED,
}
_WAIVER_STATES = {OutboxState.DONE, OutboxState.REJECTED}  # the ends of a waiver
_WAIVED_IN_LEDGER = {
    InvoiceStatus.VOIDED: "It was voided in the accounting system.",
    InvoiceStatus.DELETED: "It was deleted in the accounting system.",
    InvoiceStatus.PAID: "It was credited or written off in full in the accounting system.",
}


@dataclass(frozen=True, slots=True)
class FeeStanding:
    """A late fee with the entries that waive it, oldest first, and how a user waived it in the ledger ("": not)."""

    fee: OutboxEntry
    waivers: tuple[OutboxEntry, ...] = ()
    waived_in_ledger: str = ""

    @property
    def state(self) -> FeeState:
        """The state of the fee; one that was waived in part still stands."""
        state = OutboxState(self.fee.state)
        if state is OutboxState.REJECTED and self.fee.resolved_by:
            return FeeState.WAIVED
        if any(each.state not in _WAIVER_STATES for each in self.waivers):
            return FeeState.WAIVER_REQUESTED
        if state is OutboxState.DONE and self.waived >= self._amount:
            return FeeState.WAIVED
        return _STATES.get(state) or FeeState(state.value)

    @property
    def waived(self) -> Decimal:
        """How much of the fee was waived, or is about to be."""
        if self.waived_in_ledger:
            return self._amount
        standing = (each for each in self.waivers if each.state != OutboxState.REJECTED)
        return sum((payload_as(FeeWaiverPayload, each).amount for each in standing), Decimal(0))

    @property
    def response(self) -> str:
        """What came of its last waiver, or else of the fee."""
        last = self.waivers[-1] if self.waivers else None
        if last is not None and last.state == OutboxState.REJECTED and not self.waived_in_ledger:
            return f"It could not be waived: {last.response}"
        return (last.response if last is not None else "") or self.waived_in_ledger or self.fee.response

    @property
    def _amount(self) -> Decimal:
        return payload_as(LateFeePayload, self.fee).amount


def load_standings(session: Session, fees: Iterable[OutboxEntry]) -> dict[int | None, FeeStanding]:
    """Return where late fees stand, by the id of the fee's entry."""
    by_id = {fee.id: fee for fee in fees}
    waivers, waived_in_ledger = _find_waivers(session, by_id), _find_waived_in_ledger(session, by_id)
    return {
        fee_id: FeeStanding(fee, tuple(waivers.get(fee_id, ())), waived_in_ledger.get(fee_id, ""))
        for fee_id, fee in by_id.items()
    }


def _find_waivers(session: Session, fee_ids: Collection[int | None]) -> dict[int | None, list[OutboxEntry]]:
    found: dict[int | None, list[OutboxEntry]] = {}
    if not fee_ids:
        return found
    query = select(OutboxEntry).where(
        col(OutboxEntry.kind) == OutboxKind.FEE_WAIVER, col(OutboxEntry.parent_id).in_(list(fee_ids))
    )
    for row in session.scalars(query.order_by(col(OutboxEntry.id))):
        found.setdefault(row.parent_id, []).append(row)
    return found


def _find_waived_in_ledger(session: Session, fee_ids: Collection[int | None]) -> dict[int | None, str]:
    """Return how the invoices of fees ended in the ledger without a payment."""
    if not fee_ids:
        return {}
    status = col(InvoiceRow.status)
    is_gone = status.in_([InvoiceStatus.VOIDED, InvoiceStatus.DELETED])
    same_invoice = and_(
        col(InvoiceRow.connection_id) == col(OutboxEntry.connection_id),
        col(InvoiceRow.external_id) == col(OutboxEntry.reference),
    )
    query = (
        select(col(OutboxEntry.id), status)
        .join(InvoiceRow, same_invoice)
        .where(
            col(OutboxEntry.id).in_(list(fee_ids)),
            col(OutboxEntry.state) == OutboxState.DONE,
            or_(is_gone, and_(status == InvoiceStatus.PAID, ~is_settled_by_money())),
        )
    )
    return {fee_id: _WAIVED_IN_LEDGER[InvoiceStatus(status)] for fee_id, status in session.execute(query)}
