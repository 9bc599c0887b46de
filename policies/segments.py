"""Who is who: a customer's segment and an invoice's size, with the inputs that led there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from policies.formatting import format_amount, format_date
from policies.receivables import Customer, Invoice, Segment, Size
from policies.sections import Segments, Sizes


class Thresholds(NamedTuple):
    """From which total on an invoice is large or medium, in one currency."""

    large: Decimal
    medium: Decimal


class RevenueRank(NamedTuple):
    """A customer's place by 12-month revenue: his rank from 1 among how many, and whether he is among the top.

    ``percent`` is the share of the revenue that he makes together with those above him.
    """

    rank: int
    in_top_revenue: bool
    ranked_customers: int = 0
    cumulative_percent: int = 0


def segment_of(customer: Customer, rules: Segments, today: date) -> Segment:
    """Tell the segment: set by hand, else new, strategic or established."""
    if customer.segment is not None:
        return customer.segment
    first_on = customer.first_invoiced_on
    if first_on is None or (today - first_on).days < rules.new_days:
        return Segment.NEW
    if customer.paid_invoices < rules.new_paid_invoices:
        return Segment.NEW
    return Segment.STRATEGIC if customer.in_top_revenue else Segment.ESTABLISHED


def explain_segment(customer: Customer, rules: Segments, today: date) -> str:
    """Say why, with the inputs: ``strategic: rank 3 by 12-month revenue, among the top that make 80 %``."""
    segment = segment_of(customer, rules, today)
    if customer.segment is not None:
        return f"{segment.value}: set by hand"
    first_on = customer.first_invoiced_on
    since = f"first invoiced on {format_date(first_on)}" if first_on else "never invoiced before"
    if segment is Segment.NEW:
        return f"{segment.value}: {since}, {customer.paid_invoices} paid invoices"
    among = "among" if customer.in_top_revenue else "not among"
    return f"{segment.value}: {_rank(customer)}, {among} the top customers that make {rules.revenue_percent} %; {since}"


def _rank(customer: Customer) -> str:
    if not customer.revenue_rank:
        return "no 12-month revenue"
    of = f" of {customer.ranked_customers}" if customer.ranked_customers else ""
    share = f", {customer.revenue_cumulative_percent} % with those above" if customer.ranked_customers else ""
    return f"rank {customer.revenue_rank}{of} by 12-month revenue{share}"


def size_of(invoice: Invoice, rules: Sizes) -> Size:
    """Tell the size: by the fixed floors of its currency where the policy has some, else as the mirror found it."""
    floors = rules.floors.get(invoice.currency)
    return size_for_total(invoice.total, Thresholds(*floors)) if floors else invoice.size


def size_for_total(total: Decimal, thresholds: Thresholds) -> Size:
    """Tell the size of a total."""
    if total >= thresholds.large:
        return Size.LARGE
    return Size.MEDIUM if total >= thresholds.medium else Size.SMALL


def explain_size(invoice: Invoice, rules: Sizes, thresholds: Thresholds | None = None) -> str:
    """Say why an invoice has its size."""
    floors = rules.floors.get(invoice.currency)
    limits = Thresholds(*floors) if floors else thresholds
    size = size_of(invoice, rules).value
    if limits is None:
        return (
            f"{size}: {format_amount(invoice.total, invoice.currency)} beside the company's own invoices of 12 months"
        )
    large, medium = (format_amount(limit, invoice.currency) for limit in limits)
    return f"{size}: {format_amount(invoice.total, invoice.currency)}; large from {large}, medium from {medium}"


def compute_thresholds(
    totals: Sequence[Decimal], large_percentile: int = 90, medium_percentile: int = 50
) -> Thresholds:
    """Find the thresholds from the totals of the last 12 months in one currency (nearest rank, any order)."""
    ordered = sorted(totals)
    return Thresholds(_percentile(ordered, large_percentile), _percentile(ordered, medium_percentile))


def _percentile(ordered: Sequence[Decimal], percentile: int) -> Decimal:
    if not ordered:
        return Decimal(0)
    return ordered[max(0, -(-len(ordered) * percentile // 100) - 1)]


def rank_by_revenue(
    revenue: Mapping[str, Decimal], revenue_percent: int = 80, customers_percent: int = 20
) -> dict[str, RevenueRank]:
    """Rank customers by 12-month revenue; the top make a share of it, and are never more than a share of customers."""
    ranked = sorted(
        ((amount, name) for name, amount in revenue.items() if amount > 0), key=lambda each: (-each[0], each[1])
    )
    whole = sum((amount for amount, _ in ranked), Decimal(0))
    wanted = whole * revenue_percent / 100
    most = len(revenue) * customers_percent // 100
    places: dict[str, RevenueRank] = {}
    before = Decimal(0)
    for rank, (amount, name) in enumerate(ranked, start=1):
        among_top = before < wanted and rank <= most
        before += amount
        places[name] = RevenueRank(rank, among_top, len(ranked), round(100 * before / whole))
    return places
