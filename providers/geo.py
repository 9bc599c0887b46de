"""Countries and time zones: ISO codes for countries as people write them, and IANA zones of places.

All data is installed: the tz database, the ``holidays`` package and ``regions.toml``. Nothing is guessed.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import lru_cache
from importlib import resources
from typing import Any

from providers.import_lock import IMPORT_LOCK


@lru_cache(maxsize=4096)
def country_code(country: str) -> str:
    """Return the ISO 3166 alpha-2 code of a country given by code (two or three letters) or name, "" if unknown."""
    name = _normalise(country)
    return _codes_by_name().get(name, "") if name else ""


@lru_cache(maxsize=4096)
def time_zone(country: str, region: str, company_country: str = "", company_zone: str = "") -> str:
    """Return the IANA time zone of a customer's place, "" if unknown.

    It is that of the state or province; else the company's own if both are in the same country; else the zone in which
    most of the country's people live.
    """
    code = country_code(country)
    key = _as_key(region)
    company_zone = company_zone if code and code == company_country else ""
    return _zones_by_region().get((code, key)) or company_zone or _main_zones().get(code, "")


@lru_cache(maxsize=4096)
def holiday_region(country: str, region: str) -> str:
    """Return the region whose public holidays count: ``AU-VIC``, or the country's code where the region is unknown."""
    with IMPORT_LOCK:
        from holidays.utils import country_holidays  # noqa: PLC0415 - it takes a while, and few processes decide anything

    code = country_code(country)
    if not code or not region:
        return code
    try:
        known = country_holidays(code)
    except NotImplementedError:  # a country the package does not know
        return code
    by_name = dict(_other_region_names(code))
    by_name |= {_as_key(name): short for name, short in known.subdivisions_aliases.items()}
    by_name |= {_as_key(each): each for each in known.subdivisions}
    found = by_name.get(_as_key(region)) or by_name.get(_as_key(region).removeprefix(f"{code.lower()}_"), "")
    return f"{code}-{found}" if found else code


@lru_cache(maxsize=64)
def _other_region_names(code: str) -> dict[str, str]:
    regions = _load_regions()["holiday_regions"].get(code, {})
    return {name: region for region, names in regions.items() for name in names.split()}


def language_in(country: str) -> str:
    """Return the language that nearly everybody in a country (by code) reads, "" where there are several."""
    return str(_load_regions()["languages"].get(country, ""))


@lru_cache(maxsize=1)
def _load_regions() -> dict[str, dict[str, Any]]:
    return tomllib.loads(resources.files("providers").joinpath("regions.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _zones_by_region() -> dict[tuple[str, str], str]:
    return {
        (code, region): zone
        for code, zones in _load_regions().items()
        if code.isupper()
        for zone, regions in zones.items()
        for region in regions.split()
    }


@lru_cache(maxsize=1)
def _main_zones() -> dict[str, str]:
    zones: dict[str, str] = {}
    for line in _tzdata_lines("zone.tab"):
        code, _coordinates, zone, *_comment = line.split("\t")
        zones.setdefault(code, zone)
    return zones | _load_regions()["main"]


@lru_cache(maxsize=1)
def _codes_by_name() -> dict[str, str]:
    with IMPORT_LOCK:
        from holidays.registry import COUNTRIES  # noqa: PLC0415 - most runs know all their countries already

    codes = dict(line.split("\t")[:2] for line in _tzdata_lines("iso3166.tab"))
    by_name = {_normalise(name): code for code, name in codes.items()}
    by_name |= {code.lower(): code for code in codes}
    for name, (_class, alpha_2, alpha_3, *_more) in COUNTRIES.items():
        by_name[alpha_3.lower()] = alpha_2
        by_name.setdefault(name.replace("_", " "), alpha_2)
    return by_name | _load_regions()["names"]


def _tzdata_lines(name: str) -> list[str]:
    text = resources.files("tzdata").joinpath("zoneinfo").joinpath(name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _normalise(text: str) -> str:
    """Fold case, accents, spaces and what is in brackets: "Österreich " and "osterreich" are the same country."""
    plain = unicodedata.normalize("NFKD", re.sub(r" \(.*\)", "", text).replace("’", "'"))
    return " ".join("".join(letter for letter in plain if not unicodedata.combining(letter)).casefold().split())


def _as_key(region: str) -> str:
    """Return a region as ``regions.toml`` names it: "A Coruña" is ``a_coruna``."""
    return re.sub(r"[^a-z0-9]+", "_", _normalise(region)).strip("_")


def currency_of(country: str) -> str:
    """Return the currency of a country (ISO 3166), "" where it has none, or more than one."""
    with IMPORT_LOCK:
        from babel.numbers import get_territory_currencies  # noqa: PLC0415 - only a new company needs it

    currencies = get_territory_currencies(country) if country else []
    return currencies[0] if len(currencies) == 1 else ""
