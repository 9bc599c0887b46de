"""Short figures for the titles, labels and alternative texts of charts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from policies.formatting import format_date

_THOUSAND, _MILLION = 10_000, 1_000_000


def format_short(amount: Decimal | float) -> str:
    """Format an amount in a few characters: 1,234 or 12.3k or 1.23M."""
    value = float(amount)
    if abs(value) >= _MILLION:
        return f"{value / _MILLION:,.2f}M"
    if abs(value) >= _THOUSAND:
        return f"{value / 1000:,.1f}k"
    return f"{value:,.0f}"


def short_date(on: date) -> str:
    """Return a date without its year, for the axis of a chart: ``3 Dec``."""
    return format_date(on).rpartition(" ")[0]


def join_parts(parts: Iterable[str]) -> str:
    """Join parts into one sentence."""
    return "; ".join(parts) + "."


def percentage(part: float, whole: float) -> float | None:
    """Return a part of a whole in percent; None if the whole is 0."""
    return round(100 * part / whole, 1) if whole else None
