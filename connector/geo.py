"""What depends on a place: its public holidays, and which day it is there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from providers.geo import country_code
from providers.import_lock import IMPORT_LOCK

# Where a customer's region is unknown: the region in which most of the country's people live, as the package names it.
_MOST_POPULOUS = {
    "AU": "NSW", "BR": "SP", "CA": "ON", "CH": "ZH", "DE": "NW", "ES": "MD", "GB": "ENG", "IN": "UP",
    "IT": "MI", "NZ": "AUK",
}  # fmt: skip
# … and where nearly everybody lives in it: a holiday of Scotland alone is none of an unknown British customer.
_NEARLY_ONE = frozenset({"GB"})


def today_in(zone: str, now: datetime) -> date:
    """Return the date in a time zone."""
    return now.astimezone(ZoneInfo(zone)).date()


def is_reached(on: date | None, zone: str, now: datetime) -> bool:
    """Return whether a date has come in a time zone; no date never comes."""
    return on is not None and on <= today_in(zone, now)


class HolidayCalendar:
    """Public holidays by region, from the ``holidays`` package: what ``policies.calendar`` asks for."""

    def holiday_name(self, place: str, on: date, *, any_region: bool = False) -> str:
        """Return the name of the public holiday, "" on an ordinary day and in an unknown country.

        ``place`` is a country or a region of it (``AU-VIC``). Without a region the most populous one counts, because
        national lists lack days that nearly everybody has off, like Easter Monday in England; with ``any_region``
        every one of them, except in a country nearly all of which is one region.
        """
        country, _, region = place.partition("-")
        code = country_code(country) or country
        name = _holidays(code, region, on.year).get(on, "")
        if name or region or not any_region or code in _NEARLY_ONE:
            return name
        return _regional_holidays(code, on.year).get(on, "")


@lru_cache(maxsize=512)
def _holidays(code: str, region: str, year: int) -> Mapping[date, str]:
    regions = _list_regions(code)
    if regions is None:
        return {}
    region = region or _MOST_POPULOUS.get(code, "")
    if region in regions or not regions:
        return _load_holidays(code, region or None, year)
    # A national list may lack a day that every region lists on its own.
    lists = [_load_holidays(code, each, year) for each in regions]
    every = {on: name for on, name in lists[0].items() if all(on in each for each in lists)}
    return _load_holidays(code, None, year) | every


@lru_cache(maxsize=512)
def _regional_holidays(code: str, year: int) -> Mapping[date, str]:
    """Return the holidays of all regions of a country together."""
    found: dict[date, str] = {}
    for region in _list_regions(code) or ():
        found |= _load_holidays(code, region, year)
    return found


def _list_regions(code: str) -> tuple[str, ...] | None:
    """List the regions of a country, as the package names them; ``None`` for a country it does not know."""
    with IMPORT_LOCK:
        from holidays import country_holidays  # noqa: PLC0415 - half a second that only decisions need

    try:
        return tuple(country_holidays(code).subdivisions)
    except NotImplementedError:
        return None


def _load_holidays(code: str, region: str | None, year: int) -> dict[date, str]:
    with IMPORT_LOCK:
        from holidays import country_holidays  # noqa: PLC0415 - as above

    return dict(country_holidays(code, subdiv=region, years=year, language="en_US").items())
