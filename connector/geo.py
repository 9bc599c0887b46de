"""What depends on a place: its public holidays, and which day it is there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
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
# Where ``holidays`` 0.109 is wrong or came too early: a day off with its name, a working day with "". Spain's regions
# set each year by decree in the year before (Madrid 82/2026, Galicia 68/2026, Navarre 232/2026, Basque Country 90/2026,
# Canary Islands 115/2026, Valencia 42/2026, Extremadura 119/2026). Read in November 2026, each in two sources or more.
_CORRECTIONS: Mapping[str, Mapping[date, str]] = {
    "ES-CN": {date(2027, 5, 31): ""},
    "ES-EX": {date(2027, 10, 11): "Assumption Day (observed)"},
    "ES-GA": {date(2027, 3, 19): "Saint Joseph's Day"},
    "ES-MD": {date(2027, 5, 3): "", date(2027, 8, 16): "Assumption Day (observed)"},
    "ES-NC": {date(2027, 3, 19): "Saint Joseph's Day"},
    "ES-PV": {date(2027, 3, 19): "", date(2027, 10, 7): "Anniversary of the first Basque Government"},
    "ES-VC": {date(2027, 6, 24): ""},
    "SG": {date(2028, 10, 17): "Diwali (estimated)", date(2028, 11, 15): ""},  # a month late in the package
}


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

    found = dict(country_holidays(code, subdiv=region, years=year, language="en_US").items())
    if code == "CA":
        found |= _canada_day_observed(year)
    place = f"{code}-{region}" if region else code
    return found | {on: name for on, name in _CORRECTIONS.get(place, {}).items() if on.year == year}


def _canada_day_observed(year: int) -> dict[date, str]:
    """Return the Monday that takes the place of a Canada Day at a weekend.

    After a Sunday it is the holiday by the Holidays Act, and the package lacks it for Ontario and five more; after a
    Saturday it is the custom, as for New Year's Day.
    """
    on = date(year, 7, 1)
    return {on + timedelta(days=8 - on.isoweekday()): "Canada Day (observed)"} if on.isoweekday() > 5 else {}
