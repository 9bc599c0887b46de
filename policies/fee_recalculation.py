"""Calculates a late fee again, with the rates of its day, on the balance as it is known now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from policies.currencies import round_amount
from policies.fee_basis import FeeBasis
from policies.formatting import format_amount, format_date
from policies.interest import DAYS_PER_YEAR, average_balance, balance_on
from policies.receivables import Invoice, PastAction


class Recalculation(NamedTuple):
    """What a late fee comes to now; ``balance`` says on which balance, as part of a sentence."""

    amount: Decimal
    balance: str


def recalculate(invoice: Invoice, charge: PastAction) -> Recalculation | None:
    """Return what a fee comes to on the balance as known now; None where it is not known how it was calculated."""
    basis = charge.fee_basis
    if basis is None:
        return None
    if basis.from_on is None or basis.to_on is None:
        on = charge.on - timedelta(days=1)  # what was paid on the day of the fee came too late for it
        bearing = max(balance_on(invoice, on), Decimal(0))
        text = f"{format_amount(bearing, invoice.currency)} on {format_date(on)}"
        own = _of_one_day(basis, bearing)
    else:
        bearing = average_balance(invoice, basis.from_on, basis.to_on)
        days = f"{format_date(basis.from_on)} to {format_date(basis.to_on)}"
        average = format_amount(round_amount(bearing, invoice.currency), invoice.currency)
        text = f"{average} on average from {days}"
        own = _of_days(invoice, basis, basis.from_on, basis.to_on) if bearing > 0 else Decimal(0)
    return Recalculation(_within_limits(basis, round_amount(own, invoice.currency)), text)


def _of_one_day(basis: FeeBasis, balance: Decimal) -> Decimal:
    if basis.flat is None:
        return balance * basis.rates[0][1] / 100
    return basis.flat if balance > 0 and balance >= basis.least_balance else Decimal(0)


def _of_days(invoice: Invoice, basis: FeeBasis, from_on: date, to_on: date) -> Decimal:
    if not basis.is_annual:
        return (average_balance(invoice, from_on, to_on) + basis.unpaid) * basis.rates[0][1] / 100
    return sum(_interest(invoice, basis, from_on, to_on), Decimal(0))


def _interest(invoice: Invoice, basis: FeeBasis, from_on: date, to_on: date) -> Iterator[Decimal]:
    """Yield the interest of the days with the same balance and rate, not rounded; none without a balance."""
    dates = [change.on for change in invoice.balance_changes] + [on for on, _rate in basis.rates]
    boundaries = {from_on, to_on, *(on for on in dates if from_on < on < to_on)}
    for start_on, end_on in pairwise(sorted(boundaries)):
        balance = balance_on(invoice, start_on)
        if balance > 0:
            rate = [rate for on, rate in basis.rates if on <= start_on][-1]
            yield (balance + basis.unpaid) * rate * (end_on - start_on).days / (100 * DAYS_PER_YEAR)


def _within_limits(basis: FeeBasis, own: Decimal) -> Decimal:
    if own <= 0:
        return Decimal(0)
    amount = own + basis.compensation
    if basis.limit is not None:
        amount = min(amount, basis.limit)
    return amount if amount >= basis.minimum else Decimal(0)
