"""Days and hours: whose day it is, which days are business days, and when a mail may leave."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from policies.formatting import format_date
from policies.sections import SendWindow

_SEARCH_DAYS = 60
_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Calendar(Protocol):
    """Knows public holidays: data that is passed in."""

    def holiday_name(self, country: str, on: date) -> str:
        """Name the public holiday of a country on a day; "" where there is none or the country is unknown."""
        ...


class NoHolidays:
    """A calendar without public holidays."""

    def holiday_name(self, country: str, on: date) -> str:
        """Know of none."""
        return ""


class SendSlot(NamedTuple):
    """When a mail may leave: now (``at`` is ``None``) or from an instant on, and why it has to wait."""

    at: datetime | None
    reason: str


@lru_cache(maxsize=1024)
def find_time_zone(*names: str) -> ZoneInfo:
    """Give the first time zone of these names that there is, else UTC."""
    for name in names:
        if name:
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                continue  # a name the ledger made up: the next one serves
    return ZoneInfo("UTC")


def closed_reason(on: date, country: str, window: SendWindow, calendar: Calendar) -> str:
    """Tell why nothing may leave on a day; "" where it may."""
    if on.weekday() not in window.weekdays:
        return f"{format_date(on)} is a {_DAY_NAMES[on.weekday()]}"
    name = calendar.holiday_name(country, on)
    return f"{format_date(on)} is {name}" if name else ""


def find_send_slot(
    now: datetime, time_zone: ZoneInfo, country: str, window: SendWindow, calendar: Calendar
) -> SendSlot:
    """Find the next instant inside the window of a place."""
    local = now.astimezone(time_zone)
    reason = closed_reason(local.date(), country, window, calendar)
    if not reason:
        if window.opens <= local.time() < window.closes:
            return SendSlot(None, "")
        reason = f"mails leave from {window.opens:%H:%M} to {window.closes:%H:%M} there"
    first = 0 if local.time() < window.opens else 1
    for ahead in range(first, _SEARCH_DAYS):
        on = local.date() + timedelta(days=ahead)
        if not closed_reason(on, country, window, calendar):
            at = datetime.combine(on, window.opens, time_zone).astimezone(UTC)
            return SendSlot(at, f"it leaves on {format_date(on)} at {window.opens:%H:%M} ({time_zone.key}): {reason}")
    at = datetime.combine(local.date() + timedelta(days=_SEARCH_DAYS), window.opens, time_zone).astimezone(UTC)
    return SendSlot(at, f"no business day in {_SEARCH_DAYS} days: {reason}")


def add_business_days(on: date, count: int, country: str, window: SendWindow, calendar: Calendar) -> date:
    """Go ``count`` business days on from a day; 0 gives the day itself or the next business day."""
    if count == 0:
        on -= timedelta(days=1)
        count = 1
    for _ in range(count):
        on += timedelta(days=1)
        for _ in range(_SEARCH_DAYS):
            if not closed_reason(on, country, window, calendar):
                break
            on += timedelta(days=1)
    return on
