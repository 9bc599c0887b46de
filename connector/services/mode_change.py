"""What a person should see before a company may act by itself: what would leave now, and in the coming week."""

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
    """So many of a kind, worth so much in one currency; sums of different currencies are never added up."""

    action: str
    count: int
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class ModeChangePreview:
    """What would leave: planned already, and coming by the calendar if nobody pays."""

    planned: list[ActionTotal]
    upcoming: list[ActionTotal]
    customer_count: int  # who would be written to by what is planned
    awaiting_approval: bool  # what is planned waits for a person already


def preview_mode_change(session: Session, company: Connection, today: date) -> ModeChangePreview:
    """Sum up what a company's switch to another mode is about."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    amounts: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    written_to, waits = set(), False
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
        written_to.add(entry.customer_id)
        waits = waits or entry.state == OutboxState.AWAITING_APPROVAL
    planned = [
        ActionTotal(what, count, amounts[what, currency], currency) for (what, currency), count in counts.items()
    ]
    planned.sort(key=lambda each: (each.action, each.currency))
    return ModeChangePreview(planned, _upcoming(session, company, today), len(written_to), waits)


def has_sent(session: Session, company: Connection) -> bool:
    """Tell whether anything of a company ever left: to its customers, or into its books."""
    left = select(col(OutboxEntry.id)).where(
        col(OutboxEntry.connection_id) == company.id,
        col(OutboxEntry.state).in_([OutboxState.DONE, OutboxState.UNCONFIRMED]),
        col(OutboxEntry.kind) != OutboxKind.OWNER_EMAIL,
    )
    return session.scalars(left.limit(1)).first() is not None


def count_mirrored(session: Session, company: Connection) -> dict[str, int]:
    """Count what the mirror holds of a company: the progress of its first pull."""
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
