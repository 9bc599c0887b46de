"""The balances of many customers, by currency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import and_, func, or_, select
from sqlmodel import Session, col

from connector.db.ids import matches_keys
from connector.db.money import from_e4
from connector.db.tables import Connection, CustomerRow, InvoiceRow
from connector.reports.scope import Scope


@dataclass(slots=True)
class CustomerBalance:
    """A customer with their balances by currency; the overdue balance is part of the open balance."""

    row: CustomerRow
    company: Connection
    open_balance: dict[str, Decimal] = field(default_factory=dict)
    overdue_balance: dict[str, Decimal] = field(default_factory=dict)
    oldest_due_on: date | None = None


def load_balances(session: Session, found: Sequence[CustomerBalance], now: datetime) -> None:
    """Add the balances of some customers, in one query; overdue is what is so on the day of each one's company."""
    if not found:
        return
    by_key = {(each.row.connection_id, each.row.external_id): each for each in found}
    companies = {each.company.id: each.company for each in found}
    is_overdue = or_(
        *(
            and_(col(InvoiceRow.connection_id).in_(ids), col(InvoiceRow.due_on) < today)
            for today, ids in Scope(list(companies.values()), now).companies_by_date()
        )
    )
    overdue = func.sum(col(InvoiceRow.due_e4)).filter(is_overdue)
    of_invoice = (col(InvoiceRow.connection_id), col(InvoiceRow.customer_id), col(InvoiceRow.currency))
    query = (
        select(*of_invoice, func.sum(col(InvoiceRow.due_e4)), overdue, func.min(InvoiceRow.due_on))
        .where(matches_keys(*of_invoice[:2], list(by_key)), col(InvoiceRow.is_open))
        .group_by(*of_invoice)
        .order_by(*of_invoice)
    )
    for connection_id, customer_id, currency, owed_e4, overdue_e4, due_on in session.execute(query):
        each = by_key[connection_id, customer_id]
        each.open_balance[currency] = from_e4(int(owed_e4))
        if overdue_e4:
            each.overdue_balance[currency] = from_e4(int(overdue_e4))
        each.oldest_due_on = min(filter(None, (each.oldest_due_on, due_on)), default=None)
