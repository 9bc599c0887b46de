"""The balances of many customers, by currency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.db.ids import matches_keys
from connector.db.money import from_e4
from connector.db.tables import Connection, CustomerRow, InvoiceRow


@dataclass(slots=True)
class CustomerBalance:
    """A customer with their balances by currency; the overdue balance is part of the open balance."""

    row: CustomerRow
    company: Connection
    open_balance: dict[str, Decimal] = field(default_factory=dict)
    overdue_balance: dict[str, Decimal] = field(default_factory=dict)
    oldest_due_on: date | None = None


def load_balances(session: Session, found: Sequence[CustomerBalance], today: date) -> None:
    """Add the balances of some customers, in one query."""
    by_key = {(each.row.connection_id, each.row.external_id): each for each in found}
    overdue = func.sum(col(InvoiceRow.due_e4)).filter(col(InvoiceRow.due_on) < today)
    of_invoice = (col(InvoiceRow.connection_id), col(InvoiceRow.customer_id), col(InvoiceRow.currency))
    query = (
        select(*of_invoice, func.sum(col(InvoiceRow.due_e4)), overdue, func.min(InvoiceRow.due_on))
        .where(matches_keys(*of_invoice[:2], list(by_key)), col(InvoiceRow.is_open))
        .group_by(*of_invoice)
        .order_by(*of_invoice)
    )
    for connection_id, customer_id, currency, owed_e4, overdue_e4, due_on in session.execute(query) if found else ():
        each = by_key[connection_id, customer_id]
        each.open_balance[currency] = from_e4(int(owed_e4))
        if overdue_e4:
            each.overdue_balance[currency] = from_e4(int(overdue_e4))
        each.oldest_due_on = min(filter(None, (each.oldest_due_on, due_on)), default=None)
