"""Country codes, time zones, languages and public holidays, all from installed data."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo


@lru_cache(maxsize=4096)
def country_code(country: str) -> str:
    """Return the ISO 3166 alpha-2 code of a country given by name or by a code of two or three letters, else ""."""
    name = _normalise(country)
    return _countries().get(name, "") if name else ""


@lru_cache(maxsize=4096)
def time_zone(country: str, region: str, company_country: str = "", company_zone: str = "") -> str:
    """Return the IANA time zone of a state or province, else the company's zone if it is in the same country.

    Otherwise the zone in which most people of the country live; "" where nothing is known.
    """
    code = country_code(country)
    key = re.sub(r"[^a-z0-9]+", "_", _normalise(region)).strip("_")
    own_zone = company_zone if code and code == company_country else ""
    return _regions().get((code, key)) or own_zone or _main_zones().get(code, "")


def language_in(country: str) -> str:
    """Return the language nearly everyone in a country reads, by its code; "" where there are several."""
    return str(_load_regions_file()["languages"].get(country, ""))


def today_in(zone: str, now: datetime) -> date:
    """Return the date in a time zone."""
    return now.astimezone(ZoneInfo(zone)).date()


def is_reached(on: date | None, zone: str, now: datetime) -> bool:
    """Return whether a date has been reached in a time zone; False for no date."""
    return on is not None and on <= today_in(zone, now)


class HolidayCalendar:
    """Public holidays of a whole country, by the ``holidays`` package: the ``Calendar`` that policies ask."""

    def holiday_name(self, country: str, on: date) -> str:
        """Return the name of the public holiday, or "" on other days and in unknown countries."""
        return _holidays(country_code(country) or country, on.year).get(on, "")


@lru_cache(maxsize=512)
def _holidays(code: str, year: int) -> Mapping[date, str]:
    from holidays import country_holidays  # noqa: PLC0415  # takes half a second, and only decisions need it

    try:
        found = country_holidays(code, years=year, language="en_US")
    except NotImplementedError:  # a country the package does not know
        return {}
    return dict(found.items())


@lru_cache(maxsize=1)
def _load_regions_file() -> dict[str, dict[str, Any]]:
    return tomllib.loads(resources.files("connector").joinpath("regions.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _regions() -> dict[tuple[str, str], str]:
    return {
        (code, region): zone
        for code, zones in _load_regions_file().items()
        if code.isupper()
        for zone, regions in zones.items()
        for region in regions.split()
    }


@lru_cache(maxsize=1)
def _main_zones() -> dict[str, str]:
    zones: dict[str, str] = {}
    for line in _tzdata("zone.tab"):
        code, _coordinates, zone, *_comment = line.split("\t")
        zones.setdefault(code, zone)
    return zones | _load_regions_file()["main"]


@lru_cache(maxsize=1)
def _countries() -> dict[str, str]:
    from holidays.registry import COUNTRIES  # noqa: PLC0415

    names = dict(line.split("\t")[:2][::-1] for line in _tzdata("iso3166.tab"))
    known = {_normalise(name): code for name, code in names.items()}
    known |= {_normalise(code): code for code in names.values()}
    for name, (_class, alpha_2, alpha_3, *_more) in COUNTRIES.items():
        known |= {alpha_3.lower(): alpha_2}
        known.setdefault(name.replace("_", " "), alpha_2)
    return known | _load_regions_file()["names"]


def _tzdata(name: str) -> list[str]:
    text = resources.files("tzdata").joinpath("zoneinfo").joinpath(name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _normalise(text: str) -> str:
    """Fold case, accents and spaces, and drop what is in brackets: "Österreich " becomes "osterreich"."""
    plain = unicodedata.normalize("NFKD", re.sub(r" \(.*\)", "", text).replace("’", "'"))
    return " ".join("".join(letter for letter in plain if not unicodedata.combining(letter)).casefold().split())
