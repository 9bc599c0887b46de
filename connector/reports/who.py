"""Which segment each customer is in and how he pays, for whole companies at once: a few queries for each of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select, tuple_
from sqlmodel import Session, SQLModel

from connector import policies_store
from connector.mirror import customer_habits
from connector.mirror.company_picture import billed, picture
from connector.mirror.facts import company_of, customer_of
from connector.reports.scope import INVOICE, Scope, of
from connector.tables import Connection
from policies.habits import Norm, habits_of
from policies.parts import Segments
from policies.receivables import Company, Habits, InvoiceStatus
from policies.segments import Place, segment_of

_AT_ONCE = 5000  # so many ids fit into one query on both databases


class _Here(NamedTuple):
    """What the segments of one company's customers are told by."""

    company: Company
    places: Mapping[str, Place]
    rules: Segments
    today: date


def segments(session: Session, scope: Scope) -> dict[tuple[int, str], str]:
    """Tell the segment of every customer who was ever invoiced, as it is today, by company and customer."""
    settings = SQLModel.metadata.tables["customer_setting"]
    said = session.execute(select(settings).where(of(settings, scope.ids), settings.c.segment.is_not(None)))
    by_hand = {(row.connection_id, row.customer_id): row for row in said}
    policies, days = policies_store.current_of(session, scope.ids), scope.days()
    seen: dict[int, _Here] = {}
    for row in scope.companies:
        here, today = row.id or 0, days[row.id or 0]
        places = picture(session, row, today).places  # drawn once for the same books on the same day
        seen[here] = _Here(company_of(row), places, policies[here][0].segments, today)
    return {
        (row.connection_id, row.customer_id): _segment(seen[row.connection_id], row, by_hand)
        for row in session.execute(_first_invoices(scope))
    }


def _segment(here: _Here, row: Row[Any], by_hand: Mapping[tuple[int, str], Row[Any]]) -> str:
    said, place = by_hand.get((row.connection_id, row.customer_id)), here.places.get(row.customer_id)
    customer = customer_of(row.customer_id, None, said, row, place, here.company)
    return segment_of(customer, here.rules, here.today).value


def _first_invoices(scope: Scope) -> Any:
    """Ask for each customer's first invoice and the number of paid ones, without our own late fees."""
    outbox, whose = SQLModel.metadata.tables["outbox"], (INVOICE.c.connection_id, INVOICE.c.customer_id)
    fees = select(outbox.c.connection_id, outbox.c.reference).where(of(outbox, scope.ids), outbox.c.kind == "late_fee")
    real = tuple_(INVOICE.c.connection_id, INVOICE.c.external_id).not_in(fees)
    first_on = func.min(INVOICE.c.issued_on).label("first_on")
    return select(*whose, first_on, _PAID).where(scope.billed(), real).group_by(*whose)


def habits(session: Session, connection: Connection, customer_ids: Collection[str], today: date) -> dict[str, Habits]:
    """Tell how customers pay; who never paid anything is taken to pay as all customers of the company do."""
    here, norm = connection.id or 0, picture(session, connection, today).norm
    found: dict[str, Habits] = {}
    for chunk in _chunks(sorted(customer_ids)):
        stamps = _history(here, *customer_habits.STAMP_COLUMNS).where(INVOICE.c.customer_id.in_(chunk))
        history = {row.customer_id: row for row in session.execute(stamps)}
        found |= customer_habits.habits(session, here, history, norm, today)
    stranger = _stranger(norm, today)
    return {each: found.get(each, stranger) for each in customer_ids}


_PAID = func.count().filter(INVOICE.c.status == InvoiceStatus.PAID.value).label("paid")


def _history(connection_id: int, *columns: Any) -> Any:
    return select(INVOICE.c.customer_id, *columns).where(billed(connection_id)).group_by(INVOICE.c.customer_id)


def _stranger(norm: Norm, today: date) -> Habits:
    return habits_of([], norm, today)


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
