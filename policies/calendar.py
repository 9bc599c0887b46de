"""Days and hours: whose day it is, which days are business days, and when a mail may leave."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from policies.parts import Window
from policies.wording import day

_LOOK_AHEAD_DAYS = 60
_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Calendar(Protocol):
    """Knows public holidays: data that is passed in."""

    def holiday(self, country: str, on: date) -> str:
        """Name the public holiday of a country on a day; "" where there is none or the country is unknown."""
        ...


class NoHolidays:
    """A calendar without public holidays."""

    def holiday(self, country: str, on: date) -> str:
        """Know of none."""
        return ""


class Opening(NamedTuple):
    """When a mail may leave: now (``at`` is ``None``) or from an instant on, and why it has to wait."""

    at: datetime | None
    why: str


@lru_cache(maxsize=1024)
def zone(*names: str) -> ZoneInfo:
    """Give the first time zone of these names that there is, else UTC."""
    for name in names:
        if name:
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                continue  # a name the ledger made up: the next one serves
    return ZoneInfo("UTC")


def closed_why(on: date, country: str, window: Window, calendar: Calendar) -> str:
    """Tell why nothing may leave on a day; "" where it may."""
    if on.weekday() not in window.weekdays:
        return f"{day(on)} is a {_DAY_NAMES[on.weekday()]}"
    name = calendar.holiday(country, on)
    return f"{day(on)} is {name}" if name else ""


def opening(now: datetime, there: ZoneInfo, country: str, window: Window, calendar: Calendar) -> Opening:
    """Find the next instant inside the window of a place."""
    local = now.astimezone(there)
    why = closed_why(local.date(), country, window, calendar)
    if not why:
        if window.opens <= local.time() < window.closes:
            return Opening(None, "")
        why = f"mails leave from {window.opens:%H:%M} to {window.closes:%H:%M} there"
    first = 0 if local.time() < window.opens else 1
    for ahead in range(first, _LOOK_AHEAD_DAYS):
        on = local.date() + timedelta(days=ahead)
        if not closed_why(on, country, window, calendar):
            at = datetime.combine(on, window.opens, there).astimezone(UTC)
            return Opening(at, f"it leaves on {day(on)} at {window.opens:%H:%M} ({there.key}): {why}")
    at = datetime.combine(local.date() + timedelta(days=_LOOK_AHEAD_DAYS), window.opens, there).astimezone(UTC)
    return Opening(at, f"no business day in {_LOOK_AHEAD_DAYS} days: {why}")


def business_days_after(on: date, count: int, country: str, window: Window, calendar: Calendar) -> date:
    """Go ``count`` business days on from a day; 0 gives the day itself or the next business day."""
    if count == 0:
        on -= timedelta(days=1)
        count = 1
    for _ in range(count):
        on += timedelta(days=1)
        for _ in range(_LOOK_AHEAD_DAYS):
            if not closed_why(on, country, window, calendar):
                break
            on += timedelta(days=1)
    return on
