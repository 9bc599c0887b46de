"""Country names as Intuit writes them ("USA", "United Kingdom") to ISO alpha-2, and a sensible time zone of a place.

Names and codes are those of the ``holidays`` package, zones those of the tz database; what neither knows stands here.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final
from zoneinfo import available_timezones

import holidays

_COUNTRY_ALIASES: Final = {
    "america": "US",
    "britain": "GB",
    "czechrepublic": "CZ",
    "england": "GB",
    "greatbritain": "GB",
    "holland": "NL",
    "northernireland": "GB",
    "scotland": "GB",
    "thenetherlands": "NL",
    "uae": "AE",
    "uk": "GB",
    "unitedkingdom": "GB",
    "unitedstatesofamerica": "US",
    "usa": "US",
    "wales": "GB",
}

# First choices for the countries of QuickBooks that span several zones; the rest takes its country's first.
_TIME_ZONES_BY_REGION: Final = {
    "US": {
        "America/Chicago": "AL AR IA IL KS LA MN MO MS ND NE OK SD TN TX WI",
        "America/Denver": "CO ID MT NM UT WY",
        "America/Phoenix": "AZ",
        "America/Los_Angeles": "CA NV OR WA",
        "America/Anchorage": "AK",
        "Pacific/Honolulu": "HI",
    },
    "CA": {
        "America/Halifax": "NB NS PE",
        "America/St_Johns": "NL",
        "America/Winnipeg": "MB",
        "America/Regina": "SK",
        "America/Edmonton": "AB NT",
        "America/Vancouver": "BC",
        "America/Whitehorse": "YT",
    },
    "AU": {
        "Australia/Melbourne": "VIC",
        "Australia/Brisbane": "QLD",
        "Australia/Adelaide": "SA",
        "Australia/Perth": "WA",
        "Australia/Hobart": "TAS",
        "Australia/Darwin": "NT",
    },
}
_DEFAULT_TIME_ZONES: Final = {"CA": "America/Toronto", "AU": "Australia/Sydney", "BR": "America/Sao_Paulo"}


@cache
def alpha2(country: str) -> str:
    """The ISO alpha-2 code of a country's name or code, "" where it is not known."""
    return _codes_by_name().get("".join(letter for letter in country.casefold() if letter.isalpha()), "")


def time_zone(company_time_zone: str, country: str, region: str) -> str:
    """The IANA zone a company names itself, else the likeliest one of its place, else UTC."""
    if company_time_zone in available_timezones():
        return company_time_zone
    for zone, regions in _TIME_ZONES_BY_REGION.get(country, {}).items():
        if region.upper() in regions.split():
            return zone
    return _DEFAULT_TIME_ZONES.get(country) or _zones_by_country().get(country, "UTC")


@cache
def _codes_by_name() -> dict[str, str]:
    codes: dict[str, str] = {}
    for name, (_, two, three, *_) in holidays.registry.COUNTRIES.items():
        codes |= dict.fromkeys((name.replace("_", ""), two.casefold(), three.casefold()), two)
    return codes | _COUNTRY_ALIASES


@cache
def _zones_by_country() -> dict[str, str]:
    zones: dict[str, str] = {}
    table = resources.files("tzdata.zoneinfo").joinpath("zone.tab").read_text(encoding="utf-8")
    for line in table.splitlines():
        if not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            zones.setdefault(country, zone)
    return zones
