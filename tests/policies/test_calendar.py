"""The send window to the minute, and business days."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from policies.calendar import add_business_days, find_send_slot, find_time_zone, next_window_change
from tests.policies.builders import BERLIN, MONDAY, NO_HOLIDAYS, POLICY, Holidays, at

WINDOW = POLICY.send_window
FRIDAY = MONDAY + timedelta(days=4)


@pytest.mark.parametrize(
    ("on", "hour", "minute", "waits_until"),
    [
        (MONDAY, 7, 59, at(MONDAY, 8)),
        (MONDAY, 8, 0, None),
        (MONDAY, 17, 59, None),
        (MONDAY, 18, 0, at(MONDAY + timedelta(days=1), 8)),
        (FRIDAY, 18, 0, at(FRIDAY + timedelta(days=3), 8)),
        (FRIDAY + timedelta(days=1), 12, 0, at(FRIDAY + timedelta(days=3), 8)),
    ],
)
def test_emails_are_sent_from_the_minute_the_window_opens_until_it_closes(
    on: date, hour: int, minute: int, waits_until: object
) -> None:
    assert find_send_slot(at(on, hour, minute), BERLIN, "DE", WINDOW, NO_HOLIDAYS).at == waits_until


@pytest.mark.parametrize(
    ("now", "change"),
    [
        (at(FRIDAY, 7, 59), at(FRIDAY, 8)),
        (at(FRIDAY, 8), at(FRIDAY, 18)),
        (at(FRIDAY, 18), at(FRIDAY + timedelta(days=1), 0)),
        (at(FRIDAY + timedelta(days=1), 0), at(FRIDAY + timedelta(days=1), 8)),
        (at(date(2026, 3, 29), 0), at(date(2026, 3, 29), 8)),
        (at(date(2026, 10, 24), 20), at(date(2026, 10, 25), 0)),
    ],
)
def test_the_next_change_is_the_start_or_end_of_a_day_or_of_its_send_window(now: datetime, change: datetime) -> None:
    assert next_window_change(now, BERLIN, WINDOW) == change


def test_the_first_time_zone_that_exists_counts() -> None:
    assert find_time_zone("", "Nowhere/Land", "Europe/Berlin", "Asia/Tokyo") == BERLIN
    assert find_time_zone("", "Nowhere/Land") == ZoneInfo("UTC")


@pytest.mark.parametrize(
    ("start", "count", "expected"),
    [
        (MONDAY, 0, MONDAY),
        (FRIDAY + timedelta(days=1), 0, FRIDAY + timedelta(days=3)),
        (MONDAY, 1, MONDAY + timedelta(days=1)),
        (MONDAY, 4, FRIDAY),
        (MONDAY, 5, MONDAY + timedelta(days=7)),
    ],
)
def test_business_days_leave_weekends_out(start: date, count: int, expected: date) -> None:
    assert add_business_days(start, count, "DE", WINDOW, NO_HOLIDAYS) == expected


def test_business_days_leave_public_holidays_out() -> None:
    holidays = Holidays({("DE", MONDAY + timedelta(days=1)): "Buß- und Bettag"})
    assert add_business_days(MONDAY, 1, "DE", WINDOW, holidays) == MONDAY + timedelta(days=2)
    assert add_business_days(MONDAY, 1, "FR", WINDOW, holidays) == MONDAY + timedelta(days=1)
