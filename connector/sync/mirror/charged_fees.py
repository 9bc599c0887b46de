"""Our late fees: what each charged, whether it still stands, and which invoice in the ledger it became."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from connector.outbox.drafts import FEE_NUMBER_PREFIX
from connector.outbox.payloads import FeeCharge
from connector.sync.mirror.customer_batch import TABLES, CustomerBatch
from connector.sync.mirror.customer_behaviour import is_settled_by_money
from connector.vocabulary import OutboxKind, OutboxState, TaskCode, TaskState
from policies.currencies import split_in_proportion
from policies.receivables import FeeOutcome, InvoiceStatus

_INVOICE = TABLES["invoice"]
_OUTBOX = TABLES["outbox"]
_TASK = TABLES["task"]
_GONE_STATUSES = {InvoiceStatus.VOIDED, InvoiceStatus.DELETED}


class FeeWaivers(NamedTuple):
    """What was waived of a late fee: all of it, or parts."""

    is_whole: bool = False
    amount: Decimal = Decimal(0)


class ChargedFee(NamedTuple):
    """The charges of a late fee by invoice and period, its outcome, ``None`` while it is open, and its invoice's id.

    ``waived`` is the part of each charge that was waived: the waived total, shared in proportion.
    """

    charges: Mapping[tuple[str, str], FeeCharge]
    outcome: FeeOutcome | None
    invoice_id: str = ""
    waived: Mapping[tuple[str, str], Decimal] = {}
    ended_at: datetime | None = None


def _build_charged_fee(row: Any, waivers: FeeWaivers) -> ChargedFee:
    """Return a fee with what was waived of it; ``row.status`` is that of its invoice.

    One that was credited or written off in full in the ledger is waived, like one that was voided there.
    """
    charges = msgspec.convert(row.payload.get("charges", ()), tuple[FeeCharge, ...])
    by_period = {(charge.invoice_id, charge.period): charge for charge in charges}
    shares = split_in_proportion(waivers.amount, [each.amount for each in by_period.values()], row.currency)
    waived = dict(zip(by_period, shares, strict=True))
    outcome = None
    if row.status == InvoiceStatus.PAID:
        outcome = FeeOutcome.PAID if row.is_paid else FeeOutcome.WAIVED
    if waivers.is_whole or row.status in _GONE_STATUSES or (charges and not waivers.amount < _total(charges)):
        outcome = FeeOutcome.WAIVED
    return ChargedFee(by_period, outcome, row.reference, waived, row.ended_at)


def _total(charges: Sequence[FeeCharge]) -> Decimal:
    return sum((charge.amount for charge in charges), Decimal(0))


NO_FEE = ChargedFee({}, FeeOutcome.WAIVED)  # of a completed step without an entry: a user waived the draft


@dataclass(slots=True)
class ChargedFees:
    """Our late fees: the original invoice of each fee invoice, what each outbox entry charged, and doubtful ones.

    ``proposed_waivers`` are the invoices of fees that an open task proposes to waive, in full or in part.
    """

    original_ids: dict[str, str] = field(default_factory=dict)
    fees_by_entry: dict[int, ChargedFee] = field(default_factory=dict)
    proposed_waivers: frozenset[str] = frozenset()

    def list_standing_originals(self) -> list[str]:
        """List the invoices whose late fee is neither paid nor waived: they stay on the statement with it."""
        standing = (fee for fee in self.fees_by_entry.values() if fee.invoice_id and fee.outcome is None)
        return sorted({invoice_id for fee in standing for invoice_id, _period in fee.charges})

    def list_paid(self, since_at: datetime) -> list[str]:
        """List the invoices of fees that were posted since and paid: a corrected payment can make them wrong."""
        fees = (fee for fee in self.fees_by_entry.values() if fee.outcome is FeeOutcome.PAID)
        paid = [fee for fee in fees if fee.ended_at is not None and fee.ended_at >= since_at]
        ids = {invoice_id for fee in paid for invoice_id, _period in fee.charges}
        return sorted(ids | {fee.invoice_id for fee in paid})

    def list_waived(self) -> set[str]:
        """List the invoices of fees that were waived in full, or are about to be."""
        return {fee.invoice_id for fee in self.fees_by_entry.values() if fee.outcome is FeeOutcome.WAIVED}

    def find_original(
        self, batch: CustomerBatch, invoice_id: str, number: str, reference: str, customer_id: str
    ) -> str | None:
        """Return the invoice that a fee invoice is about, None for other invoices.

        Where the outbox does not know it (after a move or from an old backup), its number shows it.
        """
        known = self.original_ids.get(invoice_id)
        if known or not (number.startswith(FEE_NUMBER_PREFIX) and reference):
            return known or None
        query = select(_INVOICE.c.external_id).where(
            _INVOICE.c.connection_id == batch.connection_id,
            _INVOICE.c.number == reference,
            _INVOICE.c.customer_id == customer_id,
        )
        found: str | None = batch.session.execute(query.limit(1)).scalar()
        return found


def load_charged_fees(session: Session, connection_id: int) -> ChargedFees:
    """Return our late fees: their invoices in the ledger, their amounts, and whether they still stand."""
    same_invoice = and_(
        _INVOICE.c.connection_id == _OUTBOX.c.connection_id, _INVOICE.c.external_id == _OUTBOX.c.reference
    )
    columns = (_OUTBOX.c[name] for name in ("id", "reference", "invoice_id", "currency", "payload", "ended_at"))
    query = (
        select(*columns, _INVOICE.c.status, is_settled_by_money().label("is_paid"))
        .join_from(_OUTBOX, _INVOICE, same_invoice, isouter=True)
        .where(_OUTBOX.c.connection_id == connection_id, _OUTBOX.c.kind == OutboxKind.LATE_FEE)
    )
    waivers = _load_waivers(session, connection_id)
    fees = ChargedFees(proposed_waivers=_load_proposed_waivers(session, connection_id))
    for row in session.execute(query):
        if row.reference:
            fees.original_ids[row.reference] = row.invoice_id
        fees.fees_by_entry[row.id] = _build_charged_fee(row, waivers.get(row.id, FeeWaivers()))
    return fees


def _load_proposed_waivers(session: Session, connection_id: int) -> frozenset[str]:
    query = select(_TASK.c.invoice_ids).where(
        _TASK.c.connection_id == connection_id,
        _TASK.c.code == TaskCode.PROPOSE_WAIVER,
        _TASK.c.state == TaskState.OPEN,
    )
    return frozenset(invoice_id for ids in session.scalars(query) for invoice_id in ids)


def _load_waivers(session: Session, connection_id: int) -> dict[int, FeeWaivers]:
    """Return what was waived of each fee, or is about to be, by the id of its entry."""
    query = select(_OUTBOX.c.parent_id, _OUTBOX.c.payload).where(
        _OUTBOX.c.connection_id == connection_id,
        _OUTBOX.c.kind == OutboxKind.FEE_WAIVER,
        _OUTBOX.c.state != OutboxState.REJECTED,
    )
    found: dict[int, FeeWaivers] = {}
    for row in session.execute(query):
        known, amount = found.get(row.parent_id, FeeWaivers()), Decimal(row.payload["amount"])
        is_part = bool(row.payload.get("part"))
        found[row.parent_id] = known._replace(amount=known.amount + amount) if is_part else FeeWaivers(is_whole=True)
    return found
