"""Customer segments and invoice sizes, each with the inputs that explain it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from policies.formatting import format_amount, format_date
from policies.receivables import Customer, Invoice, RevenueRank, Segment, Size
from policies.sections import Segments, Sizes


class Thresholds(NamedTuple):
    """The totals from which an invoice is large or medium, in one currency."""

    large: Decimal
    medium: Decimal


def segment_of(customer: Customer, rules: Segments, today: date) -> Segment:
    """Return a customer's segment: the one set by hand, else new, strategic or established."""
    if customer.segment is not None:
        return customer.segment
    first_on = customer.first_invoiced_on
    if first_on is None or (today - first_on).days < rules.new_days:
        return Segment.NEW
    if customer.paid_invoices < rules.new_paid_invoices:
        return Segment.NEW
    return Segment.STRATEGIC if _is_top_customer(customer, rules) else Segment.ESTABLISHED


def _is_top_customer(customer: Customer, rules: Segments) -> bool:
    return any(_is_top_rank(each, rules) for each in customer.revenue_ranks)


def _is_top_rank(rank: RevenueRank, rules: Segments) -> bool:
    """Return whether the customers above make less than the policy's share of revenue, and are few enough."""
    is_needed = rank.revenue_above * 100 < rank.total_revenue * rules.revenue_percent
    return is_needed and rank.rank <= rank.customers * rules.customers_percent // 100


def explain_segment(customer: Customer, rules: Segments, today: date) -> str:
    """Explain a segment by its inputs: ``strategic: rank 3 of 61 by 12-month revenue, ...``."""
    segment = segment_of(customer, rules, today)
    if customer.segment is not None:
        return f"{segment.value}: set by hand"
    first_on = customer.first_invoiced_on
    since = f"first invoiced on {format_date(first_on)}" if first_on else "never invoiced before"
    if segment is Segment.NEW:
        return f"{segment.value}: {since}, {customer.paid_invoices} paid invoices"
    among = "among" if _is_top_customer(customer, rules) else "not among"
    rank = _format_rank(customer, rules)
    return f"{segment.value}: {rank}, {among} the top customers with {rules.revenue_percent} % of revenue; {since}"


def _format_rank(customer: Customer, rules: Segments) -> str:
    if not customer.revenue_ranks:
        return "no revenue in the last 12 months"
    best = min(customer.revenue_ranks, key=lambda each: (not _is_top_rank(each, rules), each.rank))
    percent = round(100 * (best.revenue_above + best.revenue) / best.total_revenue)
    return f"rank {best.rank} of {best.customers} by 12-month revenue, {percent} % including those above"


def size_of(invoice: Invoice, rules: Sizes) -> Size:
    """Return an invoice's size: by the fixed amounts for its currency if the policy has any, else by its percentile."""
    floors = rules.floors.get(invoice.currency)
    if floors:
        large, medium = floors
        return _size(invoice.total >= large, invoice.total >= medium)
    percentile = invoice.size_percentile
    return _size(percentile >= rules.large_percentile, percentile >= rules.medium_percentile)


def _size(is_large: bool, is_medium: bool) -> Size:  # noqa: FBT001 - one answer for each limit
    if is_large:
        return Size.LARGE
    return Size.MEDIUM if is_medium else Size.SMALL


def explain_size(invoice: Invoice, rules: Sizes, thresholds: Thresholds | None = None) -> str:
    """Explain an invoice's size; ``thresholds`` are the totals at the policy's percentiles, if there are any."""
    floors = rules.floors.get(invoice.currency)
    limits = Thresholds(*floors) if floors else thresholds
    size = f"{size_of(invoice, rules).value}: {format_amount(invoice.total, invoice.currency)}"
    if limits is None:
        return f"{size}, with no invoice of the last 12 months to compare with"
    large, medium = (format_amount(limit, invoice.currency) for limit in limits)
    return f"{size}; large from {large}, medium from {medium}"


def nearest_rank(count: int, percentile: int) -> int:
    """Return the rank, from 1, of a percentile among ``count`` ordered values (nearest-rank method)."""
    return max(1, -(-count * percentile // 100))


def rank_by_revenue(revenue: Mapping[str, Decimal]) -> dict[str, RevenueRank]:
    """Rank customers by their 12-month revenue in one currency; without revenue there is no rank."""
    positive = [(amount, customer_id) for customer_id, amount in revenue.items() if amount > 0]
    total = sum((amount for amount, _ in positive), Decimal(0))
    ranks: dict[str, RevenueRank] = {}
    above = Decimal(0)
    ordered = sorted(positive, key=lambda each: (-each[0], each[1]))
    for rank, (amount, customer_id) in enumerate(ordered, start=1):
        ranks[customer_id] = RevenueRank(rank, len(revenue), above, amount, total)
        above += amount
    return ranks
