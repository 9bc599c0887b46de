"""Countries and places as ledgers write them become codes and time zones."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from providers import geo


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("Germany", "DE"), ("de", "DE"), ("DEU", "DE"), ("USA", "US"), ("U.S.A.", "US"), ("UK", "GB"), ("u.k.", "GB"),
        ("United  Kingdom", "GB"), ("Österreich", "AT"), ("  new   zealand ", "NZ"), ("Aotearoa", "NZ"),
        ("Côte d’Ivoire", "CI"), ("Britain (UK)", "GB"), ("Czech Republic", "CZ"), ("Türkiye", "TR"),
        ("", ""), ("xx", ""), ("Narnia", ""),
    ],
)  # fmt: skip
def test_country_is_recognised_by_code_or_name_and_never_guessed(written: str, code: str) -> None:
    assert geo.country_code(written) == code


@pytest.mark.parametrize(
    ("country", "region", "zone"),
    [
        ("US", "CA", "America/Los_Angeles"),
        ("US", "New York", "America/New_York"),
        ("US", "", "America/New_York"),
        ("Canada", "Québec", "America/Toronto"),
        ("AUS", "NSW", "Australia/Sydney"),
        ("Brazil", "AM", "America/Manaus"),
        ("RU", "", "Europe/Moscow"),
        ("FR", "Bretagne", "Europe/Paris"),
        ("", "", ""),
    ],
)
def test_place_has_a_time_zone(country: str, region: str, zone: str) -> None:
    assert geo.time_zone(country, region) == zone


def test_companys_own_zone_applies_in_its_country_unless_the_region_has_another() -> None:
    assert geo.time_zone("US", "", "US", "America/Denver") == "America/Denver"
    assert geo.time_zone("US", "TX", "US", "America/Denver") == "America/Chicago"
    assert geo.time_zone("FR", "", "US", "America/Denver") == "Europe/Paris"


def test_every_time_zone_of_the_table_exists() -> None:
    table = geo._load_regions()
    zones = [zone for code, by_region in table.items() if code.isupper() for zone in by_region]
    assert len(zones) > 30
    for zone in [*zones, *table["main"].values()]:
        assert ZoneInfo(zone).key == zone


@pytest.mark.parametrize(
    ("country", "language"),
    [("DE", "de"), ("MX", "es"), ("NL", "nl"), ("PT", "pt"), ("BE", ""), ("CH", ""), ("US", ""), ("", "")],
)
def test_country_with_one_language_has_it(country: str, language: str) -> None:
    assert geo.language_in(country) == language
