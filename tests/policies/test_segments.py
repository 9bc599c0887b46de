"""Segments and sizes, with the inputs that led there; days, zones and business days."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from policies.calendar import NoHolidays, business_days_after, zone
from policies.policy import ReminderPolicy
from policies.receivables import Customer, Segment, Size
from policies.segments import Thresholds, segment_of, segment_why, size_of, size_why, thresholds_of, top_revenue
from policies.wording import day, days, percent, sum_of
from tests.policies.books import KNOWN, MONDAY, POLICY, Holidays, invoice


@pytest.mark.parametrize(
    ("customer", "segment", "words"),
    [
        (KNOWN, Segment.ESTABLISHED, "not among the top customers"),
        (replace(KNOWN, in_top_revenue=True, revenue_rank=3), Segment.STRATEGIC, "rank 3 by 12-month revenue"),
        (replace(KNOWN, paid_invoices=2), Segment.NEW, "2 paid invoices"),
        (replace(KNOWN, first_invoiced_on=MONDAY - timedelta(days=179)), Segment.NEW, "first invoiced on 28 May 2026"),
        (replace(KNOWN, first_invoiced_on=MONDAY - timedelta(days=180)), Segment.ESTABLISHED, "27 May 2026"),
        (replace(KNOWN, first_invoiced_on=None), Segment.NEW, "never invoiced before"),
        (replace(KNOWN, segment=Segment.NEW, in_top_revenue=True), Segment.NEW, "set by hand"),
    ],
)
def test_a_segment_follows_from_its_inputs_and_names_them(customer: Customer, segment: Segment, words: str) -> None:
    assert segment_of(customer, POLICY.segments, MONDAY) is segment
    why = segment_why(customer, POLICY.segments, MONDAY)
    assert why.startswith(segment.value)
    assert words in why


def test_the_top_make_80_percent_of_revenue_but_never_more_than_a_fifth_of_customers() -> None:
    even = top_revenue({f"c{count}": Decimal(100) for count in range(10)})
    assert sum(place.in_top_revenue for place in even.values()) == 2
    steep = top_revenue({"big": Decimal(900), **{f"c{count}": Decimal(10) for count in range(9)}})
    assert [name for name, place in steep.items() if place.in_top_revenue] == ["big"]
    assert steep["big"].rank == 1


def test_customers_without_revenue_have_no_rank() -> None:
    assert top_revenue({"a": Decimal(0), "b": Decimal(-5)}) == {}


def test_sizes_are_percentiles_of_the_companys_own_invoices() -> None:
    limits = thresholds_of([Decimal(count) for count in range(1, 101)])
    assert limits == Thresholds(Decimal(90), Decimal(50))
    assert thresholds_of([]) == Thresholds(Decimal(0), Decimal(0))


def test_fixed_floors_win_over_percentiles() -> None:
    policy = ReminderPolicy.from_toml("[sizes.floors]\nEUR = { large = 1000, medium = 100 }")
    sizes = [size_of(invoice(total=total), policy.sizes) for total in ("99.99", "100", "1000")]
    assert sizes == [Size.SMALL, Size.MEDIUM, Size.LARGE]
    assert size_of(invoice(total="1000", currency="USD"), policy.sizes) is Size.SMALL
    assert size_why(invoice(total="100"), policy.sizes).startswith("medium: EUR 100.00; large from EUR 1,000.00")


def test_business_days_skip_weekends_and_holidays() -> None:
    window = POLICY.window
    friday = MONDAY + timedelta(days=4)
    off = Holidays({("DE", MONDAY + timedelta(days=7)): "Long Monday"})
    assert business_days_after(friday, 1, "DE", window, NoHolidays()) == MONDAY + timedelta(days=7)
    assert business_days_after(friday, 1, "DE", window, off) == MONDAY + timedelta(days=8)
    assert business_days_after(friday + timedelta(days=1), 0, "DE", window, off) == MONDAY + timedelta(days=8)
    assert business_days_after(MONDAY, 0, "DE", window, off) == MONDAY
    assert business_days_after(MONDAY, 10, "FR", window, off) == MONDAY + timedelta(days=14)


@pytest.mark.parametrize("odd", ["", "Nowhere/Land", "../../etc/passwd", "x" * 300])
def test_a_zone_that_is_none_gives_way_to_the_next(odd: str) -> None:
    assert zone(odd, "Europe/Berlin").key == "Europe/Berlin"
    assert zone(odd).key == "UTC"


def test_sums_days_and_rates_read_well() -> None:
    assert sum_of(Decimal("1234.5"), "EUR") == "EUR 1,234.50"
    assert sum_of(Decimal(1234), "JPY") == "JPY 1,234"
    assert sum_of(Decimal("1.5"), "BHD") == "BHD 1.500"
    assert (day(date(2026, 12, 3)), days(1), days(2)) == ("3 Dec 2026", "1 day", "2 days")
    assert [percent(Decimal(each)) for each in ("17.38", "1.50", "100")] == ["17.38 %", "1.5 %", "100 %"]


def test_a_place_says_among_how_many_and_what_share_is_made_down_to_it() -> None:
    places = top_revenue({"a": Decimal(50), "b": Decimal(30), "c": Decimal(20)}, customers_percent=100)
    assert [(place.rank, place.among, place.percent) for place in places.values()] == [
        (1, 3, 50),
        (2, 3, 80),
        (3, 3, 100),
    ]
    known = replace(KNOWN, in_top_revenue=True, revenue_rank=3, revenue_among=61, revenue_percent=41)
    why = segment_why(known, POLICY.segments, MONDAY)
    assert why.startswith("strategic: rank 3 of 61 by 12-month revenue, 41 % with those above, among the top")
