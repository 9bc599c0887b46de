"""Segments and sizes, with the inputs that led there; days, zones and business days."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from policies.calendar import NoHolidays, add_business_days, find_time_zone
from policies.formatting import format_amount, format_date, format_days, format_percent
from policies.policy import ReminderPolicy
from policies.receivables import Customer, Segment, Size
from policies.segments import (
    Thresholds,
    compute_thresholds,
    explain_segment,
    explain_size,
    rank_by_revenue,
    segment_of,
    size_of,
)
from tests.policies.builders import KNOWN_CUSTOMER, MONDAY, POLICY, Holidays, invoice


@pytest.mark.parametrize(
    ("customer", "segment", "words"),
    [
        (KNOWN_CUSTOMER, Segment.ESTABLISHED, "not among the top customers"),
        (replace(KNOWN_CUSTOMER, in_top_revenue=True, revenue_rank=3), Segment.STRATEGIC, "rank 3 by 12-month revenue"),
        (replace(KNOWN_CUSTOMER, paid_invoices=2), Segment.NEW, "2 paid invoices"),
        (
            replace(KNOWN_CUSTOMER, first_invoiced_on=MONDAY - timedelta(days=179)),
            Segment.NEW,
            "first invoiced on 28 May 2026",
        ),
        (replace(KNOWN_CUSTOMER, first_invoiced_on=MONDAY - timedelta(days=180)), Segment.ESTABLISHED, "27 May 2026"),
        (replace(KNOWN_CUSTOMER, first_invoiced_on=None), Segment.NEW, "never invoiced before"),
        (replace(KNOWN_CUSTOMER, segment=Segment.NEW, in_top_revenue=True), Segment.NEW, "set by hand"),
    ],
)
def test_a_segment_follows_from_its_inputs_and_names_them(customer: Customer, segment: Segment, words: str) -> None:
    assert segment_of(customer, POLICY.segments, MONDAY) is segment
    reason = explain_segment(customer, POLICY.segments, MONDAY)
    assert reason.startswith(segment.value)
    assert words in reason


def test_the_top_make_80_percent_of_revenue_but_never_more_than_a_fifth_of_customers() -> None:
    even = rank_by_revenue({f"c{count}": Decimal(100) for count in range(10)})
    assert sum(place.in_top_revenue for place in even.values()) == 2
    steep = rank_by_revenue({"big": Decimal(900), **{f"c{count}": Decimal(10) for count in range(9)}})
    assert [name for name, place in steep.items() if place.in_top_revenue] == ["big"]
    assert steep["big"].rank == 1


def test_customers_without_revenue_have_no_rank() -> None:
    assert rank_by_revenue({"a": Decimal(0), "b": Decimal(-5)}) == {}


def test_sizes_are_percentiles_of_the_companys_own_invoices() -> None:
    limits = compute_thresholds([Decimal(count) for count in range(1, 101)])
    assert limits == Thresholds(Decimal(90), Decimal(50))
    assert compute_thresholds([]) == Thresholds(Decimal(0), Decimal(0))


def test_fixed_floors_win_over_percentiles() -> None:
    policy = ReminderPolicy.from_toml("[sizes.floors]\nEUR = { large = 1000, medium = 100 }")
    sizes = [size_of(invoice(total=total), policy.sizes) for total in ("99.99", "100", "1000")]
    assert sizes == [Size.SMALL, Size.MEDIUM, Size.LARGE]
    assert size_of(invoice(total="1000", currency="USD"), policy.sizes) is Size.SMALL
    assert explain_size(invoice(total="100"), policy.sizes).startswith("medium: EUR 100.00; large from EUR 1,000.00")


def test_business_days_skip_weekends_and_holidays() -> None:
    window = POLICY.send_window
    friday = MONDAY + timedelta(days=4)
    off = Holidays({("DE", MONDAY + timedelta(days=7)): "Long Monday"})
    assert add_business_days(friday, 1, "DE", window, NoHolidays()) == MONDAY + timedelta(days=7)
    assert add_business_days(friday, 1, "DE", window, off) == MONDAY + timedelta(days=8)
    assert add_business_days(friday + timedelta(days=1), 0, "DE", window, off) == MONDAY + timedelta(days=8)
    assert add_business_days(MONDAY, 0, "DE", window, off) == MONDAY
    assert add_business_days(MONDAY, 10, "FR", window, off) == MONDAY + timedelta(days=14)


@pytest.mark.parametrize("odd", ["", "Nowhere/Land", "../../etc/passwd", "x" * 300])
def test_a_zone_that_is_none_gives_way_to_the_next(odd: str) -> None:
    assert find_time_zone(odd, "Europe/Berlin").key == "Europe/Berlin"
    assert find_time_zone(odd).key == "UTC"


def test_sums_days_and_rates_read_well() -> None:
    assert format_amount(Decimal("1234.5"), "EUR") == "EUR 1,234.50"
    assert format_amount(Decimal(1234), "JPY") == "JPY 1,234"
    assert format_amount(Decimal("1.5"), "BHD") == "BHD 1.500"
    assert (format_date(date(2026, 12, 3)), format_days(1), format_days(2)) == ("3 Dec 2026", "1 day", "2 days")
    assert [format_percent(Decimal(each)) for each in ("17.38", "1.50", "100")] == ["17.38 %", "1.5 %", "100 %"]


def test_a_place_says_among_how_many_and_what_share_is_made_down_to_it() -> None:
    places = rank_by_revenue({"a": Decimal(50), "b": Decimal(30), "c": Decimal(20)}, customers_percent=100)
    assert [(place.rank, place.ranked_customers, place.cumulative_percent) for place in places.values()] == [
        (1, 3, 50),
        (2, 3, 80),
        (3, 3, 100),
    ]
    known = replace(
        KNOWN_CUSTOMER, in_top_revenue=True, revenue_rank=3, ranked_customers=61, revenue_cumulative_percent=41
    )
    reason = explain_segment(known, POLICY.segments, MONDAY)
    assert reason.startswith("strategic: rank 3 of 61 by 12-month revenue, 41 % with those above, among the top")
