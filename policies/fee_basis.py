"""What a late fee was calculated from: enough to calculate it again when a payment is entered late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class FeeBasis:
    """The figures of the day a late fee was calculated, whatever the policy says later.

    ``rates`` are percentages of the balance by the first day they apply, those of a year where ``is_annual``. A fee
    without ``from_on`` was calculated on the balance of one day, that of the fee; a ``flat`` one needed at least
    ``least_balance`` for its annual rate. ``unpaid`` is earlier interest that bore interest as well, ``compensation``
    the fixed sum that the fee includes. It was at least ``minimum`` and at most ``limit``.
    """

    rates: tuple[tuple[date, Decimal], ...] = ()
    is_annual: bool = False
    from_on: date | None = None
    to_on: date | None = None
    flat: Decimal | None = None
    least_balance: Decimal = Decimal(0)
    unpaid: Decimal = Decimal(0)
    compensation: Decimal = Decimal(0)
    minimum: Decimal = Decimal(0)
    limit: Decimal | None = None
