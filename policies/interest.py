"""Interest, exact: day by day over the history of a balance and the table of rates.

A change counts from its day on: what is paid on a day is not owed on it any more. A year has 365 days. Sums are rounded
once, at the end, half up, to the decimals of the currency.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import NamedTuple

from policies.decisions import FeePart
from policies.fee_rules import LateFees
from policies.receivables import Invoice
from policies.wording import days, decimals, percent, sum_of

YEAR_DAYS = 365


class Span(NamedTuple):
    """Days on which the same sum was owed at the same yearly rate."""

    from_on: date
    to_on: date
    owed: Decimal
    rate: Decimal

    @property
    def day_count(self) -> int:
        """Count the days."""
        return (self.to_on - self.from_on).days

    @property
    def interest(self) -> Decimal:
        """Give the interest, unrounded."""
        return self.owed * self.rate * self.day_count / (100 * YEAR_DAYS)


def spans(invoice: Invoice, rules: LateFees, late_on: date, from_on: date, to_on: date) -> Iterator[Span]:
    """Cut a period wherever the balance or the rate changes; days on which nothing was owed are left out."""
    cuts = {from_on, to_on}
    cuts.update(change.on for change in invoice.changes if from_on < change.on < to_on)
    if not rules.rate_of_first_day:
        cuts.update(on for on, _ in rules.rates if from_on < on < to_on)
    for start_on, end_on in pairwise(sorted(cuts)):
        owed = owed_on(invoice, start_on)
        if owed > 0:
            yield Span(start_on, end_on, owed, rules.yearly_rate(late_on if rules.rate_of_first_day else start_on))


def owed_on(invoice: Invoice, on: date) -> Decimal:
    """Tell what was owed at the end of a day: today's balance with every later change undone."""
    return invoice.due - sum((change.amount for change in invoice.changes if change.on > on), Decimal(0))


def average_balance(invoice: Invoice, from_on: date, to_on: date) -> Decimal:
    """Average what was owed day by day, from a day to before another."""
    cuts = {from_on, to_on} | {change.on for change in invoice.changes if from_on < change.on < to_on}
    pieces = [(owed_on(invoice, start_on), (end_on - start_on).days) for start_on, end_on in pairwise(sorted(cuts))]
    return sum((owed * count for owed, count in pieces if owed > 0), Decimal(0)) / (to_on - from_on).days


def interest_parts(
    invoice: Invoice, rules: LateFees, late_on: date, from_on: date, to_on: date, charged_before: Decimal
) -> tuple[FeePart, ...]:
    """Reckon the interest of a period, line by line; the last line carries what rounding left, so that lines add up."""
    pieces = list(spans(invoice, rules, late_on, from_on, to_on))
    if rules.compound and charged_before > 0 and pieces:
        pieces += [each._replace(owed=charged_before) for each in pieces]
    exact = [each.interest for each in pieces]
    left = rounded(sum(exact, Decimal(0)), invoice.currency)
    parts: list[FeePart] = []
    for place, (piece, amount) in enumerate(zip(pieces, exact, strict=True)):
        shown = left if place == len(pieces) - 1 else rounded(amount, invoice.currency)
        left -= shown
        owed = sum_of(piece.owed, invoice.currency)
        parts.append(FeePart(f"{owed} for {days(piece.day_count)} at {percent(piece.rate)} a year", shown))
    return tuple(parts)


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Round to the decimals of the currency, half up: once, at the end."""
    return amount.quantize(Decimal(1).scaleb(-decimals(currency)), ROUND_HALF_UP)
