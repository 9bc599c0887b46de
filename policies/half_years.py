"""Half-years: statutory rates are set for January to June and for July to December."""

from __future__ import annotations

from datetime import date, timedelta

_JULY = 7


def half_year_start(on: date) -> date:
    """Return the first day of the half-year a day is in."""
    return date(on.year, _JULY if on.month >= _JULY else 1, 1)


def next_half_year(on: date) -> date:
    """Return the first day of the half-year after the one a day is in."""
    return date(on.year + 1, 1, 1) if on.month >= _JULY else date(on.year, _JULY, 1)


def half_year_end(on: date) -> date:
    """Return the last day of the half-year a day is in."""
    return next_half_year(on) - timedelta(days=1)
