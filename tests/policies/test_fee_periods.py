"""The months that fees are charged for, also from the 31st on and over a new year."""

from __future__ import annotations

from datetime import date

import pytest

from policies.fee_periods import FeePeriod, find_period, full_months, last_invoice_date, list_periods
from policies.policy import ReminderPolicy
from tests.policies.builders import overdue_invoice

MONTHLY = ReminderPolicy.from_toml('[late_fees]\nkind = "percent_per_month"').late_fees
ONCE = ReminderPolicy.from_toml('[late_fees]\nkind = "percent"').late_fees
LATE = overdue_invoice(0, today=date(2025, 11, 30))


@pytest.mark.parametrize(
    ("start_on", "on", "months"),
    [
        (date(2026, 3, 10), date(2026, 4, 9), 0),
        (date(2026, 3, 10), date(2026, 4, 10), 1),
        (date(2026, 3, 10), date(2026, 5, 9), 1),
        (date(2026, 1, 31), date(2026, 2, 27), 0),
        (date(2026, 1, 31), date(2026, 2, 28), 1),
        (date(2026, 1, 31), date(2026, 3, 30), 1),
        (date(2026, 1, 31), date(2026, 3, 31), 2),
        (date(2024, 3, 10), date(2026, 4, 9), 24),
        (date(2024, 3, 10), date(2026, 4, 10), 25),
    ],
)
def test_a_month_is_over_on_the_same_day_of_the_next_or_on_its_last(start_on: date, on: date, months: int) -> None:
    assert full_months(start_on, on) == months


def test_each_full_month_of_the_delay_is_a_period() -> None:
    assert list(list_periods(MONTHLY, LATE, date(2026, 2, 27))) == [
        FeePeriod("2025-11", date(2025, 11, 30), date(2025, 12, 30)),
        FeePeriod("2025-12", date(2025, 12, 30), date(2026, 1, 30)),
    ]
    assert len(list_periods(MONTHLY, LATE, date(2026, 2, 28))) == 3
    assert not list_periods(MONTHLY, LATE, date(2025, 12, 29))


def test_a_fee_that_is_charged_once_has_the_whole_delay_as_its_period() -> None:
    whole = FeePeriod("once", date(2025, 11, 30), date(2026, 2, 27))
    assert list(list_periods(ONCE, LATE, date(2026, 2, 27))) == [whole]
    assert find_period("once", ONCE, LATE, date(2026, 2, 27)) == whole


def test_a_charge_without_a_key_was_for_the_last_month_that_was_over() -> None:
    found = find_period("", MONTHLY, LATE, date(2026, 2, 27))
    assert found is not None
    assert found.key == "2025-12"
    assert find_period("", MONTHLY, LATE, date(2025, 12, 29)) is None
    assert find_period("2026-01", MONTHLY, LATE, date(2026, 2, 27)) is None


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (date(2026, 3, 14), date(2026, 2, 15)),
        (date(2026, 3, 15), date(2026, 3, 15)),
        (date(2026, 3, 16), date(2026, 3, 15)),
        (date(2026, 1, 2), date(2025, 12, 15)),
    ],
)
def test_monthly_fee_invoices_are_written_on_their_day_of_the_month(today: date, expected: date) -> None:
    assert last_invoice_date(today, 15) == expected
