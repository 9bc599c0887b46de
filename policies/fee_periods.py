"""The periods that late fees are charged for. They depend on dates alone, never on when somebody looks."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from policies.fee_rules import MONTHLY_KINDS, LateFees
from policies.receivables import Invoice
from policies.schedule import starts_on

ONCE = "once"


class FeePeriod(NamedTuple):
    """The period of one fee: the whole delay (``once``), or one full month of it, ``to_on`` not included."""

    key: str
    from_on: date
    to_on: date


def list_periods(rules: LateFees, invoice: Invoice, today: date) -> Sequence[FeePeriod]:
    """Return the periods that have ended by today, oldest first: each month without a fee is caught up on."""
    start_on = starts_on(invoice)
    if rules.kind not in MONTHLY_KINDS:
        return (FeePeriod(ONCE, start_on, today),)
    return _list_months(start_on, full_months(start_on, today))


@lru_cache(maxsize=1000)  # each invoice's are asked for again for each of its fees
def _list_months(start_on: date, count: int) -> Sequence[FeePeriod]:
    ends = [add_months(start_on, months) for months in range(count + 1)]
    return tuple(FeePeriod(f"{from_on:%Y-%m}", from_on, to_on) for from_on, to_on in pairwise(ends))


def find_period(key: str, rules: LateFees, invoice: Invoice, on: date) -> FeePeriod | None:
    """Return the period of a fee charged on a day; without a key, the last one that had ended by then."""
    periods = list_periods(rules, invoice, on)
    if key:
        return next((period for period in periods if period.key == key), None)
    return periods[-1] if periods else None


def full_months(start_on: date, on: date) -> int:
    """Return how many whole months have passed; what starts on the 31st ends on the last day of a shorter month."""
    months = (on.year - start_on.year) * 12 + on.month - start_on.month
    return months - (add_months(start_on, months) > on)


def last_invoice_date(today: date, day_of_month: int) -> date:
    """Return the last date, up to today, on which the fees of a month became one invoice."""
    this_month = today.replace(day=day_of_month)
    return this_month if this_month <= today else add_months(this_month, -1)


def add_months(on: date, months: int) -> date:
    """Return the date whole months later; the 31st becomes the last day of a shorter month."""
    year, month = divmod(on.year * 12 + on.month - 1 + months, 12)
    return date(year, month + 1, min(on.day, monthrange(year, month + 1)[1]))
