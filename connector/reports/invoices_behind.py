"""The invoices behind one figure of a report, where the list of invoices has no filter for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, SQLModel

from connector.db.ids import matches_keys
from connector.reports.report import Column, ColumnKind, ReportRow
from connector.reports.scope import INVOICE, Scope
from policies.formatting import format_amount

_CHUNK_SIZE = 5000  # as many ids as fit into one query on both databases


@dataclass(frozen=True, slots=True)
class BehindRow(ReportRow):
    """What one invoice, or money without an invoice, contributes to a figure."""

    connection_id: int
    company: str
    customer_id: str
    customer: str
    invoice_id: str
    invoice: str
    currency: str
    on: date | None
    amount: Decimal


class Contribution(NamedTuple):
    """A ``BehindRow`` before its names are known."""

    connection_id: int
    customer_id: str
    invoice_id: str
    currency: str
    on: date | None
    amount: Decimal


def is_currency(text: str) -> bool:
    """Return whether a part of an address can be a currency's code: it is shown in the heading of its list."""
    return len(text) == 3 and text.isascii() and text.isupper() and text.isalpha()


def behind_columns(on: str, amount: str) -> tuple[Column, ...]:
    """Return the columns of such a list; ``on`` and ``amount`` are the headings of the date and of the amount."""
    return (
        Column("invoice", "Invoice"),
        Column("customer", "Customer"),
        Column("company", "Company"),
        Column("on", on, ColumnKind.DAY),
        Column("amount", amount, ColumnKind.MONEY),
    )


def name_rows(session: Session, scope: Scope, found: Sequence[Contribution]) -> list[BehindRow]:
    """Return rows with the names of their companies, customers and invoices, in the same order."""
    customer = SQLModel.metadata.tables["customer"]
    companies = {row.id: row.name for row in scope.companies}
    numbers = {
        (row.connection_id, row.external_id): row.number
        for keys in _chunks({(each.connection_id, each.invoice_id) for each in found if each.invoice_id})
        for row in session.execute(
            select(INVOICE.c.connection_id, INVOICE.c.external_id, INVOICE.c.number).where(
                matches_keys(INVOICE.c.connection_id, INVOICE.c.external_id, keys)
            )
        )
    }
    names = {
        (row.connection_id, row.external_id): row.name
        for keys in _chunks({(each.connection_id, each.customer_id) for each in found})
        for row in session.execute(
            select(customer.c.connection_id, customer.c.external_id, customer.c.name).where(
                matches_keys(customer.c.connection_id, customer.c.external_id, keys)
            )
        )
    }
    return [
        BehindRow(
            f"{place}:{each.connection_id}:{each.invoice_id}",
            connection_id=each.connection_id,
            company=companies[each.connection_id],
            customer_id=each.customer_id,
            customer=names.get((each.connection_id, each.customer_id), each.customer_id),
            invoice_id=each.invoice_id,
            invoice=_invoice_name(each, numbers),
            currency=each.currency,
            on=each.on,
            amount=each.amount,
        )
        for place, each in enumerate(found)
    ]


def total_of(found: Sequence[Contribution], currency: str) -> str:
    """Return what the amounts add up to, as text."""
    return format_amount(sum((each.amount for each in found), Decimal()), currency)


def _invoice_name(each: Contribution, numbers: dict[tuple[int, str], str]) -> str:
    if not each.invoice_id:
        return "Not on an invoice"
    return numbers.get((each.connection_id, each.invoice_id), "") or "Without a number"


def _chunks(keys: AbstractSet[tuple[int, str]]) -> Iterator[list[tuple[int | None, str]]]:
    ordered: list[tuple[int | None, str]] = sorted(keys)
    for start in range(0, len(ordered), _CHUNK_SIZE):
        yield ordered[start : start + _CHUNK_SIZE]
