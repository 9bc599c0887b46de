"""The late fee that comes next on an invoice if it stays unpaid: what an email may announce, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import NamedTuple

from policies.decisions import ChargeLateFee
from policies.fee_periods import add_months, full_months, last_invoice_date
from policies.fee_rules import MONTHLY_KINDS, LateFees
from policies.late_fees import assess_late_fees
from policies.past_actions import PastActions
from policies.receivables import Invoice
from policies.schedule import Schedule, starts_on
from policies.schedule_rules import MIN_WARNING_DAYS
from policies.statement_context import StatementContext

_MONTHS_AHEAD = 3  # a fee that is refused for all of these months is not announced


class ExpectedFee(NamedTuple):
    """A late fee as it will be if the balance stays as it is, and the first date on which it can be charged."""

    on: date
    fee: ChargeLateFee


def find_expected_fee(
    context: StatementContext, invoice: Invoice, schedule: Schedule, past_actions: PastActions
) -> ExpectedFee | None:
    """Return the next late fee on an invoice, warned of today at the latest; ``None`` if no fee can come.

    The fee is assessed by the same rules as on the day itself, so that no email announces one that would be refused.
    """
    rules = context.policy.late_fees
    if schedule.late_fee is None:
        return None
    warned_on, warned = past_actions.warned_on.get(invoice.id, context.today), past_actions
    if invoice.id not in past_actions.warned_on:
        warned = replace(past_actions, warned_on={**past_actions.warned_on, invoice.id: warned_on})
    first_day = max(schedule.late_fee, rules.grace_days + 1)
    earliest_on = max(
        context.today, starts_on(invoice) + timedelta(days=first_day), warned_on + timedelta(days=MIN_WARNING_DAYS)
    )
    for on in _possible_dates(rules, invoice, earliest_on):
        found = assess_late_fees(replace(context, today=on), invoice, schedule, warned, only_first=True)
        if found.fees:
            return ExpectedFee(on, found.fees[0])
    return None


def _possible_dates(rules: LateFees, invoice: Invoice, earliest_on: date) -> Iterator[date]:
    """Yield the dates on which the next fees can be charged: at once, or at the end of a month of the delay."""
    dates = [earliest_on]
    if rules.kind in MONTHLY_KINDS:
        months = full_months(starts_on(invoice), earliest_on)
        ends = (add_months(starts_on(invoice), months + count) for count in range(_MONTHS_AHEAD + 1))
        dates = [max(earliest_on, end) for end in ends]
    for on in dates:
        invoiced_on = last_invoice_date(on, rules.invoice_day)
        yield add_months(invoiced_on, 1) if rules.monthly_invoice and invoiced_on < on else on
