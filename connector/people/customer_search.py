"""Finds customers for a person, over all his companies: by a part of the name, by name, a page at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlmodel import Session, col

from connector.money import from_e4
from connector.paging import of_keys
from connector.tables import Connection, CustomerRow, InvoiceRow

PAGE = 50


@dataclass(slots=True)
class Found:
    """A customer with what he owes, per currency; ``overdue`` is a part of ``owed``."""

    row: CustomerRow
    company: Connection
    owed: dict[str, Decimal] = field(default_factory=dict)
    overdue: dict[str, Decimal] = field(default_factory=dict)
    oldest_due_on: date | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of customers; ``after`` names the last one, to go on from, "" at the end."""

    rows: Sequence[Found]
    after: str


def customers(
    session: Session,
    companies: Collection[int],
    today: date,
    *,
    search: str = "",
    owing: bool = True,
    after: str = "",
    size: int = PAGE,
) -> Page:
    """Find a page of customers; ``owing`` leaves out who owes nothing."""
    key = (func.lower(col(CustomerRow.name)), col(CustomerRow.connection_id), col(CustomerRow.external_id))
    query = (
        select(CustomerRow, Connection)
        .join(Connection, col(Connection.id) == col(CustomerRow.connection_id))
        .where(col(CustomerRow.connection_id).in_(list(companies)), col(CustomerRow.deleted).is_(False))
    )
    if search:
        query = query.where(col(CustomerRow.name).icontains(search, autoescape=True))
    if owing:
        query = query.where(_owes())
    last = _last(session, after)
    if last is not None:
        query = query.where(tuple_(*key) > tuple_(func.lower(last.name), last.connection_id, last.external_id))
    rows = session.execute(query.order_by(*key).limit(size + 1)).all()
    found = [Found(row, company) for row, company in rows[:size]]
    _add_sums(session, found, today)
    more = len(rows) > size
    return Page(found, f"{found[-1].row.connection_id}:{found[-1].row.external_id}" if more else "")


def _owes() -> Any:
    return (
        select(col(InvoiceRow.external_id))
        .where(
            col(InvoiceRow.connection_id) == col(CustomerRow.connection_id),
            col(InvoiceRow.customer_id) == col(CustomerRow.external_id),
            col(InvoiceRow.is_open),
        )
        .exists()
    )


def _last(session: Session, after: str) -> CustomerRow | None:
    company, _, customer_id = after.partition(":")
    if not company.isdecimal() or len(company) > 18:
        return None
    return session.get(CustomerRow, (int(company), customer_id))


def _add_sums(session: Session, found: Sequence[Found], today: date) -> None:
    by_key = {(each.row.connection_id, each.row.external_id): each for each in found}
    overdue = func.sum(col(InvoiceRow.due_e4)).filter(col(InvoiceRow.due_on) < today)
    of_invoice = (col(InvoiceRow.connection_id), col(InvoiceRow.customer_id), col(InvoiceRow.currency))
    query = (
        select(*of_invoice, func.sum(col(InvoiceRow.due_e4)), overdue, func.min(InvoiceRow.due_on))
        .where(of_keys(*of_invoice[:2], list(by_key)), col(InvoiceRow.is_open))
        .group_by(*of_invoice)
        .order_by(*of_invoice)
    )
    for connection_id, customer_id, currency, owed_e4, overdue_e4, due_on in session.execute(query) if found else ():
        each = by_key[connection_id, customer_id]
        each.owed[currency] = from_e4(int(owed_e4))
        if overdue_e4:
            each.overdue[currency] = from_e4(int(overdue_e4))
        each.oldest_due_on = min(filter(None, (each.oldest_due_on, due_on)), default=None)
