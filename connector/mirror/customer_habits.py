"""Learns how customers pay from the mirror, in a few queries for hundreds of them, and remembers what it learned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool
from sqlmodel import SQLModel

import connector.tables  # noqa: F401 - fills the metadata below
from policies.habits import Norm, Settled, habits_of, norm_of
from policies.receivables import Habits, InvoiceStatus

_INVOICE = SQLModel.metadata.tables["invoice"]
_AGREEMENT = SQLModel.metadata.tables["agreement"]
_PAID = _INVOICE.c.status == InvoiceStatus.PAID.value
_NEWEST_OF_CUSTOMER = 40  # an older one weighs less than a thirtieth of the newest
_NEWEST_OF_COMPANY = 5000
_LOOKED_BACK_DAYS = 730
_BROKEN_DAYS = 365  # so long a broken promise is remembered
_MOST_KNOWN = 200_000

_Stamp = tuple[date, Norm, int, date | None, Any]  # of what habits were learned from; another stamp: learned anew
_Known = dict[tuple[int, str], tuple[_Stamp, Habits]]
_known: WeakKeyDictionary[Pool, _Known] = WeakKeyDictionary()  # by open database

# Columns for the query that reads each customer's history anyway: they change whenever his settled invoices do.
STAMP_COLUMNS = (
    func.count().filter(_PAID, _INVOICE.c.settled_on.is_not(None)).label("settled"),
    func.max(_INVOICE.c.settled_on).filter(_PAID).label("settled_last_on"),
    func.max(_INVOICE.c.updated_at).filter(_PAID).label("settled_updated_at"),
)


def company_norm(session: Session, connection_id: int, today: date) -> Norm:
    """Learn how the company's customers pay altogether, from the newest invoices settled before today."""
    query = (
        select(_INVOICE.c.due_on, _INVOICE.c.settled_on)
        .where(
            _INVOICE.c.connection_id == connection_id,
            _PAID,
            _INVOICE.c.settled_on < today,
            _INVOICE.c.due_on.is_not(None),
        )
        .order_by(_INVOICE.c.settled_on.desc(), _INVOICE.c.external_id)
        .limit(_NEWEST_OF_COMPANY)
    )
    norm = norm_of([Settled(due_on, settled_on) for due_on, settled_on in session.execute(query).all()], today)
    return replace(
        norm, late_share=round(norm.late_share, 2)
    )  # so that one late entry does not make all be learned anew


def habits(
    session: Session, connection_id: int, history: Mapping[str, Row[Any]], norm: Norm, today: date
) -> dict[str, Habits]:
    """Tell how some customers pay; ``history`` holds the stamp columns of each. Who never paid has no habits."""
    known = _known.setdefault(session.connection().engine.pool, {})
    if len(known) > _MOST_KNOWN:
        known.clear()
    stamps: dict[str, _Stamp] = {
        customer_id: (today, norm, row.settled, row.settled_last_on, row.settled_updated_at)
        for customer_id, row in history.items()
        if row.settled
    }
    news = [each for each, stamp in stamps.items() if known.get((connection_id, each), (None,))[0] != stamp]
    settled = _settled(session, connection_id, news, today) if news else {}
    for customer_id in news:
        learned = habits_of(settled.get(customer_id, []), norm, today)
        known[connection_id, customer_id] = (stamps[customer_id], learned)
    found = {each: known[connection_id, each][1] for each in stamps}
    for customer_id in _broke_promise(session, connection_id, list(history), today):
        found[customer_id] = replace(found.get(customer_id) or habits_of([], norm, today), broke_promise=True)
    return {each: learned for each, learned in found.items() if learned.settled or learned.broke_promise}


def _settled(
    session: Session, connection_id: int, customer_ids: Collection[str], today: date
) -> dict[str, list[Settled]]:
    query = select(_INVOICE.c.customer_id, _INVOICE.c.due_on, _INVOICE.c.settled_on).where(
        _INVOICE.c.connection_id == connection_id,
        _INVOICE.c.customer_id.in_(list(customer_ids)),
        _PAID,
        _INVOICE.c.settled_on < today,
        _INVOICE.c.settled_on >= today - timedelta(days=_LOOKED_BACK_DAYS),
        _INVOICE.c.due_on.is_not(None),
    )
    found: defaultdict[str, list[Settled]] = defaultdict(list)
    for customer_id, due_on, settled_on in session.execute(query).all():  # at once: row by row costs twice as much
        found[customer_id].append(Settled(due_on, settled_on))
    for each in found.values():
        each.sort(key=lambda settled: (settled.settled_on, settled.due_on))
        del each[:-_NEWEST_OF_CUSTOMER]
    return found


def _broke_promise(session: Session, connection_id: int, customer_ids: Collection[str], today: date) -> set[str]:
    query = select(_AGREEMENT.c.customer_id).where(
        _AGREEMENT.c.connection_id == connection_id,
        _AGREEMENT.c.customer_id.in_(list(customer_ids)),
        _AGREEMENT.c.state == "broken",
        _AGREEMENT.c.since_on >= today - timedelta(days=_BROKEN_DAYS),
    )
    return set(session.execute(query).scalars())
