"""Xero's limits per organisation and per app: fixed windows by the sandbox's clock, concurrent calls, and headers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_EPOCH_SECONDS_OF_DAY = 86_400


@dataclass(slots=True)
class Limits:
    """The current limits; 0 switches one off. Free apps have 1,000 calls a day, paid ones 5,000."""

    minute: int = 60
    day: int = 1_000
    concurrent: int = 5
    app_minute: int = 10_000


@dataclass(slots=True)
class _Window:
    length: timedelta
    offset: timedelta = timedelta()
    number: int = -1
    used: int = 0

    def roll(self, now: datetime) -> None:
        number = int((now.timestamp() + self.offset.total_seconds()) // self.length.total_seconds())
        if number != self.number:
            self.number, self.used = number, 0

    def seconds_left(self, now: datetime) -> int:
        length = self.length.total_seconds()
        return max(1, round(length - (now.timestamp() + self.offset.total_seconds()) % length))


@dataclass(slots=True)
class UsageMeter:
    """An app's usage at one organisation; the windows of each organisation reset at a different time."""

    limits: Limits
    app: _Window
    offset_seconds: int = 0
    running: int = 0
    _minute: _Window = field(init=False)
    _day: _Window = field(init=False)

    def __post_init__(self) -> None:
        self._minute = _Window(_MINUTE, timedelta(seconds=self.offset_seconds % 60))
        self._day = _Window(_DAY, timedelta(seconds=self.offset_seconds % _EPOCH_SECONDS_OF_DAY))

    def count_call(self, now: datetime) -> dict[str, str]:
        """Count a call; return {} or, if a limit is reached, the headers of the rejection."""
        for window in (self._minute, self._day, self.app):
            window.roll(now)
        limits = self.limits
        if limits.concurrent and self.running >= limits.concurrent:
            return {"X-Rate-Limit-Problem": "concurrent", **self.remaining()}
        for name, limit, window in (
            ("day", limits.day, self._day),
            ("minute", limits.minute, self._minute),
            ("appminute", limits.app_minute, self.app),
        ):
            if limit and window.used >= limit:
                wait = {"Retry-After": str(window.seconds_left(now))}
                return {"X-Rate-Limit-Problem": name, **wait, **self.remaining()}
        for window in (self._minute, self._day, self.app):
            window.used += 1
        return {}

    def remaining(self) -> dict[str, str]:
        """Return the headers of every reply."""
        limits = self.limits
        return {
            "X-DayLimit-Remaining": _remaining(limits.day, self._day),
            "X-MinLimit-Remaining": _remaining(limits.minute, self._minute),
            "X-AppMinLimit-Remaining": _remaining(limits.app_minute, self.app),
        }


def _remaining(limit: int, window: _Window) -> str:
    return str(max(0, limit - window.used) if limit else 1_000_000)


def app_window() -> _Window:
    """Return the window that all organisations of an app share."""
    return _Window(_MINUTE)
