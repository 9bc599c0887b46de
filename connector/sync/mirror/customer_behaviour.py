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

import connector.db.tables  # noqa: F401 - fills the metadata below
from policies.payment_behaviour import Baseline, ClosedInvoice, learn_baseline, learn_behaviour
from policies.receivables import InvoiceStatus, PaymentBehaviour

_INVOICE = SQLModel.metadata.tables["invoice"]
_AGREEMENT = SQLModel.metadata.tables["agreement"]
_PAID = _INVOICE.c.status == InvoiceStatus.PAID.value
_CUSTOMER_SAMPLE_MAX = 40  # an older one weighs less than a thirtieth of the newest
_COMPANY_SAMPLE_MAX = 5000
_LOOKBACK_DAYS = 730
_BROKEN_PROMISE_DAYS = 365  # so long a broken promise is remembered
_CACHE_MAX = 200_000

_CacheKey = tuple[
    date, Baseline, int, date | None, Any
]  # of what habits were learned from; another stamp: learned anew
_Cache = dict[tuple[int, str], tuple[_CacheKey, PaymentBehaviour]]
_cache: WeakKeyDictionary[Pool, _Cache] = WeakKeyDictionary()  # by open database

# Columns for the query that reads each customer's history anyway: they change whenever his settled invoices do.
CACHE_KEY_COLUMNS = (
    func.count().filter(_PAID, _INVOICE.c.closed_on.is_not(None)).label("closed_count"),
    func.max(_INVOICE.c.closed_on).filter(_PAID).label("last_closed_on"),
    func.max(_INVOICE.c.updated_at).filter(_PAID).label("closed_updated_at"),
)


def load_baseline(session: Session, connection_id: int, today: date) -> Baseline:
    """Learn how the company's customers pay altogether, from the newest invoices settled before today."""
    query = (
        select(_INVOICE.c.due_on, _INVOICE.c.closed_on)
        .where(
            _INVOICE.c.connection_id == connection_id,
            _PAID,
            _INVOICE.c.closed_on < today,
            _INVOICE.c.due_on.is_not(None),
        )
        .order_by(_INVOICE.c.closed_on.desc(), _INVOICE.c.external_id)
        .limit(_COMPANY_SAMPLE_MAX)
    )
    norm = learn_baseline(
        [ClosedInvoice(due_on, settled_on) for due_on, settled_on in session.execute(query).all()], today
    )
    return replace(
        norm, late_share=round(norm.late_share, 2)
    )  # so that one late entry does not make all be learned anew


def load_payment_behaviour(
    session: Session, connection_id: int, history: Mapping[str, Row[Any]], baseline: Baseline, today: date
) -> dict[str, PaymentBehaviour]:
    """Tell how some customers pay; ``history`` holds the stamp columns of each. Who never paid has no habits."""
    known = _cache.setdefault(session.connection().engine.pool, {})
    if len(known) > _CACHE_MAX:
        known.clear()
    stamps: dict[str, _CacheKey] = {
        customer_id: (today, baseline, row.closed_count, row.last_closed_on, row.closed_updated_at)
        for customer_id, row in history.items()
        if row.closed_count
    }
    news = [each for each, stamp in stamps.items() if known.get((connection_id, each), (None,))[0] != stamp]
    settled = _closed_invoices(session, connection_id, news, today) if news else {}
    for customer_id in news:
        learned = learn_behaviour(settled.get(customer_id, []), baseline, today)
        known[connection_id, customer_id] = (stamps[customer_id], learned)
    found = {each: known[connection_id, each][1] for each in stamps}
    for customer_id in _customers_with_broken_promise(session, connection_id, list(history), today):
        found[customer_id] = replace(found.get(customer_id) or learn_behaviour([], baseline, today), broke_promise=True)
    return {each: learned for each, learned in found.items() if learned.closed_invoices or learned.broke_promise}


def _closed_invoices(
    session: Session, connection_id: int, customer_ids: Collection[str], today: date
) -> dict[str, list[ClosedInvoice]]:
    query = select(_INVOICE.c.customer_id, _INVOICE.c.due_on, _INVOICE.c.closed_on).where(
        _INVOICE.c.connection_id == connection_id,
        _INVOICE.c.customer_id.in_(list(customer_ids)),
        _PAID,
        _INVOICE.c.closed_on < today,
        _INVOICE.c.closed_on >= today - timedelta(days=_LOOKBACK_DAYS),
        _INVOICE.c.due_on.is_not(None),
    )
    found: defaultdict[str, list[ClosedInvoice]] = defaultdict(list)
    for customer_id, due_on, settled_on in session.execute(query).all():  # at once: row by row costs twice as much
        found[customer_id].append(ClosedInvoice(due_on, settled_on))
    for each in found.values():
        each.sort(key=lambda settled: (settled.closed_on, settled.due_on))
        del each[:-_CUSTOMER_SAMPLE_MAX]
    return found


def _customers_with_broken_promise(
    session: Session, connection_id: int, customer_ids: Collection[str], today: date
) -> set[str]:
    query = select(_AGREEMENT.c.customer_id).where(
        _AGREEMENT.c.connection_id == connection_id,
        _AGREEMENT.c.customer_id.in_(list(customer_ids)),
        _AGREEMENT.c.state == "broken",
        _AGREEMENT.c.since_on >= today - timedelta(days=_BROKEN_PROMISE_DAYS),
    )
    return set(session.execute(query).scalars())
