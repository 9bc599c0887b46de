"""What a company's last twelve months say: from where on an invoice is large, and which customers bring the revenue."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool
from sqlmodel import SQLModel

from connector.db.money import from_e4
from connector.db.tables import Connection
from connector.sync.mirror.customer_behaviour import load_baseline
from policies.payment_behaviour import Baseline
from policies.receivables import InvoiceStatus
from policies.segments import RevenueRank, Thresholds, rank_by_revenue

_INVOICE = SQLModel.metadata.tables["invoice"]
_OUTBOX = SQLModel.metadata.tables["outbox"]
_YEAR = timedelta(days=365)
_LARGE_PERCENT, _MEDIUM_PERCENT = 90, 50
_BILLED = (InvoiceStatus.OPEN.value, InvoiceStatus.PAID.value)


@dataclass(frozen=True, slots=True)
class PortfolioStats:
    """The thresholds of each currency, each customer's place, the newest payment, and how customers pay altogether."""

    thresholds: dict[str, Thresholds]
    revenue_ranks: dict[str, RevenueRank]
    newest_payment_on: date | None
    baseline: Baseline


_Key = tuple[int, int, date]  # connection, version of its mirror, day
_cache: WeakKeyDictionary[Pool, dict[_Key, PortfolioStats]] = WeakKeyDictionary()  # by open database
_CACHE_MAX = 64


def load_portfolio_stats(session: Session, connection: Connection, today: date) -> PortfolioStats:
    """Draw the picture of a company, or take the one drawn of the same books on the same day."""
    assert connection.id is not None  # noqa: S101  # it was read from the database
    drawn = _cache.setdefault(session.connection().engine.pool, {})
    key = (connection.id, connection.mirror_version, today)
    if key not in drawn:
        if len(drawn) >= _CACHE_MAX:
            drawn.clear()
        drawn[key] = PortfolioStats(
            _thresholds(session, connection.id, today - _YEAR),
            _revenue_ranks(session, connection.id, today - _YEAR),
            _newest_payment(session, connection.id),
            load_baseline(session, connection.id, today),
        )
    return drawn[key]


def is_billed(connection_id: int) -> ColumnElement[bool]:
    """Tell real invoices from drafts, voided ones and our own late fees."""
    fees = select(_OUTBOX.c.reference).where(_OUTBOX.c.connection_id == connection_id, _OUTBOX.c.kind == "late_fee")
    return and_(
        _INVOICE.c.connection_id == connection_id,
        _INVOICE.c.status.in_(_BILLED),
        _INVOICE.c.external_id.not_in(fees),
    )


def _thresholds(session: Session, connection_id: int, since_on: date) -> dict[str, Thresholds]:
    """Find the totals at the percentiles (nearest rank) in the database: only they are read, not fifty thousand."""
    ours = (is_billed(connection_id), _INVOICE.c.issued_on >= since_on)
    counts = session.execute(select(_INVOICE.c.currency, func.count()).where(*ours).group_by(_INVOICE.c.currency)).all()

    def total_at(currency: str, rank: int) -> Decimal:
        query = select(_INVOICE.c.total_e4).where(*ours, _INVOICE.c.currency == currency)
        return from_e4(session.execute(query.order_by(_INVOICE.c.total_e4).offset(rank - 1).limit(1)).scalar_one())

    return {
        currency: Thresholds(
            *(total_at(currency, -(-count * percent // 100)) for percent in (_LARGE_PERCENT, _MEDIUM_PERCENT))
        )
        for currency, count in counts
    }


def _revenue_ranks(session: Session, connection_id: int, since_on: date) -> dict[str, RevenueRank]:
    """Rank the customers within each currency, because sums of two currencies mean nothing; the better place counts."""
    revenue: defaultdict[str, dict[str, Decimal]] = defaultdict(dict)
    query = (
        select(_INVOICE.c.currency, _INVOICE.c.customer_id, func.sum(_INVOICE.c.total_e4))
        .where(is_billed(connection_id), _INVOICE.c.issued_on >= since_on)
        .group_by(_INVOICE.c.currency, _INVOICE.c.customer_id)
    )
    for currency, customer_id, total_e4 in session.execute(query):
        revenue[currency][customer_id] = from_e4(int(total_e4))
    places: dict[str, RevenueRank] = {}
    for ranked in map(rank_by_revenue, revenue.values()):
        for customer_id, place in ranked.items():
            other = places.get(customer_id, place)
            places[customer_id] = min(place, other, key=lambda each: (not each.in_top_revenue, each.rank))
    return places


def _newest_payment(session: Session, connection_id: int) -> date | None:
    payment = SQLModel.metadata.tables["payment"]
    return session.execute(select(func.max(payment.c.paid_on)).where(payment.c.connection_id == connection_id)).scalar()
