"""What a user sees before changing a company's mode: what would be sent now and within a week."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.db.money import from_e4
from connector.db.tables import Connection, CustomerRow, InvoiceDecisionRow, InvoiceRow, OutboxEntry
from connector.outbox.entries import UNSENT_STATES
from connector.vocabulary import OutboxKind, OutboxState

_UPCOMING_DAYS = 7


@dataclass(frozen=True, slots=True)
class ActionTotal:
    """The number and total of actions of one kind in one currency; currencies are never added up."""

    action: str
    count: int
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class ModeChangePreview:
    """What would be sent: already planned, and due soon if nobody pays."""

    planned: list[ActionTotal]
    upcoming: list[ActionTotal]
    customer_count: int  # customers with a planned email or fee
    awaiting_approval: bool  # some of what is planned already awaits approval


def preview_mode_change(session: Session, company: Connection, today: date) -> ModeChangePreview:
    """Return what a change of mode would affect."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    amounts: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    customer_ids, awaiting = set(), False
    query = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == company.id,
        col(OutboxEntry.state).in_(UNSENT_STATES),
        col(OutboxEntry.kind).in_([OutboxKind.EMAIL, OutboxKind.LATE_FEE, OutboxKind.OWNER_EMAIL]),
    )
    for entry in session.scalars(query):
        key = (entry.step if entry.kind == OutboxKind.EMAIL else entry.kind, entry.currency)
        sums = (
            [entry.payload["amount"]]
            if entry.kind == OutboxKind.LATE_FEE
            else (entry.payload.get("due") or {}).values()
        )
        counts[key] += 1
        amounts[key] += sum((Decimal(each) for each in sums), Decimal())
        customer_ids.add(entry.customer_id)
        awaiting = awaiting or entry.state == OutboxState.AWAITING_APPROVAL
    planned = [
        ActionTotal(what, count, amounts[what, currency], currency) for (what, currency), count in counts.items()
    ]
    planned.sort(key=lambda each: (each.action, each.currency))
    return ModeChangePreview(planned, _upcoming(session, company, today), len(customer_ids), awaiting)


def has_sent(session: Session, company: Connection) -> bool:
    """Return whether anything was ever sent to a company's customers or written to its accounting system."""
    sent = select(col(OutboxEntry.id)).where(
        col(OutboxEntry.connection_id) == company.id,
        col(OutboxEntry.state).in_([OutboxState.DONE, OutboxState.UNCONFIRMED]),
        col(OutboxEntry.kind) != OutboxKind.OWNER_EMAIL,
    )
    return session.scalars(sent.limit(1)).first() is not None


def count_mirrored(session: Session, company: Connection) -> dict[str, int]:
    """Return how many customers and invoices were read so far: the progress of a first sync."""
    return {
        name: session.scalar(select(func.count()).where(column == company.id)) or 0
        for name, column in (
            ("customers", col(CustomerRow.connection_id)),
            ("invoices", col(InvoiceRow.connection_id)),
        )
    }


def _upcoming(session: Session, company: Connection, today: date) -> list[ActionTotal]:
    query = (
        select(col(InvoiceDecisionRow.next_step), func.count(), func.sum(InvoiceRow.due_e4), col(InvoiceRow.currency))
        .join(
            InvoiceRow,
            (col(InvoiceRow.connection_id) == InvoiceDecisionRow.connection_id)
            & (col(InvoiceRow.external_id) == InvoiceDecisionRow.invoice_id),
        )
        .where(
            col(InvoiceDecisionRow.connection_id) == company.id,
            col(InvoiceDecisionRow.next_step).is_not(None),
            col(InvoiceDecisionRow.next_on) > today,
            col(InvoiceDecisionRow.next_on) <= today + timedelta(days=_UPCOMING_DAYS),
        )
        .group_by(col(InvoiceDecisionRow.next_step), col(InvoiceRow.currency))
        .order_by(col(InvoiceDecisionRow.next_step), col(InvoiceRow.currency))
    )
    return [
        ActionTotal(step or "", count, from_e4(int(amount or 0)), currency)
        for step, count, amount, currency in session.execute(query)
    ]
