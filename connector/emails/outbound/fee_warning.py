"""The announcement of a late fee: which fee, from which date, with the figures that the email states.

An email names only a fee that can come: each one is assessed beforehand as on the day it would be charged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal

from connector.emails.outbound.email_facts import FeeKind, FeeWarning
from connector.geo import HolidayCalendar
from policies import fee_rules
from policies.decisions import ChargeLateFee
from policies.fee_amounts import COMPENSATION
from policies.fee_outlook import ExpectedFee, find_expected_fee
from policies.past_actions import PastActions
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, Statement, Step
from policies.schedule import DUNNING_LEVELS
from policies.segments import segment_of, size_of
from policies.statement_context import StatementContext

_WARNING_STEPS = frozenset({Step.BEFORE_DUE, Step.DUE_TODAY, *DUNNING_LEVELS, Step.PROMISE_BROKEN})
_KINDS = {
    fee_rules.FeeKind.FLAT: FeeKind.FLAT,
    fee_rules.FeeKind.PERCENT: FeeKind.ONCE,
    fee_rules.FeeKind.PERCENT_PER_MONTH: FeeKind.PER_MONTH,
    fee_rules.FeeKind.ANNUAL: FeeKind.PER_YEAR,
}


def fee_warning(
    policy: ReminderPolicy, statement: Statement, about: Sequence[Invoice], step: Step, today: date
) -> FeeWarning | None:
    """Return the warning, or None unless a fee can come on one of these invoices."""
    if step not in _WARNING_STEPS or not policy.late_fees.enabled:
        return None
    context = _build_context(policy, statement, today)
    past_actions = PastActions.from_actions(statement.past_actions, statement.invoices, policy.late_fees)
    expected = {invoice.id: _find_expected(context, invoice, past_actions) for invoice in about}
    coming = [each for each in expected.values() if each is not None]
    if not coming:
        return None
    dates = {each.on for each in coming}
    from_on = dates.pop() if len(dates) == 1 else today
    kind, figure = _figure(policy.late_fees, [each.fee for each in coming])
    compensations = {amount for each in coming for amount in _compensations(each.fee)}
    return FeeWarning(
        kind=kind,
        figure=figure,
        from_on=from_on if from_on > today else None,
        fixed_amounts=tuple(sorted(compensations)) if kind is not FeeKind.UNSPECIFIED else (),
        only_for=_only_for(about, expected),
    )


def _only_for(about: Sequence[Invoice], expected: Mapping[str, ExpectedFee | None]) -> tuple[str, ...]:
    """Return the ids of the invoices on which a fee can come, where that is not all of them."""
    chargeable = [invoice.id for invoice in about if expected[invoice.id] is not None]
    return tuple(chargeable) if len(chargeable) < len(about) else ()


def _build_context(policy: ReminderPolicy, statement: Statement, today: date) -> StatementContext:
    return StatementContext(
        statement=statement,
        policy=policy,
        today=today,
        now=datetime.combine(today, time(12), UTC),
        calendar=HolidayCalendar(),
        segment=segment_of(statement.customer, policy.segments, today),
        credit_coverage={},
        stale_hold=None,
    )


def _find_expected(context: StatementContext, invoice: Invoice, past_actions: PastActions) -> ExpectedFee | None:
    schedule = context.policy.schedules[context.segment, size_of(invoice, context.policy.sizes)]
    return find_expected_fee(context, invoice, schedule, past_actions)


def _figure(rules: fee_rules.LateFees, fees: Sequence[ChargeLateFee]) -> tuple[FeeKind, Decimal]:
    """Return the figure that is true of all these fees; no figure where they differ or nobody has verified them."""
    kind = _KINDS[rules.kind]
    figures = {figure for fee in fees for figure in _figures(rules, fee)}
    if len(figures) != 1 or not all(fee.verified for fee in fees):
        return FeeKind.UNSPECIFIED, Decimal(0)
    return kind, figures.pop()


def _figures(rules: fee_rules.LateFees, fee: ChargeLateFee) -> Iterable[Decimal]:
    """Return the figures of one fee: several where the rate changes within the month, none where a limit cuts it."""
    compensation = sum(_compensations(fee), Decimal(0))
    is_limited = any(line.amount < 0 for line in fee.lines)
    if is_limited and (compensation or rules.kind is not fee_rules.FeeKind.FLAT):
        return ()
    if rules.kind is fee_rules.FeeKind.FLAT:
        return (fee.amount - compensation,)
    if rules.kind is not fee_rules.FeeKind.ANNUAL:
        return (rules.rate,)
    return {line.annual_rate for line in fee.lines if line.annual_rate is not None}


def _compensations(fee: ChargeLateFee) -> list[Decimal]:
    return [line.amount for line in fee.lines if line.text == COMPENSATION]
