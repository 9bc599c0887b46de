"""Figures about a company's last twelve months: how large its invoices are, and which customers bring the revenue."""

from __future__ import annotations

from bisect import bisect_right
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
from policies.receivables import InvoiceStatus, RevenueRank
from policies.sections import Sizes
from policies.segments import Thresholds, nearest_rank, rank_by_revenue

_INVOICE = SQLModel.metadata.tables["invoice"]
_OUTBOX = SQLModel.metadata.tables["outbox"]
_YEAR = timedelta(days=365)
_ROWS_AT_ONCE = 5000
_BILLED = (InvoiceStatus.OPEN.value, InvoiceStatus.PAID.value)


@dataclass(frozen=True, slots=True)
class InvoicePercentiles:
    """The totals, in ten-thousandths, at the percentiles 1 to 100 of a company's own invoices in one currency."""

    totals_e4: tuple[int, ...]

    def percentile(self, total_e4: int) -> int:
        """Return the highest percentile that a total reaches; 0 for one below all invoices."""
        return bisect_right(self.totals_e4, total_e4)

    def thresholds(self, sizes: Sizes) -> Thresholds:
        """Return the totals from which an invoice is large or medium under a policy."""
        at = (sizes.large_percentile, sizes.medium_percentile)
        return Thresholds(*(from_e4(self.totals_e4[percentile - 1]) for percentile in at))


@dataclass(frozen=True, slots=True)
class PortfolioStats:
    """Figures about a company's invoices of the last twelve months, its customers' ranks and how they pay."""

    percentiles: dict[str, InvoicePercentiles]
    revenue_ranks: dict[str, tuple[RevenueRank, ...]]
    last_payment_on: date | None
    baseline: Baseline
    repeated_numbers: frozenset[str]  # which several invoices have, whoever their customer is


_Key = tuple[int, int, date]  # connection, version of its mirror, day
_cache: WeakKeyDictionary[Pool, dict[_Key, PortfolioStats]] = WeakKeyDictionary()  # per open database
_CACHE_MAX = 64


def load_portfolio_stats(session: Session, connection: Connection, today: date) -> PortfolioStats:
    """Load a company's figures; they are kept in memory until its mirror changes or the day is over."""
    assert connection.id is not None  # noqa: S101 - it was read from the database
    cached = _cache.setdefault(session.connection().engine.pool, {})
    key = (connection.id, connection.mirror_version, today)
    if key not in cached:
        if len(cached) >= _CACHE_MAX:
            cached.clear()
        cached[key] = PortfolioStats(
            _percentiles(session, connection.id, today - _YEAR),
            _revenue_ranks(session, connection.id, today - _YEAR),
            _last_payment_on(session, connection.id),
            load_baseline(session, connection.id, today),
            _repeated_numbers(session, connection.id),
        )
    return cached[key]


def is_billed(connection_id: int) -> ColumnElement[bool]:
    """Return the condition for real invoices: no drafts, no voided ones, and none of our own late fees."""
    fees = select(_OUTBOX.c.reference).where(_OUTBOX.c.connection_id == connection_id, _OUTBOX.c.kind == "late_fee")
    return and_(
        _INVOICE.c.connection_id == connection_id,
        _INVOICE.c.status.in_(_BILLED),
        _INVOICE.c.external_id.not_in(fees),
    )


def _percentiles(session: Session, connection_id: int, since_on: date) -> dict[str, InvoicePercentiles]:
    """Find the totals at every percentile, in one ordered pass over the totals that keeps none of the others."""
    billed = (is_billed(connection_id), _INVOICE.c.issued_on >= since_on)
    counts = session.execute(
        select(_INVOICE.c.currency, func.count()).where(*billed).group_by(_INVOICE.c.currency)
    ).all()
    found: dict[str, InvoicePercentiles] = {}
    for currency, count in counts:
        ranks = [nearest_rank(count, percentile) for percentile in range(1, 101)]
        query = select(_INVOICE.c.total_e4).where(*billed, _INVOICE.c.currency == currency)
        rows = session.execute(query.order_by(_INVOICE.c.total_e4).execution_options(yield_per=_ROWS_AT_ONCE)).scalars()
        wanted = set(ranks)
        totals = {rank: total for rank, total in enumerate(rows, start=1) if rank in wanted}
        found[currency] = InvoicePercentiles(tuple(totals[rank] for rank in ranks))
    return found


def _revenue_ranks(session: Session, connection_id: int, since_on: date) -> dict[str, tuple[RevenueRank, ...]]:
    """Rank the customers within each currency: amounts of two currencies are never added up."""
    revenue: defaultdict[str, dict[str, Decimal]] = defaultdict(dict)
    query = (
        select(_INVOICE.c.currency, _INVOICE.c.customer_id, func.sum(_INVOICE.c.total_e4))
        .where(is_billed(connection_id), _INVOICE.c.issued_on >= since_on)
        .group_by(_INVOICE.c.currency, _INVOICE.c.customer_id)
    )
    for currency, customer_id, total_e4 in session.execute(query):
        revenue[currency][customer_id] = from_e4(int(total_e4))
    ranks: defaultdict[str, tuple[RevenueRank, ...]] = defaultdict(tuple)
    for ranked in map(rank_by_revenue, revenue.values()):
        for customer_id, rank in ranked.items():
            ranks[customer_id] += (rank,)
    return dict(ranks)


def _repeated_numbers(session: Session, connection_id: int) -> frozenset[str]:
    query = select(_INVOICE.c.number).where(_INVOICE.c.connection_id == connection_id, _INVOICE.c.number != "")
    return frozenset(session.execute(query.group_by(_INVOICE.c.number).having(func.count() > 1)).scalars())


def _last_payment_on(session: Session, connection_id: int) -> date | None:
    payment = SQLModel.metadata.tables["payment"]
    is_money = (payment.c.connection_id == connection_id, payment.c.total_e4 > 0)  # a payment of 0 only links credits
    return session.execute(select(func.max(payment.c.paid_on)).where(*is_money)).scalar()
