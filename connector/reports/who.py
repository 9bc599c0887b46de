"""Which segment each customer is in and how he pays, for whole companies at once: a few queries for each of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, SQLModel

from connector import policies_store
from connector.mirror import customer_habits
from connector.mirror.company_picture import billed, picture
from connector.mirror.facts import company_of, customer_of
from connector.reports.scope import INVOICE
from connector.tables import Connection
from policies.habits import Norm, habits_of
from policies.receivables import Habits, InvoiceStatus
from policies.segments import segment_of

_AT_ONCE = 5000  # so many ids fit into one query on both databases


def segments(session: Session, connection: Connection, today: date) -> dict[str, str]:
    """Tell the segment of every customer who was ever invoiced, as it is today."""
    here, settings = connection.id or 0, SQLModel.metadata.tables["customer_setting"]
    said = session.execute(select(settings).where(settings.c.connection_id == here, settings.c.segment.is_not(None)))
    by_hand = {row.customer_id: row for row in said}
    rules = policies_store.current(session, here)[0].segments
    places, company = picture(session, connection, today).places, company_of(connection)
    return {
        row.customer_id: segment_of(
            customer_of(row.customer_id, None, by_hand.get(row.customer_id), row, places.get(row.customer_id), company),
            rules,
            today,
        ).value
        for row in session.execute(_history(here, func.min(INVOICE.c.issued_on).label("first_on"), _PAID))
    }


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
