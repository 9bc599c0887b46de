"""Past actions: the steps completed for some customers, the late fees charged, and their outcome since."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from connector.outbox.drafts import FEE_NUMBER_PREFIX
from connector.sync.mirror.customer_batch import TABLES, CustomerBatch
from connector.sync.mirror.customer_behaviour import is_settled_by_money
from connector.sync.mirror.facts import (
    ChargedFee,
    FeeWaivers,
    build_charged_fee,
    build_past_action,
    build_refused_actions,
)
from connector.vocabulary import OutboxKind, OutboxState
from policies.receivables import FeeOutcome, PastAction

_INVOICE = TABLES["invoice"]
_OUTBOX = TABLES["outbox"]


@dataclass(slots=True)
class ChargedFees:
    """Our late fees: the original invoice of each fee invoice, and what each outbox entry charged."""

    original_ids: dict[str, str] = field(default_factory=dict)
    fees_by_entry: dict[int, ChargedFee] = field(default_factory=dict)

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
    fees = ChargedFees()
    for row in session.execute(query):
        if row.reference:
            fees.original_ids[row.reference] = row.invoice_id
        fees.fees_by_entry[row.id] = build_charged_fee(row, waivers.get(row.id, FeeWaivers()))
    return fees


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


def load_past_actions(batch: CustomerBatch, fees: ChargedFees, zone: ZoneInfo) -> dict[str, list[PastAction]]:
    """Return the completed steps, with the state of their emails, and the emails that reached nobody."""
    found = _load_completed_steps(batch, fees)
    query = select(_OUTBOX).where(batch.of_customers(_OUTBOX), _OUTBOX.c.refusal != "").order_by(_OUTBOX.c.id)
    for row in batch.session.execute(query):
        found.setdefault(row.customer_id, []).extend(build_refused_actions(row, zone))
    return found


def _load_completed_steps(batch: CustomerBatch, fees: ChargedFees) -> dict[str, list[PastAction]]:
    """Return the completed steps, except those whose email was rejected."""
    step, task = TABLES["completed_step"], TABLES["task"]
    of_task = (task.c.code.label("task_code"), task.c.state.label("task_state"))
    query = (
        select(step, _OUTBOX.c.key, _OUTBOX.c.kind, _OUTBOX.c.state, *of_task)
        .join_from(step, _OUTBOX, _OUTBOX.c.id == step.c.outbox_id, isouter=True)
        .join(task, task.c.id == step.c.task_id, isouter=True)
        .where(batch.of_customers(step), or_(_OUTBOX.c.state.is_(None), _OUTBOX.c.state != OutboxState.REJECTED))
        .order_by(step.c.completed_at, step.c.invoice_id, step.c.step)
    )
    return batch.many_per_key(query, "customer_id", lambda row: build_past_action(row, fees.fees_by_entry))
