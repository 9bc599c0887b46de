"""Interest, exact: day by day over the history of a balance and the table of rates.

A change counts from its date on: what is paid on a day bears no interest for it. A year has 365 days. Amounts are
rounded once, at the end, half up, to the decimals of the currency.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from policies.currencies import round_amount
from policies.decisions import FeeLine
from policies.fee_rules import LateFees
from policies.formatting import format_amount, format_days, format_percent
from policies.receivables import Invoice

DAYS_PER_YEAR = 365


class InterestPeriod(NamedTuple):
    """Days with the same balance at the same annual rate, ``to_on`` not included."""

    from_on: date
    to_on: date
    balance: Decimal
    annual_rate: Decimal

    @property
    def day_count(self) -> int:
        """The number of days."""
        return (self.to_on - self.from_on).days

    @property
    def interest(self) -> Decimal:
        """The interest, not rounded."""
        return self.balance * self.annual_rate * self.day_count / (100 * DAYS_PER_YEAR)


def interest_periods(
    invoice: Invoice, rules: LateFees, late_on: date, from_on: date, to_on: date
) -> Iterator[InterestPeriod]:
    """Split a period wherever the balance or the rate changes; days without a balance are left out.

    ``late_on`` is the first day the invoice is late, for rates that are fixed on that day.
    """
    boundaries = {from_on, to_on}
    boundaries.update(change.on for change in invoice.balance_changes if from_on < change.on < to_on)
    if not rules.rate_fixed_at_start:
        boundaries.update(on for on, _ in rules.rates if from_on < on < to_on)
    for start_on, end_on in pairwise(sorted(boundaries)):
        balance = balance_on(invoice, start_on)
        if balance > 0:
            rate = rules.annual_rate_on(late_on if rules.rate_fixed_at_start else start_on)
            yield InterestPeriod(start_on, end_on, balance, rate)


def balance_on(invoice: Invoice, on: date) -> Decimal:
    """Return the balance at the end of a day: today's balance with every later change reversed."""
    return invoice.due - sum((change.amount for change in invoice.balance_changes if change.on > on), Decimal(0))


def average_balance(invoice: Invoice, from_on: date, to_on: date) -> Decimal:
    """Return the daily average of the balance from a day up to, not including, another."""
    boundaries = {from_on, to_on} | {change.on for change in invoice.balance_changes if from_on < change.on < to_on}
    periods = pairwise(sorted(boundaries))
    balances = [(balance_on(invoice, start_on), (end_on - start_on).days) for start_on, end_on in periods]
    total = sum((balance * days for balance, days in balances if balance > 0), Decimal(0))
    return total / (to_on - from_on).days


def interest_lines(
    invoice: Invoice, rules: LateFees, late_on: date, from_on: date, to_on: date, unpaid_interest: Decimal
) -> tuple[FeeLine, ...]:
    """Calculate the interest of a period line by line; the last line takes the rounding, so that the lines add up."""
    periods = list(interest_periods(invoice, rules, late_on, from_on, to_on))
    if rules.compound and unpaid_interest > 0 and periods:
        periods += [each._replace(balance=unpaid_interest) for each in periods]
    exact = [each.interest for each in periods]
    remaining = round_amount(sum(exact, Decimal(0)), invoice.currency)
    lines: list[FeeLine] = []
    for index, (period, interest) in enumerate(zip(periods, exact, strict=True)):
        amount = remaining if index == len(periods) - 1 else round_amount(interest, invoice.currency)
        remaining -= amount
        balance = format_amount(period.balance, invoice.currency)
        text = f"{balance} for {format_days(period.day_count)} at {format_percent(period.annual_rate)} a year"
        lines.append(FeeLine(text, amount, period.annual_rate))
    return tuple(lines)
