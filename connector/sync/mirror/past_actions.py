"""Reads what we did about some customers, steps taken and late fees, and what became of it since."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from connector.sync.mirror.customer_batch import TABLES, CustomerBatch
from connector.sync.mirror.facts import ChargedFee, build_charged_fee, build_past_action
from policies.receivables import PastAction

_FEE_NUMBER_PREFIX = "LF-"  # how the numbers of our late-fee invoices begin
_INVOICE = TABLES["invoice"]
_OUTBOX = TABLES["outbox"]


@dataclass(slots=True)
class ChargedFees:
    """The late fees that we charged: of which invoice each fee invoice is, and what each entry charged."""

    original_ids: dict[str, str] = field(default_factory=dict)
    fees_by_entry: dict[int, ChargedFee] = field(default_factory=dict)

    def find_original(
        self, chunk: CustomerBatch, invoice_id: str, number: str, reference: str, customer_id: str
    ) -> str | None:
        """Tell whose fee an invoice is; by its number where the outbox forgot it (a new home, an old backup)."""
        known = self.original_ids.get(invoice_id)
        if known or not (number.startswith(_FEE_NUMBER_PREFIX) and reference):
            return known or None
        query = select(_INVOICE.c.external_id).where(
            _INVOICE.c.connection_id == chunk.connection_id,
            _INVOICE.c.number == reference,
            _INVOICE.c.customer_id == customer_id,
        )
        found: str | None = chunk.session.execute(query.limit(1)).scalar()
        return found


def load_charged_fees(session: Session, connection_id: int) -> ChargedFees:
    """Find the late fees of ours: their invoices in the ledger, what each came to, and whether it still stands."""
    waiver = _OUTBOX.alias("waiver")
    same_invoice = and_(
        _INVOICE.c.connection_id == _OUTBOX.c.connection_id, _INVOICE.c.external_id == _OUTBOX.c.reference
    )
    query = (
        select(
            _OUTBOX.c.id,
            _OUTBOX.c.reference,
            _OUTBOX.c.invoice_id,
            _OUTBOX.c.payload,
            _INVOICE.c.status,
            func.coalesce(waiver.c.state, "rejected").label("waiver_state"),
        )
        .join_from(_OUTBOX, _INVOICE, same_invoice, isouter=True)
        .join(waiver, and_(waiver.c.parent_id == _OUTBOX.c.id, waiver.c.kind == "fee_waiver"), isouter=True)
        .where(_OUTBOX.c.connection_id == connection_id, _OUTBOX.c.kind == "late_fee")
    )
    fees = ChargedFees()
    for row in session.execute(query):
        if row.reference:
            fees.original_ids[row.reference] = row.invoice_id
        fees.fees_by_entry[row.id] = build_charged_fee(row)
    return fees


def load_past_actions(chunk: CustomerBatch, fees: ChargedFees) -> dict[str, list[PastAction]]:
    """Read the steps taken, with the state of the mail that took them; a refused one was never taken."""
    taken = TABLES["completed_step"]
    query = (
        select(taken, _OUTBOX.c.key, _OUTBOX.c.kind, _OUTBOX.c.state)
        .join_from(taken, _OUTBOX, _OUTBOX.c.id == taken.c.outbox_id, isouter=True)
        .where(chunk.of_customers(taken), or_(_OUTBOX.c.state.is_(None), _OUTBOX.c.state != "rejected"))
        .order_by(taken.c.completed_at, taken.c.invoice_id, taken.c.step)
    )
    return chunk.many_per_key(query, "customer_id", lambda row: build_past_action(row, fees.fees_by_entry))
