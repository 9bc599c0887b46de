"""What people call an invoice in a single line: with its date, where another one of the customer has its number."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session, aliased
from sqlmodel import col

from connector.db.ids import matches_keys
from connector.db.tables import InvoiceRow
from policies.invoice_names import invoice_name, invoice_title

_KEYS_PER_QUERY = 500
_OTHER: Any = aliased(InvoiceRow)  # made once: an alias of many columns takes longer than a query with it


def name_of(session: Session, invoice: InvoiceRow) -> str:
    """Return "1042", "1042 of 21 May 2026" or "the invoice of 21 May 2026"."""
    return invoice_name(invoice.number, invoice.issued_on, is_shared=_shares_number(session, invoice))


def title_of(session: Session, invoice: InvoiceRow) -> str:
    """Return the name as part of a sentence: "invoice 1042", "the invoice of 21 May 2026"."""
    return invoice_title(invoice.number, invoice.issued_on, is_shared=_shares_number(session, invoice))


class InvoiceLabel(NamedTuple):
    """What an invoice is called in a list ("1042") and as part of a sentence ("invoice 1042")."""

    name: str
    title: str


def names_of(session: Session, connection_id: int, ids: Collection[str]) -> dict[str, str]:
    """Return the names of some invoices of a company, by id."""
    labels = labels_of(session, [(connection_id, each) for each in ids])
    return {external_id: label.name for (_company, external_id), label in labels.items()}


def titles_of(session: Session, connection_id: int, ids: Collection[str]) -> dict[str, str]:
    """Return the names of some invoices of a company as parts of sentences, by id."""
    labels = labels_of(session, [(connection_id, each) for each in ids])
    return {external_id: label.title for (_company, external_id), label in labels.items()}


def labels_of(session: Session, keys: Collection[tuple[int, str]]) -> dict[tuple[int, str], InvoiceLabel]:
    """Return the names and titles of invoices of any companies, by company and id, in one query for 500 of them."""
    wanted, found = list(keys), {}
    company, external_id = col(InvoiceRow.connection_id), col(InvoiceRow.external_id)
    query = select(
        company, external_id, col(InvoiceRow.number), col(InvoiceRow.issued_on), number_is_shared(InvoiceRow)
    )
    for start in range(0, len(wanted), _KEYS_PER_QUERY):
        some = query.where(matches_keys(company, external_id, wanted[start : start + _KEYS_PER_QUERY]))
        for of_company, invoice_id, number, issued_on, is_shared in session.execute(some):
            found[of_company, invoice_id] = InvoiceLabel(
                invoice_name(number, issued_on, is_shared=is_shared),
                invoice_title(number, issued_on, is_shared=is_shared),
            )
    return found


def number_is_shared(invoice: Any) -> ColumnElement[bool]:
    """Return the expression for "another invoice of the same customer has its number".

    ``invoice`` is the table, an alias of it, or a row.
    """
    return exists().where(
        _OTHER.connection_id == invoice.connection_id,
        _OTHER.customer_id == invoice.customer_id,
        _OTHER.number == invoice.number,
        _OTHER.number != "",
        _OTHER.external_id != invoice.external_id,
    )


def _shares_number(session: Session, invoice: InvoiceRow) -> bool:
    return bool(invoice.number and session.scalar(select(number_is_shared(invoice))))
