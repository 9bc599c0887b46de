"""What depends on a place: its public holidays, and which day it is there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from providers.geo import country_code


def today_in(zone: str, now: datetime) -> date:
    """Return the date in a time zone."""
    return now.astimezone(ZoneInfo(zone)).date()


def is_reached(on: date | None, zone: str, now: datetime) -> bool:
    """Return whether a date has come in a time zone; no date never comes."""
    return on is not None and on <= today_in(zone, now)


class HolidayCalendar:
    """The nationwide public holidays, from the ``holidays`` package: what ``policies.calendar`` asks for."""

    def holiday_name(self, country: str, on: date) -> str:
        """Return the name of the public holiday, "" on an ordinary day and for an unknown country."""
        return _holidays(country_code(country) or country, on.year).get(on, "")


@lru_cache(maxsize=512)
def _holidays(code: str, year: int) -> Mapping[date, str]:
    from holidays import country_holidays  # noqa: PLC0415 - half a second that only decisions need

    try:
        found = country_holidays(code, years=year, language="en_US")
    except NotImplementedError:  # a country the package does not know
        return {}
    return dict(found.items())
