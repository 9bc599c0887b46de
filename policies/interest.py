"""Interest, exact: day by day over the history of a balance and the table of rates.

A change counts from its day on: what is paid on a day is not owed on it any more. A year has 365 days. Sums are rounded
once, at the end, half up, to the decimals of the currency.
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
    """Days on which the same sum was owed at the same yearly rate."""

    from_on: date
    to_on: date
    balance: Decimal
    annual_rate: Decimal

    @property
    def day_count(self) -> int:
        """Count the days."""
        return (self.to_on - self.from_on).days

    @property
    def interest(self) -> Decimal:
        """Give the interest, unrounded."""
        return self.balance * self.annual_rate * self.day_count / (100 * DAYS_PER_YEAR)


def interest_periods(
    invoice: Invoice, rules: LateFees, late_on: date, from_on: date, to_on: date
) -> Iterator[InterestPeriod]:
    """Cut a period wherever the balance or the rate changes; days on which nothing was owed are left out."""
    cuts = {from_on, to_on}
    cuts.update(change.on for change in invoice.balance_changes if from_on < change.on < to_on)
    if not rules.rate_fixed_at_start:
        cuts.update(on for on, _ in rules.rates if from_on < on < to_on)
    for start_on, end_on in pairwise(sorted(cuts)):
        owed = balance_on(invoice, start_on)
        if owed > 0:
            yield InterestPeriod(
                start_on, end_on, owed, rules.annual_rate_on(late_on if rules.rate_fixed_at_start else start_on)
            )


def balance_on(invoice: Invoice, on: date) -> Decimal:
    """Tell what was owed at the end of a day: today's balance with every later change undone."""
    return invoice.due - sum((change.amount for change in invoice.balance_changes if change.on > on), Decimal(0))


def average_balance(invoice: Invoice, from_on: date, to_on: date) -> Decimal:
    """Average what was owed day by day, from a day to before another."""
    cuts = {from_on, to_on} | {change.on for change in invoice.balance_changes if from_on < change.on < to_on}
    pieces = [(balance_on(invoice, start_on), (end_on - start_on).days) for start_on, end_on in pairwise(sorted(cuts))]
    return sum((owed * count for owed, count in pieces if owed > 0), Decimal(0)) / (to_on - from_on).days


def interest_lines(
    invoice: Invoice, rules: LateFees, late_on: date, from_on: date, to_on: date, unpaid_interest: Decimal
) -> tuple[FeeLine, ...]:
    """Reckon the interest of a period, line by line; the last line carries what rounding left, so that lines add up."""
    pieces = list(interest_periods(invoice, rules, late_on, from_on, to_on))
    if rules.compound and unpaid_interest > 0 and pieces:
        pieces += [each._replace(balance=unpaid_interest) for each in pieces]
    exact = [each.interest for each in pieces]
    left = round_amount(sum(exact, Decimal(0)), invoice.currency)
    parts: list[FeeLine] = []
    for place, (piece, amount) in enumerate(zip(pieces, exact, strict=True)):
        shown = left if place == len(pieces) - 1 else round_amount(amount, invoice.currency)
        left -= shown
        owed = format_amount(piece.balance, invoice.currency)
        parts.append(
            FeeLine(f"{owed} for {format_days(piece.day_count)} at {format_percent(piece.annual_rate)} a year", shown)
        )
    return tuple(parts)
