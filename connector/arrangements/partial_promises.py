"""Promises of part of what is due on an invoice: kept once that much has arrived in time, and the rest is chased on."""

from __future__ import annotations

from datetime import date

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.db.money import from_e4
from connector.db.tables import Agreement, ApplicationRow, InvoiceRow
from policies.formatting import format_amount
from policies.receivables import CreditKind


def money_received_e4(session: Session, invoice: InvoiceRow, *, before_on: date | None = None) -> int:
    """Return what was paid of an invoice, in ten-thousandths, without credits, discounts and write-offs."""
    money = col(ApplicationRow.amount_e4) - col(ApplicationRow.credited_e4) - col(ApplicationRow.adjusted_e4)
    query = select(func.sum(money)).where(
        col(ApplicationRow.connection_id) == invoice.connection_id,
        col(ApplicationRow.invoice_id) == invoice.external_id,
        col(ApplicationRow.source_kind) != CreditKind.CREDIT_NOTE,
    )
    if before_on is not None:
        query = query.where(col(ApplicationRow.applied_on) < before_on)
    return int(session.scalar(query) or 0)


def has_arrived(session: Session, promise: Agreement, invoice: InvoiceRow, late_on: date) -> bool:
    """Return whether the promised part of an invoice was paid before ``late_on``; not so for a promise of all of it."""
    if not promise.amount_e4 or promise.paid_before_e4 is None:
        return False
    paid = money_received_e4(session, invoice, before_on=late_on) - promise.paid_before_e4
    return paid >= promise.amount_e4


def format_part(promise: Agreement) -> str:
    """Return the promised part: ``USD 500.00``."""
    return format_amount(from_e4(promise.amount_e4), promise.currency)
