"""Public holidays by country and region."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from holidays import country_holidays

from connector.geo import HolidayCalendar
from providers.geo import _load_regions, holiday_region

# The weekdays on which offices are closed; for a country the days of the region in which most people live. What each
# country's days were compared with, and what differed, is in docs/holidays.md.
CLOSED = {
    ("GB", 2027): "01-01 03-26 03-29 05-03 05-31 08-30 12-27 12-28",
    ("GB", 2028): "01-03 04-14 04-17 05-01 05-29 08-28 12-25 12-26",
    ("GB", 2029): "01-01 03-30 04-02 05-07 05-28 08-27 12-25 12-26",
    ("IE", 2027): "01-01 02-01 03-17 03-29 05-03 06-07 08-02 10-25",
    ("IE", 2028): "02-07 03-17 04-17 05-01 06-05 08-07 10-30 12-25 12-26",
    ("IE", 2029): "01-01 02-05 04-02 05-07 06-04 08-06 10-29 12-25 12-26",
    ("US", 2027): "01-01 01-18 02-15 05-31 06-18 07-05 09-06 10-11 11-11 11-25 12-24 12-31",
    ("US", 2028): "01-17 02-21 05-29 06-19 07-04 09-04 10-09 11-10 11-23 12-25",
    ("US", 2029): "01-01 01-15 02-19 05-28 06-19 07-04 09-03 10-08 11-12 11-22 12-25",
    ("CA", 2027): "01-01 02-15 03-26 05-24 07-01 09-06 10-11 12-27 12-28",
    ("CA", 2028): "01-03 02-21 04-14 05-22 07-03 09-04 10-09 12-25 12-26",
    ("CA", 2029): "01-01 02-19 03-30 05-21 07-02 09-03 10-08 12-25 12-26",
    ("AU", 2027): "01-01 01-26 03-26 03-29 04-26 06-14 10-04 12-27 12-28",
    ("AU", 2028): "01-03 01-26 04-14 04-17 04-25 06-12 10-02 12-25 12-26",
    ("AU", 2029): "01-01 01-26 03-30 04-02 04-25 06-11 10-01 12-25 12-26",
    ("NZ", 2027): "01-01 01-04 02-01 02-08 03-26 03-29 04-26 06-07 06-25 10-25 12-27 12-28",
    ("NZ", 2028): "01-03 01-04 01-31 02-07 04-14 04-17 04-25 06-05 07-14 10-23 12-25 12-26",
    ("NZ", 2029): "01-01 01-02 01-29 02-06 03-30 04-02 04-25 06-04 07-06 10-22 12-25 12-26",
    ("DE", 2027): "01-01 03-26 03-29 05-06 05-17 05-27 11-01",
    ("DE", 2028): "04-14 04-17 05-01 05-25 06-05 06-15 10-03 11-01 12-25 12-26",
    ("DE", 2029): "01-01 03-30 04-02 05-01 05-10 05-21 05-31 10-03 11-01 12-25 12-26",
    ("FR", 2027): "01-01 03-29 05-06 05-17 07-14 11-01 11-11",
    ("FR", 2028): "04-17 05-01 05-08 05-25 06-05 07-14 08-15 11-01 12-25",
    ("FR", 2029): "01-01 04-02 05-01 05-08 05-10 05-21 08-15 11-01 12-25",
    ("ES", 2027): "01-01 01-06 03-19 03-25 03-26 08-16 10-12 11-01 12-06 12-08",
    ("ES", 2028): "01-06 04-13 04-14 05-01 05-02 08-15 10-12 11-01 12-06 12-08 12-25",
    ("ES", 2029): "01-01 03-29 03-30 05-01 05-02 08-15 10-12 11-01 12-06 12-25",
    ("CH", 2027): "01-01 03-26 03-29 05-06 05-17",
    ("CH", 2028): "04-14 04-17 05-01 05-25 06-05 08-01 12-25 12-26",
    ("CH", 2029): "01-01 03-30 04-02 05-01 05-10 05-21 08-01 12-25 12-26",
    ("AT", 2027): "01-01 01-06 03-29 05-06 05-17 05-27 10-26 11-01 12-08",
    ("AT", 2028): "01-06 04-17 05-01 05-25 06-05 06-15 08-15 10-26 11-01 12-08 12-25 12-26",
    ("AT", 2029): "01-01 04-02 05-01 05-10 05-21 05-31 08-15 10-26 11-01 12-25 12-26",
    ("NL", 2027): "01-01 03-26 03-29 04-27 05-06 05-17",
    ("NL", 2028): "04-14 04-17 04-27 05-25 06-05 12-25 12-26",
    ("NL", 2029): "01-01 03-30 04-02 04-27 05-10 05-21 12-25 12-26",
    ("BE", 2027): "01-01 03-29 05-06 05-17 07-21 11-01 11-11",
    ("BE", 2028): "04-17 05-01 05-25 06-05 07-21 08-15 11-01 12-25",
    ("BE", 2029): "01-01 04-02 05-01 05-10 05-21 08-15 11-01 12-25",
    ("ZA", 2027): "01-01 03-22 03-26 03-29 04-27 06-16 08-09 09-24 12-16 12-27",
    ("ZA", 2028): "03-21 04-14 04-17 04-27 05-01 06-16 08-09 09-25 12-25 12-26",
    ("ZA", 2029): "01-01 03-21 03-30 04-02 04-27 05-01 08-09 09-24 12-17 12-25 12-26",
    ("SG", 2027): "01-01 02-08 03-10 03-26 05-17 05-20 08-09 10-28",
    ("SG", 2028): "01-26 01-27 02-28 04-14 05-01 05-05 05-09 08-09 10-17 12-25",
    ("SG", 2029): "01-01 02-13 02-14 02-15 03-30 04-25 05-01 05-28 08-09 11-05 12-25",
}


@pytest.mark.parametrize(("country", "year"), CLOSED)
def test_offices_are_closed_on_the_public_holidays_of_each_year(country: str, year: int) -> None:
    assert _closed_weekdays(country, year) == CLOSED[country, year]


def test_the_documentation_says_of_each_country_what_its_days_were_compared_with() -> None:
    rows = (Path(__file__).parents[2] / "docs" / "holidays.md").read_text().splitlines()
    told = {row.split("|")[1].strip() for row in rows if row.startswith("| ")} - {"country", "---"}
    assert told == {country for country, _ in CLOSED}


def _closed_weekdays(place: str, year: int) -> str:
    calendar, first = HolidayCalendar(), date(year, 1, 1)
    days = [first + timedelta(days=n) for n in range((date(year + 1, 1, 1) - first).days)]
    return " ".join(f"{on:%m-%d}" for on in days if on.isoweekday() <= 5 and calendar.holiday_name(place, on))


# What differs within a country, on the business days of 2027: Spain's by the regions' decrees, the others worked out
# from each region's rules. In Victoria the Friday before the football final is announced late.
REGIONS = {
    "GB-SCT": "01-01 01-04 03-26 05-03 05-31 08-02 11-30 12-27 12-28",
    "GB-NIR": "01-01 03-17 03-26 03-29 05-03 05-31 07-12 08-30 12-27 12-28",
    "CA-QC": "01-01 03-26 05-24 06-24 07-01 09-06 10-11 12-27",
    "CA-BC": "01-01 02-15 03-26 05-24 07-01 08-02 09-06 09-30 10-11 11-11 12-27",
    "CA-AB": "01-01 02-15 03-26 05-24 07-01 09-06 10-11 11-11 12-27",
    "DE-BY": "01-01 01-06 03-26 03-29 05-06 05-17 05-27 11-01",
    "DE-BE": "01-01 03-08 03-26 03-29 05-06 05-17",
    "CH-GE": "01-01 03-26 03-29 05-06 05-17 09-09 12-31",
    "CH-ZH": "01-01 03-26 03-29 05-06 05-17",
    "ES-CT": "01-01 01-06 03-26 03-29 06-24 10-12 11-01 12-06 12-08",
    "ES-CN": "01-01 01-06 03-25 03-26 08-16 10-12 11-01 12-06 12-08",
    "ES-EX": "01-01 01-06 03-25 03-26 09-08 10-11 10-12 11-01 12-06 12-08",
    "ES-GA": "01-01 01-06 03-19 03-25 03-26 05-17 10-12 11-01 12-06 12-08",
    "ES-NC": "01-01 01-06 03-19 03-25 03-26 03-29 10-12 11-01 12-03 12-06 12-08",
    "ES-PV": "01-01 01-06 03-25 03-26 03-29 10-07 10-12 11-01 12-06 12-08",
    "ES-VC": "01-01 01-06 03-19 03-26 03-29 10-12 11-01 12-06 12-08",
    "AU-VIC": "01-01 01-26 03-08 03-26 03-29 06-14 09-24 11-02 12-27 12-28",
    "AU-NSW": "01-01 01-26 03-26 03-29 04-26 06-14 10-04 12-27 12-28",
    "US-NY": "01-01 01-18 02-12 02-15 05-31 06-18 07-05 09-06 10-11 11-02 11-11 11-25 12-24 12-31",
    "NZ-AUK": "01-01 01-04 02-01 02-08 03-26 03-29 04-26 06-07 06-25 10-25 12-27 12-28",
}


@pytest.mark.parametrize("place", REGIONS)
def test_offices_are_closed_on_the_public_holidays_of_each_region(place: str) -> None:
    assert _closed_weekdays(place, 2027) == REGIONS[place]


@pytest.mark.parametrize(
    ("place", "on", "name"),
    [
        ("GB-ENG", date(2027, 3, 29), "Easter Monday"),
        ("GB-SCT", date(2027, 3, 29), ""),
        ("AU", date(2026, 12, 28), "Boxing Day (observed)"),
        ("AU-VIC", date(2026, 11, 3), "Melbourne Cup Day"),
        ("AU-NSW", date(2026, 11, 3), ""),
        ("FR-57", date(2027, 3, 26), "Good Friday"),
        ("ES-MD", date(2027, 8, 16), "Assumption Day (observed)"),  # decided in October 2026
        ("CA-MB", date(2029, 7, 2), "Canada Day (observed)"),  # the Sunday's holiday by the Holidays Act
        ("BA", date(2027, 5, 3), "Orthodox Easter Monday"),  # in every region's list, and missing in the national one
        ("DE", date(2026, 11, 26), ""),
        ("", date(2026, 12, 25), ""),
        ("XX", date(2026, 12, 25), ""),
    ],
)
def test_a_region_has_its_own_holidays(place: str, on: date, name: str) -> None:
    assert HolidayCalendar().holiday_name(place, on) == name


@pytest.mark.parametrize(
    ("place", "on", "is_holiday"),
    [
        ("GB", date(2026, 6, 15), False),  # a holiday of Scotland alone
        ("GB-SCT", date(2026, 6, 15), True),
        ("GB", date(2026, 8, 31), True),
        ("DE", date(2026, 6, 4), True),  # Corpus Christi, in some of the states only
    ],
)
def test_of_unknown_region_a_british_customer_has_the_holidays_of_england(
    place: str, on: date, *, is_holiday: bool
) -> None:
    assert bool(HolidayCalendar().holiday_name(place, on, any_region=True)) == is_holiday


@pytest.mark.parametrize(
    ("country", "region", "place"),
    [
        ("AU", "Victoria", "AU-VIC"),
        ("AU", "vic", "AU-VIC"),
        ("CA", "Québec", "CA-QC"),
        ("Germany", "Bayern", "DE-BY"),
        ("Germany", "Bavaria", "DE-BY"),
        ("DE", "NRW", "DE-NW"),
        ("ES", "Sevilla", "ES-AN"),
        ("ES", "A Coruña", "ES-GA"),
        ("Spain", "Bizkaia", "ES-PV"),
        ("ES", "Comunidad de Madrid", "ES-MD"),
        ("CH", "Geneva", "CH-GE"),
        ("CH", "St. Gallen", "CH-SG"),
        ("AT", "Vienna", "AT-9"),
        ("CA", "PEI", "CA-PE"),
        ("US", "US-NY", "US-NY"),  # ISO 3166-2
        ("AU", "N.S.W.", "AU"),
        ("GB", "West Yorkshire", "GB"),
        ("GB", "", "GB"),
        ("", "Victoria", ""),
        ("XX", "Victoria", ""),
    ],
)
def test_a_region_is_found_by_name_or_code_and_otherwise_the_country_counts(
    country: str, region: str, place: str
) -> None:
    assert holiday_region(country, region) == place


def test_every_region_of_the_table_is_one_that_has_holidays() -> None:
    for country, regions in _load_regions()["holiday_regions"].items():
        known = country_holidays(country).subdivisions
        assert set(regions) <= set(known), country
        names = [name for each in regions.values() for name in each.split()]
        assert len(names) == len(set(names)), country
