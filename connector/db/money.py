"""Exact conversion between ``Decimal`` amounts and the database's whole ten-thousandths of the currency unit."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from functools import lru_cache
from itertools import repeat

from policies.currencies import plain_amount

_TENTHOUSANDTH = Decimal("0.0001")
_IN_E4 = Decimal(10_000)
_LARGEST_E4 = 2**63 - 1  # what a BIGINT holds
_EXACT = Context(prec=40, traps=[Inexact, InvalidOperation])  # rounding is an error, never a result


class MoneyError(ValueError):
    """An amount that the database cannot hold exactly."""


def to_e4(amount: Decimal) -> int:
    """Convert an amount to whole ten-thousandths. Raises ``MoneyError`` rather than round."""
    try:
        e4 = int(_EXACT.scaleb(_EXACT.quantize(amount, _TENTHOUSANDTH), 4))
    except (DecimalException, ValueError, OverflowError) as error:
        message = f"the amount {amount} cannot be stored exactly: it has more than 4 decimals, or is not a number"
        raise MoneyError(message) from error
    if not -_LARGEST_E4 <= e4 <= _LARGEST_E4:
        message = f"the amount {amount} is too large to store"
        raise MoneyError(message)
    return e4


def to_e4_column(amounts: Sequence[Decimal]) -> list[int]:
    """Convert many amounts as exactly as ``to_e4``, in half the time: a first load has very many."""
    try:
        column = list(map(int, map(_EXACT.to_integral_exact, map(_EXACT.multiply, amounts, repeat(_IN_E4)))))
        fits = not column or -_LARGEST_E4 <= min(column) <= max(column) <= _LARGEST_E4
    except (DecimalException, ValueError, OverflowError):
        fits = False
    return column if fits else [to_e4(amount) for amount in amounts]  # raises for the one that does not fit


@lru_cache(maxsize=65_536)  # amounts recur: a total is often the balance due, too
def from_e4(e4: int) -> Decimal:
    """Convert whole ten-thousandths to an amount with two decimals, or three or four where they matter."""
    decimals = 2 if e4 % 100 == 0 else 3 if e4 % 10 == 0 else 4
    return _EXACT.scaleb(Decimal(e4 // 10 ** (4 - decimals)), -decimals)


def format_e4(e4: int, currency: str) -> str:
    """Format an amount for programs: with the decimals of its currency (JPY 0, KWD 3), or more where it needs them."""
    return plain_amount(from_e4(e4), currency)
