"""How customers pay, computed from the mirror in a few queries for hundreds of them, and cached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, FromClause, Row, and_, case, func, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool
from sqlmodel import SQLModel

import connector.db.tables  # noqa: F401 - fills the metadata below
from connector.vocabulary import AgreementState
from policies.payment_behaviour import Baseline, ClosedInvoice, learn_baseline, learn_behaviour
from policies.receivables import CreditKind, InvoiceStatus, PaymentBehaviour

_INVOICE = SQLModel.metadata.tables["invoice"]
_APPLICATION = SQLModel.metadata.tables["application"]
_AGREEMENT = SQLModel.metadata.tables["agreement"]
_PAID = _INVOICE.c.status == InvoiceStatus.PAID.value
_CUSTOMER_SAMPLE_MAX = 40  # older invoices weigh less than a thirtieth of the newest
_COMPANY_SAMPLE_MAX = 5000
_LOOKBACK_DAYS = 730
_BROKEN_PROMISE_DAYS = 365  # how long a broken promise counts
_CACHE_MAX = 200_000

_CacheKey = tuple[date, Baseline, int, date | None, object]  # what the behaviour was computed from
_Cache = dict[tuple[int, str], tuple[_CacheKey, PaymentBehaviour]]
_cache: WeakKeyDictionary[Pool, _Cache] = WeakKeyDictionary()  # per open database


def is_settled_by_money(invoice: FromClause = _INVOICE) -> ColumnElement[bool]:
    """Return the condition for invoices that credits and journal entries do not cover: the rest was paid."""
    is_credit = _APPLICATION.c.source_kind == CreditKind.CREDIT_NOTE.value
    no_money = case(
        (is_credit, _APPLICATION.c.amount_e4), else_=_APPLICATION.c.credited_e4 + _APPLICATION.c.adjusted_e4
    )
    of_invoice = and_(
        _APPLICATION.c.connection_id == invoice.c.connection_id, _APPLICATION.c.invoice_id == invoice.c.external_id
    )
    settled = select(func.sum(no_money)).where(of_invoice).correlate(invoice).scalar_subquery()
    return func.coalesce(settled, 0) < invoice.c.total_e4


# Columns for the query that reads each customer's history anyway: they change with the customer's paid invoices.
CACHE_KEY_COLUMNS = (
    func.count().filter(_PAID, _INVOICE.c.closed_on.is_not(None)).label("closed_count"),
    func.max(_INVOICE.c.closed_on).filter(_PAID).label("last_closed_on"),
    func.max(_INVOICE.c.updated_at).filter(_PAID).label("closed_updated_at"),
)


def load_baseline(session: Session, connection_id: int, today: date) -> Baseline:
    """Return how a company's customers pay overall, from the newest invoices paid before today."""
    newest = (
        select(_INVOICE)
        .where(
            _INVOICE.c.connection_id == connection_id,
            _PAID,
            _INVOICE.c.closed_on < today,
            _INVOICE.c.due_on.is_not(None),
        )
        .order_by(_INVOICE.c.closed_on.desc(), _INVOICE.c.external_id)
        .limit(_COMPANY_SAMPLE_MAX)
    ).subquery()  # the applications of all invoices would be too many to look at
    query = select(newest.c.due_on, newest.c.closed_on).where(is_settled_by_money(newest))
    norm = learn_baseline(
        [ClosedInvoice(due_on, closed_on) for due_on, closed_on in session.execute(query).all()], today
    )
    return replace(
        norm, late_share=round(norm.late_share, 2)
    )  # so that one late invoice does not invalidate the whole cache


def load_payment_behaviour(
    session: Session, connection_id: int, history: Mapping[str, Row[Any]], baseline: Baseline, today: date
) -> dict[str, PaymentBehaviour]:
    """Return how some customers pay; ``history`` holds their cache key columns. Who never paid is left out."""
    cached = _cache.setdefault(session.connection().engine.pool, {})
    if len(cached) > _CACHE_MAX:
        cached.clear()
    keys: dict[str, _CacheKey] = {
        customer_id: (today, baseline, row.closed_count, row.last_closed_on, row.closed_updated_at)
        for customer_id, row in history.items()
        if row.closed_count
    }
    stale = [each for each, key in keys.items() if cached.get((connection_id, each), (None,))[0] != key]
    closed = _closed_invoices(session, connection_id, stale, today) if stale else {}
    for customer_id in stale:
        behaviour = learn_behaviour(closed.get(customer_id, []), baseline, today)
        cached[connection_id, customer_id] = (keys[customer_id], behaviour)
    found = {each: cached[connection_id, each][1] for each in keys}
    for customer_id in _customers_with_broken_promise(session, connection_id, list(history), today):
        found[customer_id] = replace(found.get(customer_id) or learn_behaviour([], baseline, today), broke_promise=True)
    return {
        each: behaviour for each, behaviour in found.items() if behaviour.closed_invoices or behaviour.broke_promise
    }


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
        is_settled_by_money(),
    )
    found: defaultdict[str, list[ClosedInvoice]] = defaultdict(list)
    for customer_id, due_on, closed_on in session.execute(query).all():  # at once: row by row takes twice as long
        found[customer_id].append(ClosedInvoice(due_on, closed_on))
    for each in found.values():
        each.sort(key=lambda invoice: (invoice.closed_on, invoice.due_on))
        del each[:-_CUSTOMER_SAMPLE_MAX]
    return found


def _customers_with_broken_promise(
    session: Session, connection_id: int, customer_ids: Collection[str], today: date
) -> set[str]:
    query = select(_AGREEMENT.c.customer_id).where(
        _AGREEMENT.c.connection_id == connection_id,
        _AGREEMENT.c.customer_id.in_(list(customer_ids)),
        _AGREEMENT.c.state == AgreementState.BROKEN,
        _AGREEMENT.c.since_on >= today - timedelta(days=_BROKEN_PROMISE_DAYS),
    )
    return set(session.execute(query).scalars())
