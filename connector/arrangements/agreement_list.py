"""Agreements as people read them: in lists and in words."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.money import from_e4
from connector.db.tables import Agreement, InvoiceRow
from connector.results import Result
from connector.vocabulary import AgreementKind, AgreementState
from connector.vocabulary.labels import label
from policies.formatting import format_amount, format_date


class InstalmentItem(Result):
    """An instalment of a payment plan; ``amount`` is in the currency of its invoice."""

    due_on: date
    amount: str


class AgreementItem(Result):
    """An agreement with its end; ``until_on`` is the promised date, the last instalment, or the end of a pause."""

    id: int
    kind: AgreementKind
    state: AgreementState
    since_on: date
    until_on: date | None
    instalments: list[InstalmentItem]
    reason: str
    recorded_by: str
    recorded_at: datetime
    ended_at: datetime | None
    ended_by: str
    outcome: str


def list_agreements(session: Session, invoice: InvoiceRow) -> list[AgreementItem]:
    """List every agreement about an invoice, oldest first."""
    query = select(Agreement).where(
        col(Agreement.connection_id) == invoice.connection_id, col(Agreement.invoice_id) == invoice.external_id
    )
    return [
        AgreementItem(
            id=row.id or 0,
            kind=AgreementKind(row.kind),
            state=AgreementState(row.state),
            since_on=row.since_on,
            until_on=row.until_on,
            instalments=[
                InstalmentItem(due_on=date.fromisoformat(on), amount=amount) for on, amount in row.instalments or []
            ],
            reason=row.reason,
            recorded_by=row.recorded_by,
            recorded_at=row.recorded_at,
            ended_at=row.ended_at,
            ended_by=row.ended_by,
            outcome=row.outcome,
        )
        for row in session.scalars(query.order_by(col(Agreement.id)))
    ]


def format_agreement(agreement: Agreement) -> str:
    """Return an agreement in words: ``Promise to pay by 3 Dec 2026: on the phone (ann@example.com)``."""
    preposition = "by" if agreement.kind == AgreementKind.PROMISE else "until"
    until = f" {preposition} {format_date(agreement.until_on)}" if agreement.until_on else ""
    parts, total = format_instalments(agreement), format_amount(from_e4(agreement.amount_e4), agreement.currency)
    plan = f" for {total} ({parts})" if parts else f" {total}" if agreement.amount_e4 else ""
    reason = f": {agreement.reason}" if agreement.reason else ""
    by = f" ({agreement.recorded_by})" if agreement.recorded_by else ""
    return f"{label(agreement.kind, 'agreement_kind')}{plan}{until}{reason}{by}"


def format_instalments(plan: Agreement) -> str:
    """Return the instalments of a payment plan in words: ``EUR 400.00 by 1 Jul 2026, EUR 400.00 by 1 Aug 2026``."""
    return ", ".join(
        f"{format_amount(Decimal(amount), plan.currency)} by {format_date(date.fromisoformat(on))}"
        for on, amount in plan.instalments or ()
    )
