"""Currencies and how many decimals their amounts have: the one table of ISO 4217 minor units."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Final

# ISO 4217 list one; every currency that is not named here has two decimals.
_MINOR_UNITS: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"), 0),
    **dict.fromkeys(("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def minor_units(currency: str) -> int:
    """Return how many decimals an amount in this currency has: JPY 0, EUR 2, KWD 3."""
    return _MINOR_UNITS.get(currency, 2)


def smallest_unit(currency: str) -> Decimal:
    """Return the smallest amount there is in this currency: 1 for JPY, 0.01 for EUR."""
    return Decimal(1).scaleb(-minor_units(currency))


def round_amount(amount: Decimal, currency: str) -> Decimal:
    """Round to the decimals of the currency, half up."""
    return amount.quantize(smallest_unit(currency), ROUND_HALF_UP)


def plain_amount(amount: Decimal, currency: str) -> str:
    """Format an amount for programs: ``1234.50``, with the decimals of its currency and never fewer than it needs."""
    exponent = amount.normalize().as_tuple().exponent
    needed = -exponent if isinstance(exponent, int) else 0
    return f"{amount:.{max(minor_units(currency), needed)}f}"


def split_evenly(amount: Decimal, count: int, currency: str) -> list[Decimal]:
    """Split an amount into parts that add up to it and differ by one smallest unit at most, the larger ones first.

    >>> split_evenly(Decimal(1000), 3, "JPY")
    [Decimal('334'), Decimal('333'), Decimal('333')]
    """
    unit = smallest_unit(currency)
    part = (amount / count).quantize(unit, ROUND_DOWN)
    rest = amount - part * count
    larger = int(rest / unit)
    parts = [part + unit] * larger + [part] * (count - larger)
    parts[0] += rest - larger * unit  # a fraction of the smallest unit, which a ledger should never hold
    return parts


def split_in_proportion(amount: Decimal, weights: Sequence[Decimal], currency: str) -> list[Decimal]:
    """Split an amount into parts in proportion to the weights, that add up to it; the last part takes the rounding.

    >>> split_in_proportion(Decimal("4.00"), [Decimal(10), Decimal(20)], "GBP")
    [Decimal('1.33'), Decimal('2.67')]
    """
    unit, total = smallest_unit(currency), sum(weights, Decimal(0))
    parts = [(amount * weight / total).quantize(unit, ROUND_DOWN) if total else Decimal(0) for weight in weights[:-1]]
    return [*parts, amount - sum(parts, Decimal(0))] if weights else []
