"""Places as ledgers write them become codes, time zones and holidays."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from connector import geo


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Germany", "DE"), ("de", "DE"), ("DEU", "DE"), ("USA", "US"), ("U.S.A.", "US"), ("UK", "GB"),
        ("United Kingdom", "GB"),
        ("Österreich", "AT"), ("  new   zealand ", "NZ"), ("Côte d’Ivoire", "CI"), ("Britain (UK)", "GB"),
        ("Czech Republic", "CZ"), ("Türkiye", "TR"), ("", ""), ("Narnia", ""),
    ],
)  # fmt: skip
def test_a_country_is_known_by_code_or_name(said: str, code: str) -> None:
    assert geo.country_code(said) == code


@pytest.mark.parametrize(
    ("country", "region", "zone"),
    [
        ("US", "CA", "America/Los_Angeles"),
        ("US", "New York", "America/New_York"),
        ("Canada", "Québec", "America/Toronto"),
        ("AUS", "NSW", "Australia/Sydney"),
        ("Brazil", "AM", "America/Manaus"),
        ("RU", "", "Europe/Moscow"),
        ("FR", "Bretagne", "Europe/Paris"),
        ("", "", ""),
    ],
)
def test_a_place_has_a_time_zone(country: str, region: str, zone: str) -> None:
    assert geo.time_zone(country, region) == zone


def test_at_home_the_companys_own_zone_counts_unless_the_region_says_otherwise() -> None:
    assert geo.time_zone("US", "", "US", "America/Denver") == "America/Denver"
    assert geo.time_zone("US", "TX", "US", "America/Denver") == "America/Chicago"
    assert geo.time_zone("FR", "", "US", "America/Denver") == "Europe/Paris"


def test_every_time_zone_of_the_table_exists() -> None:
    table = geo._load_regions_file()
    zones = [zone for code, named in table.items() if code.isupper() for zone in named]
    assert len(zones) > 30
    for zone in [*zones, *table["main"].values()]:
        assert ZoneInfo(zone).key == zone


def test_public_holidays_are_named_and_ordinary_days_are_not() -> None:
    calendar = geo.HolidayCalendar()
    assert calendar.holiday_name("DE", date(2026, 12, 25)) == "Christmas Day"
    assert calendar.holiday_name("US", date(2026, 11, 26)) == "Thanksgiving Day"
    assert calendar.holiday_name("DE", date(2026, 11, 26)) == ""
    assert calendar.holiday_name("", date(2026, 12, 25)) == ""
    assert calendar.holiday_name("XX", date(2026, 12, 25)) == ""


@pytest.mark.parametrize(("country", "language"), [("DE", "de"), ("MX", "es"), ("CH", ""), ("US", ""), ("", "")])
def test_a_country_of_one_language_is_written_to_in_it(country: str, language: str) -> None:
    assert geo.language_in(country) == language
