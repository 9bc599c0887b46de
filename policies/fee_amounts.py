"""The amount of a late fee: the lines of its calculation, within its limits and beside what was charged before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal

from policies.currencies import round_amount
from policies.decisions import FeeLine
from policies.fee_periods import FeePeriod
from policies.fee_rules import FeeKind, LateFees
from policies.formatting import format_amount, format_date, format_percent
from policies.interest import average_balance, interest_lines
from policies.receivables import FeeOutcome, Invoice, PastAction
from policies.schedule import starts_on

COMPENSATION = "fixed compensation"
ChargedPeriods = Mapping[str, tuple[FeePeriod | None, PastAction]]  # by key, oldest first; None: not a period any more


def prior_charges(
    rules: LateFees, invoice: Invoice, charged: ChargedPeriods, period: FeePeriod
) -> tuple[Decimal, Decimal]:
    """Return the total of the other fees, and the unpaid interest in it for the time before a period.

    Waived fees count for nothing. An amount that was not kept is calculated again: the same history gives the same
    result. The fixed compensation bears no interest.
    """
    total = unpaid = Decimal(0)
    compensation = rules.compensation_for(invoice.total, invoice.currency)
    for index, (key, (charged_period, action)) in enumerate(charged.items()):
        if action.fee_outcome is FeeOutcome.WAIVED:
            continue
        amount = action.fee_amount
        if amount is None:
            is_first = index == 0
            lines = (
                _calculate_lines(rules, invoice, charged_period, total, unpaid, is_first=is_first)
                if charged_period
                else ()
            )
            amount = total_of(lines)
        total += amount
        if action.fee_outcome is None and key < period.key:
            unpaid += max(amount - compensation, Decimal(0)) if index == 0 else amount
    return total, unpaid


def fee_lines(rules: LateFees, invoice: Invoice, period: FeePeriod, unpaid: Decimal) -> tuple[FeeLine, ...] | None:
    """Calculate the fee of a period by its kind; ``None`` where the policy has no amount in the currency."""
    currency = invoice.currency
    if rules.kind is FeeKind.FLAT:
        flat = rules.amounts.get(currency)
        return None if flat is None else (FeeLine("flat fee", round_amount(flat, currency)),)
    if rules.kind is FeeKind.ANNUAL:
        late_on = starts_on(invoice) + timedelta(days=1)
        return interest_lines(invoice, rules, late_on, period.from_on, period.to_on, unpaid)
    if rules.kind is FeeKind.PERCENT:
        balance, average = invoice.due, ""
    else:
        balance = average_balance(invoice, period.from_on, period.to_on) + (unpaid if rules.compound else 0)
        average = f", the average balance from {format_date(period.from_on)} to {format_date(period.to_on)}"
    text = f"{format_percent(rules.rate)} of {format_amount(balance, currency)}{average}"
    return (FeeLine(text, round_amount(balance * rules.rate / 100, currency)),)


def limited_lines(
    rules: LateFees, invoice: Invoice, lines: tuple[FeeLine, ...], charged_so_far: Decimal, *, is_first: bool
) -> tuple[FeeLine, ...]:
    """Add the fixed compensation to the first fee, and keep within the limits."""
    compensation = rules.compensation_for(invoice.total, invoice.currency)
    if compensation and is_first:
        lines = (*lines, FeeLine(COMPENSATION, compensation))
    return _apply_limits(rules, invoice.currency, lines, fee_cap(rules, invoice) - charged_so_far)


def fee_cap(rules: LateFees, invoice: Invoice) -> Decimal:
    """Return the most that all fees on an invoice may come to."""
    return round_amount(invoice.total * rules.cap_percent / 100, invoice.currency)


def total_of(lines: Iterable[FeeLine]) -> Decimal:
    """Return the sum of the lines."""
    return sum((line.amount for line in lines), Decimal(0))


def _calculate_lines(
    rules: LateFees, invoice: Invoice, period: FeePeriod, charged_so_far: Decimal, unpaid: Decimal, *, is_first: bool
) -> tuple[FeeLine, ...]:
    """Calculate the fee of a period, with the fixed compensation if it is the first, within the limits.

    ``charged_so_far`` is the total of the earlier fees, ``unpaid`` the part of it that bears interest if they compound.
    """
    lines = fee_lines(rules, invoice, period, unpaid)
    return (
        limited_lines(rules, invoice, lines, charged_so_far, is_first=is_first) if lines and total_of(lines) > 0 else ()
    )


def _apply_limits(rules: LateFees, currency: str, lines: tuple[FeeLine, ...], headroom: Decimal) -> tuple[FeeLine, ...]:
    """Limit a fee to the largest single fee and to the cap, each with a line of its own."""
    for text, limit in (
        ("the largest single fee", rules.maximum.get(currency)),
        (f"the cap of {format_percent(rules.cap_percent)} of the invoice", max(headroom, Decimal(0))),
    ):
        amount = total_of(lines)
        if limit is not None and amount > limit:
            lines = (*lines, FeeLine(f"limited to {text}", limit - amount))
    return lines
