"""The announcement of a late fee: which fee, from which date, with the figures that the email states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from connector.emails.outbound.email_facts import FeeKind, FeeWarning
from policies.fee_rules import MONTHLY_KINDS, LateFees
from policies.past_actions import PastActions
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, Statement, Step
from policies.schedule import DUNNING_LEVELS, starts_on
from policies.schedule_rules import MIN_WARNING_DAYS
from policies.segments import segment_of, size_of

_WARNING_STEPS = frozenset({Step.BEFORE_DUE, Step.DUE_TODAY, *DUNNING_LEVELS, Step.PROMISE_BROKEN})
_KINDS = {
    "flat": FeeKind.FLAT,
    "percent": FeeKind.ONCE,
    "percent_per_month": FeeKind.PER_MONTH,
    "annual": FeeKind.PER_YEAR,
}


def fee_warning(
    policy: ReminderPolicy, statement: Statement, about: Sequence[Invoice], step: Step, today: date
) -> FeeWarning | None:
    """Return the warning, or None unless the fee is agreed on and on the schedule of one of these invoices."""
    if step not in _WARNING_STEPS or not _is_fee_agreed(policy.late_fees, statement, today):
        return None
    days = {invoice.id: _earliest_fee_on(policy, statement, invoice, today) for invoice in about}
    charged = [invoice for invoice in about if days[invoice.id] is not None]
    if not charged:
        return None
    warning = _build_warning(policy.late_fees, statement, charged, today)
    coming = {on for on in days.values() if on is not None and on > today}
    known = len(set(days.values())) == len(coming) == 1
    return replace(warning, from_on=coming.pop()) if warning and known else warning


def _is_fee_agreed(fees: LateFees, statement: Statement, today: date) -> bool:
    """Return whether fees are enabled, agreed on by now and not waived for this customer."""
    customer = statement.customer
    agreed_on = (fees.terms_agreed_on, customer.fees_agreed_on)
    return (
        fees.enabled
        and not customer.no_fees
        and fees.is_business(customer)
        and any(on is not None and on <= today for on in agreed_on)
    )


def _earliest_fee_on(policy: ReminderPolicy, statement: Statement, invoice: Invoice, today: date) -> date | None:
    """Return the first date on which the fee can be charged; None where it never is."""
    segment = segment_of(statement.customer, policy.segments, today)
    schedule = policy.schedules[segment, size_of(invoice, policy.sizes)]
    if schedule.late_fee is None or invoice.fee_of or invoice.ledger_fee:
        return None
    past_actions = PastActions.from_actions(statement.past_actions, statement.invoices)
    if past_actions.fees.get(invoice.id) and policy.late_fees.kind not in MONTHLY_KINDS:
        return None  # charged once, and it has been
    late_from = max(schedule.late_fee, policy.late_fees.grace_days + 1)
    warned_on = past_actions.warned_on.get(invoice.id, today)
    return max(starts_on(invoice) + timedelta(days=late_from), warned_on + timedelta(days=MIN_WARNING_DAYS))


def _build_warning(fees: LateFees, statement: Statement, charged: Sequence[Invoice], today: date) -> FeeWarning | None:
    currency, kind = statement.currency, _KINDS[fees.kind]
    if kind is FeeKind.FLAT:
        amount = fees.amounts.get(currency)
        return FeeWarning(kind, amount) if amount else None
    compensations = {fees.compensation_for(invoice.total, currency) for invoice in charged} - {0}
    days = [_rate_on(fees, invoice, today) for invoice in charged]
    rate = max(fees.annual_rate_on(on) for on in days) if kind is FeeKind.PER_YEAR else fees.rate
    # No customer is told a figure that nobody has checked.
    if any(fees.unverified_inputs(on, on, with_compensation=bool(compensations)) for on in days):
        return FeeWarning(FeeKind.UNSPECIFIED, Decimal(0))
    return FeeWarning(kind, rate, fixed_amounts=tuple(sorted(compensations))) if rate or compensations else None


def _rate_on(fees: LateFees, invoice: Invoice, today: date) -> date:
    """Return the date whose rate counts: today, or the first day overdue where that rate holds throughout."""
    return starts_on(invoice) + timedelta(days=1) if fees.rate_fixed_at_start else today
