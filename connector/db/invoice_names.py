"""What people call an invoice in a single line: with its date, where another one of the customer has its number."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session, aliased
from sqlmodel import col

from connector.db.tables import InvoiceRow
from policies.invoice_names import invoice_name, invoice_title

_IDS_PER_QUERY = 500


def name_of(session: Session, invoice: InvoiceRow) -> str:
    """Return "1042", "1042 of 21 May 2026" or "the invoice of 21 May 2026"."""
    return invoice_name(invoice.number, invoice.issued_on, is_shared=_shares_number(session, invoice))


def title_of(session: Session, invoice: InvoiceRow) -> str:
    """Return the name as part of a sentence: "invoice 1042", "the invoice of 21 May 2026"."""
    return invoice_title(invoice.number, invoice.issued_on, is_shared=_shares_number(session, invoice))


def names_of(session: Session, connection_id: int, ids: Collection[str]) -> dict[str, str]:
    """Return the names of some invoices of a company, by id."""
    wanted, found = list(ids), {}
    query = select(
        col(InvoiceRow.external_id), col(InvoiceRow.number), col(InvoiceRow.issued_on), number_is_shared(InvoiceRow)
    ).where(col(InvoiceRow.connection_id) == connection_id)
    for start in range(0, len(wanted), _IDS_PER_QUERY):
        some = query.where(col(InvoiceRow.external_id).in_(wanted[start : start + _IDS_PER_QUERY]))
        for external_id, number, issued_on, is_shared in session.execute(some):
            found[external_id] = invoice_name(number, issued_on, is_shared=is_shared)
    return found


def number_is_shared(invoice: Any) -> ColumnElement[bool]:
    """Return the expression for "another invoice of the same customer has its number", for a table or an alias."""
    other: Any = aliased(InvoiceRow)
    return exists().where(
        other.connection_id == invoice.connection_id,
        other.customer_id == invoice.customer_id,
        other.number == invoice.number,
        other.number != "",
        other.external_id != invoice.external_id,
    )


def _shares_number(session: Session, invoice: InvoiceRow) -> bool:
    own: Any = aliased(InvoiceRow)
    query = select(number_is_shared(own)).where(
        own.connection_id == invoice.connection_id,
        own.external_id == invoice.external_id,
    )
    return bool(session.scalar(query))
