"""Business days, time zones, and when an email can be sent."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from policies.formatting import format_date
from policies.sections import SendWindow

_SEARCH_DAYS = 60
_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Calendar(Protocol):
    """Public holidays by country and region."""

    def holiday_name(self, place: str, on: date, *, any_region: bool = False) -> str:
        """Return the public holiday on a day in a country or a region of it (``AU-VIC``); "" if none is known.

        With ``any_region``, a country has the holidays of all its regions.
        """
        ...


class SendSlot(NamedTuple):
    """When an email can be sent: now (``at`` is ``None``) or from an instant on, and why it has to wait.

    ``cause`` is the reason without the time: ``3 Dec 2026 is a Sunday``.
    """

    at: datetime | None
    reason: str
    cause: str = ""


@lru_cache(maxsize=1024)
def find_time_zone(*names: str) -> ZoneInfo:
    """Return the first of these time zones that exists, else UTC."""
    for name in names:
        if name:
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                continue  # not an IANA name: a ledger may have any text there
    return ZoneInfo("UTC")


def closed_reason(on: date, place: str, window: SendWindow, calendar: Calendar) -> str:
    """Return why no email is sent on a day; "" if it is a business day."""
    if on.weekday() not in window.weekdays:
        return f"{format_date(on)} is a {_DAY_NAMES[on.weekday()]}"
    if window.closing_days and not window.closing_days.isdisjoint({f"{on:%m-%d}", on.isoformat()}):
        return f"the company is closed on {format_date(on)}"
    name = calendar.holiday_name(place, on)
    return f"{format_date(on)} is {name}" if name else ""


def find_send_slot(now: datetime, time_zone: ZoneInfo, place: str, window: SendWindow, calendar: Calendar) -> SendSlot:
    """Return the next instant inside the send window in a time zone."""
    local = now.astimezone(time_zone)
    reason = closed_reason(local.date(), place, window, calendar)
    if not reason:
        if window.opens <= local.time() < window.closes:
            return SendSlot(None, "")
        reason = f"emails are sent from {window.opens:%H:%M} to {window.closes:%H:%M}"
    first = 0 if local.time() < window.opens else 1
    days = (local.date() + timedelta(days=ahead) for ahead in range(first, _SEARCH_DAYS))
    on = next((day for day in days if not closed_reason(day, place, window, calendar)), None)
    if on is None:
        at = datetime.combine(local.date() + timedelta(days=_SEARCH_DAYS), window.opens, time_zone)
        return SendSlot(at.astimezone(UTC), f"there is no business day in {_SEARCH_DAYS} days: {reason}", reason)
    at = datetime.combine(on, window.opens, time_zone)
    when = f"{format_date(on)} at {window.opens:%H:%M} ({time_zone.key})"
    return SendSlot(at.astimezone(UTC), f"it will be sent on {when}, because {reason}", reason)


def next_window_change(now: datetime, time_zone: ZoneInfo, window: SendWindow) -> datetime:
    """Return when a day begins next in a time zone, or its send window opens or closes."""
    on = now.astimezone(time_zone).date()
    times = (time.min, window.opens, window.closes)
    changes = (
        datetime.combine(day, at, time_zone).astimezone(UTC) for day in (on, on + timedelta(days=1)) for at in times
    )
    return min(change for change in changes if change > now)


def add_business_days(on: date, count: int, place: str, window: SendWindow, calendar: Calendar) -> date:
    """Return the date ``count`` business days later; 0 gives the day itself or the next business day."""
    if count == 0:
        on -= timedelta(days=1)
        count = 1
    for _ in range(count):
        on += timedelta(days=1)
        for _ in range(_SEARCH_DAYS):
            if not closed_reason(on, place, window, calendar):
                break
            on += timedelta(days=1)
    return on
