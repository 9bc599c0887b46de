"""Public holidays by country."""

from __future__ import annotations

from datetime import date

from connector.geo import HolidayCalendar


def test_public_holidays_have_a_name_and_ordinary_days_have_none() -> None:
    calendar = HolidayCalendar()
    assert calendar.holiday_name("DE", date(2026, 12, 25)) == "Christmas Day"
    assert calendar.holiday_name("US", date(2026, 11, 26)) == "Thanksgiving Day"
    assert calendar.holiday_name("DE", date(2026, 11, 26)) == ""
    assert calendar.holiday_name("", date(2026, 12, 25)) == ""
    assert calendar.holiday_name("XX", date(2026, 12, 25)) == ""
