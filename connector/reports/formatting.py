"""How figures are said in a report's sentences and plots: short, with their unit."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

_THOUSAND, _MILLION = 10_000, 1_000_000


def format_short(amount: Decimal | float) -> str:
    """Say a sum in a few signs: 1,234 or 12.3k or 1.23M."""
    value = float(amount)
    if abs(value) >= _MILLION:
        return f"{value / _MILLION:,.2f}M"
    if abs(value) >= _THOUSAND:
        return f"{value / 1000:,.1f}k"
    return f"{value:,.0f}"


def join_parts(parts: Iterable[str]) -> str:
    """Put parts into one sentence."""
    return "; ".join(parts) + "."


def percentage(part: float, whole: float) -> float | None:
    """Give a part of a whole in percent, None where there is no whole."""
    return round(100 * part / whole, 1) if whole else None
