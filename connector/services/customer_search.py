"""Searching customers by name over all of a user's companies, one page at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlmodel import Session, col

from connector.db.money import from_e4
from connector.db.paging import matches_keys
from connector.db.tables import Connection, CustomerRow, InvoiceRow

PAGE_SIZE = 50


@dataclass(slots=True)
class CustomerBalance:
    """A customer with their balances by currency; the overdue balance is part of the open balance."""

    row: CustomerRow
    company: Connection
    open_balance: dict[str, Decimal] = field(default_factory=dict)
    overdue_balance: dict[str, Decimal] = field(default_factory=dict)
    oldest_due_on: date | None = None


@dataclass(frozen=True, slots=True)
class CustomerSearchPage:
    """A page of customers; ``next_cursor`` continues after the last one, and is "" on the last page."""

    rows: Sequence[CustomerBalance]
    next_cursor: str


def find_customer_page(
    session: Session,
    company_ids: Collection[int],
    today: date,
    *,
    search: str = "",
    only_with_balance: bool = True,
    cursor: str = "",
    size: int = PAGE_SIZE,
) -> CustomerSearchPage:
    """Return a page of customers, in order of name; ``only_with_balance`` leaves out those without open invoices."""
    key = (func.lower(col(CustomerRow.name)), col(CustomerRow.connection_id), col(CustomerRow.external_id))
    query = (
        select(CustomerRow, Connection)
        .join(Connection, col(Connection.id) == col(CustomerRow.connection_id))
        .where(col(CustomerRow.connection_id).in_(list(company_ids)), col(CustomerRow.deleted).is_(False))
    )
    if search:
        query = query.where(col(CustomerRow.name).icontains(search, autoescape=True))
    if only_with_balance:
        query = query.where(_has_open_invoice())
    last = _find_last_shown(session, cursor)
    if last is not None:
        query = query.where(tuple_(*key) > tuple_(func.lower(last.name), last.connection_id, last.external_id))
    rows = session.execute(query.order_by(*key).limit(size + 1)).all()
    found = [CustomerBalance(row, company) for row, company in rows[:size]]
    _add_balances(session, found, today)
    more = len(rows) > size
    return CustomerSearchPage(found, f"{found[-1].row.connection_id}:{found[-1].row.external_id}" if more else "")


def _has_open_invoice() -> Any:
    return (
        select(col(InvoiceRow.external_id))
        .where(
            col(InvoiceRow.connection_id) == col(CustomerRow.connection_id),
            col(InvoiceRow.customer_id) == col(CustomerRow.external_id),
            col(InvoiceRow.is_open),
        )
        .exists()
    )


def _find_last_shown(session: Session, cursor: str) -> CustomerRow | None:
    company, _, customer_id = cursor.partition(":")
    if not company.isdecimal() or len(company) > 18:
        return None
    return session.get(CustomerRow, (int(company), customer_id))


def _add_balances(session: Session, found: Sequence[CustomerBalance], today: date) -> None:
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
