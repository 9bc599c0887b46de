"""Customer segments and invoice sizes with their inputs; business days, time zones and formatting."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from policies.calendar import add_business_days, find_time_zone
from policies.formatting import format_amount, format_date, format_days, format_percent
from policies.policy import ReminderPolicy
from policies.receivables import Customer, RevenueRank, Segment, Size
from policies.segments import (
    Thresholds,
    explain_segment,
    explain_size,
    nearest_rank,
    rank_by_revenue,
    segment_of,
    size_of,
)
from tests.policies.builders import KNOWN_CUSTOMER, MONDAY, NO_HOLIDAYS, POLICY, Holidays, invoice

TOP = RevenueRank(rank=3, customers=61, revenue_above=Decimal(33), revenue=Decimal(8), total_revenue=Decimal(100))


@pytest.mark.parametrize(
    ("customer", "segment", "words"),
    [
        (KNOWN_CUSTOMER, Segment.ESTABLISHED, "not among the top customers"),
        (replace(KNOWN_CUSTOMER, revenue_ranks=(TOP,)), Segment.STRATEGIC, "rank 3 of 61 by 12-month revenue"),
        (replace(KNOWN_CUSTOMER, paid_invoices=2), Segment.NEW, "2 paid invoices"),
        (
            replace(KNOWN_CUSTOMER, first_invoiced_on=MONDAY - timedelta(days=179)),
            Segment.NEW,
            "first invoiced on 28 May 2026",
        ),
        (replace(KNOWN_CUSTOMER, first_invoiced_on=MONDAY - timedelta(days=180)), Segment.ESTABLISHED, "27 May 2026"),
        (replace(KNOWN_CUSTOMER, first_invoiced_on=None), Segment.NEW, "never invoiced before"),
        (replace(KNOWN_CUSTOMER, segment=Segment.NEW, revenue_ranks=(TOP,)), Segment.NEW, "set by hand"),
    ],
)
def test_a_segment_is_explained_by_its_inputs(customer: Customer, segment: Segment, words: str) -> None:
    assert segment_of(customer, POLICY.segments, MONDAY) is segment
    reason = explain_segment(customer, POLICY.segments, MONDAY)
    assert reason.startswith(segment.value)
    assert words in reason


def top_customers(revenue: dict[str, int], policy: ReminderPolicy = POLICY) -> list[str]:
    """The customers whose revenue makes them strategic."""
    ranks = rank_by_revenue({name: Decimal(amount) for name, amount in revenue.items()})
    customers = {name: replace(KNOWN_CUSTOMER, revenue_ranks=(rank,)) for name, rank in ranks.items()}
    return [name for name, each in customers.items() if segment_of(each, policy.segments, MONDAY) is Segment.STRATEGIC]


def test_the_top_customers_make_80_percent_of_revenue_but_are_never_more_than_a_fifth_of_customers() -> None:
    assert len(top_customers({f"c{count}": 100 for count in range(10)})) == 2
    steep = {"big": 900} | {f"c{count}": 10 for count in range(9)}
    assert top_customers(steep) == ["big"]


def test_the_shares_of_the_policy_decide_who_is_a_top_customer() -> None:
    revenue = {"a": 50, "b": 30, "c": 15, "d": 5}
    for share, customers, expected in (
        (50, 100, "a"),
        (51, 100, "ab"),
        (80, 100, "ab"),
        (81, 100, "abc"),
        (100, 50, "ab"),
    ):
        policy = ReminderPolicy.from_toml(f"[segments]\nrevenue_percent = {share}\ncustomers_percent = {customers}")
        assert "".join(top_customers(revenue, policy)) == expected, (share, customers)


def test_one_currency_in_which_a_customer_is_at_the_top_is_enough() -> None:
    top, other = (
        RevenueRank(1, 10, Decimal(0), Decimal(60), Decimal(100)),
        RevenueRank(9, 10, Decimal(95), Decimal(3), Decimal(100)),
    )
    customer = replace(KNOWN_CUSTOMER, revenue_ranks=(other, top))
    assert segment_of(customer, POLICY.segments, MONDAY) is Segment.STRATEGIC
    assert "rank 1 of 10" in explain_segment(customer, POLICY.segments, MONDAY)


def test_customers_without_revenue_have_no_rank() -> None:
    assert rank_by_revenue({"a": Decimal(0), "b": Decimal(-5)}) == {}
    assert "no revenue in the last 12 months" in explain_segment(KNOWN_CUSTOMER, POLICY.segments, MONDAY)


@pytest.mark.parametrize(
    ("count", "percentile", "rank"), [(100, 90, 90), (10, 90, 9), (10, 91, 10), (3, 50, 2), (1, 1, 1), (1, 100, 1)]
)
def test_percentiles_are_found_by_the_nearest_rank(count: int, percentile: int, rank: int) -> None:
    assert nearest_rank(count, percentile) == rank


def test_the_percentiles_of_the_policy_decide_how_large_an_invoice_is() -> None:
    policy = ReminderPolicy.from_toml("[sizes]\nlarge_percentile = 70\nmedium_percentile = 20")
    for percentile, default, other in (
        (90, Size.LARGE, Size.LARGE),
        (89, Size.MEDIUM, Size.LARGE),
        (69, Size.MEDIUM, Size.MEDIUM),
        (49, Size.SMALL, Size.MEDIUM),
        (19, Size.SMALL, Size.SMALL),
    ):
        own = replace(invoice(), size_percentile=percentile)
        assert (size_of(own, POLICY.sizes), size_of(own, policy.sizes)) == (default, other), percentile


def test_fixed_amounts_take_precedence_over_percentiles() -> None:
    policy = ReminderPolicy.from_toml("[sizes.floors]\nEUR = { large = 1000, medium = 100 }")
    sizes = [size_of(invoice(total=total), policy.sizes) for total in ("99.99", "100", "1000")]
    assert sizes == [Size.SMALL, Size.MEDIUM, Size.LARGE]
    assert size_of(invoice(total="1000", currency="USD"), policy.sizes) is Size.SMALL
    assert explain_size(invoice(total="100"), policy.sizes).startswith("medium: EUR 100.00; large from EUR 1,000.00")


def test_business_days_skip_weekends_and_holidays() -> None:
    window = POLICY.send_window
    friday = MONDAY + timedelta(days=4)
    off = Holidays({("DE", MONDAY + timedelta(days=7)): "Long Monday"})
    assert add_business_days(friday, 1, "DE", window, NO_HOLIDAYS) == MONDAY + timedelta(days=7)
    assert add_business_days(friday, 1, "DE", window, off) == MONDAY + timedelta(days=8)
    assert add_business_days(friday + timedelta(days=1), 0, "DE", window, off) == MONDAY + timedelta(days=8)
    assert add_business_days(MONDAY, 0, "DE", window, off) == MONDAY
    assert add_business_days(MONDAY, 10, "FR", window, off) == MONDAY + timedelta(days=14)


@pytest.mark.parametrize("unknown", ["", "Nowhere/Land", "../../etc/passwd", "x" * 300])
def test_an_unknown_time_zone_gives_way_to_the_next(unknown: str) -> None:
    assert find_time_zone(unknown, "Europe/Berlin").key == "Europe/Berlin"
    assert find_time_zone(unknown).key == "UTC"


def test_amounts_dates_and_rates_are_formatted() -> None:
    assert format_amount(Decimal("1234.5"), "EUR") == "EUR 1,234.50"
    assert format_amount(Decimal(1234), "JPY") == "JPY 1,234"
    assert format_amount(Decimal("1.5"), "BHD") == "BHD 1.500"
    assert (format_date(date(2026, 12, 3)), format_days(1), format_days(2)) == ("3 Dec 2026", "1 day", "2 days")
    assert [format_percent(Decimal(each)) for each in ("17.38", "1.50", "100")] == ["17.38 %", "1.5 %", "100 %"]


def test_a_rank_is_explained_with_the_share_of_revenue_down_to_it() -> None:
    ranks = rank_by_revenue({"a": Decimal(50), "b": Decimal(30), "c": Decimal(20), "none": Decimal(0)})
    assert [(each.rank, each.customers, each.revenue_above) for each in ranks.values()] == [
        (1, 4, Decimal(0)),
        (2, 4, Decimal(50)),
        (3, 4, Decimal(80)),
    ]
    customer = replace(KNOWN_CUSTOMER, revenue_ranks=(RevenueRank(3, 61, Decimal(33), Decimal(8), Decimal(100)),))
    reason = explain_segment(customer, POLICY.segments, MONDAY)
    assert reason.startswith("strategic: rank 3 of 61 by 12-month revenue, 41 % including those above, among the top")


def test_a_size_is_explained_with_its_limits() -> None:
    limits = Thresholds(Decimal(900), Decimal(50))
    assert explain_size(invoice(total="100"), POLICY.sizes, limits).endswith(
        "large from EUR 900.00, medium from EUR 50.00"
    )
    assert explain_size(invoice(total="100"), POLICY.sizes).startswith("small: EUR 100.00, with no invoice")
