"""Money between Python and the database: ``Decimal`` here, whole ten-thousandths of the unit there, exactly."""

from __future__ import annotations

from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation

_TENTHOUSANDTH = Decimal("0.0001")
_LARGEST_E4 = 2**63 - 1  # what a BIGINT holds
_EXACT = Context(prec=40, traps=[Inexact, InvalidOperation])  # rounding is an error, never a result


class MoneyError(ValueError):
    """An amount that the database could not hold exactly."""


def to_e4(amount: Decimal) -> int:
    """Turn an amount into whole ten-thousandths, or refuse it: never round."""
    try:
        e4 = int(_EXACT.scaleb(_EXACT.quantize(amount, _TENTHOUSANDTH), 4))
    except (DecimalException, ValueError, OverflowError) as error:
        message = f"the amount {amount} cannot be kept exactly: more than 4 decimals, or not a number"
        raise MoneyError(message) from error
    if not -_LARGEST_E4 <= e4 <= _LARGEST_E4:
        message = f"the amount {amount} is too large to keep"
        raise MoneyError(message)
    return e4


def from_e4(e4: int) -> Decimal:
    """Turn whole ten-thousandths back into an amount with two decimals, or three or four where they matter."""
    decimals = 2 if e4 % 100 == 0 else 3 if e4 % 10 == 0 else 4
    return _EXACT.scaleb(Decimal(e4 // 10 ** (4 - decimals)), -decimals)
