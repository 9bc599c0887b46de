"""One email for invoices whose same step is some days apart: two nearly equal emails within days say nothing new.

What the second of them would say stands in the first one: it lists the invoice as overdue, or announces its due date.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from policies.invoice_assessment import InvoiceAssessment
from policies.past_actions import PastActions
from policies.receivables import Step
from policies.schedule import DUNNING_LEVELS, SEVERITY, early_step_due, next_level, payable_on

_ANNOUNCED_TOGETHER = (Step.RECEIPT_CHECK, Step.BEFORE_DUE)  # the others are about one day


def gather(
    lead: InvoiceAssessment, assessments: Sequence[InvoiceAssessment], past_actions: PastActions, sends_on: date
) -> Iterable[InvoiceAssessment]:
    """Yield the invoices of the statement whose step comes within some days and is no harsher than the email's.

    Their ``email_step`` is set. A step keeps its distance from the one before it: only its own day comes sooner.
    """
    for each in assessments:
        is_free = each.context is lead.context and each.email_step is None and each.hold is None
        if not is_free or each.returned is not None or each.broken_agreement or each.email_blocked:
            continue
        step = _coming_step(each, lead.email_step, sends_on)
        if step is not None and step not in each.schedule.by_call and not past_actions.refused_on.get(each.invoice.id):
            each.email_step, each.is_gathered = step, True
            yield each


def _coming_step(assessment: InvoiceAssessment, lead_step: Step | None, sends_on: date) -> Step | None:
    """Return the step of an invoice that an email of ``lead_step`` takes along; None where there is none."""
    schedule, invoice, context = assessment.schedule, assessment.invoice, assessment.context
    until_on = context.today + timedelta(days=context.policy.gather_days)
    if lead_step in _ANNOUNCED_TOGETHER:
        is_before = context.today < payable_on(invoice) and not invoice.fee_of
        early = early_step_due(schedule, invoice, assessment.completed, until_on, sends_on) if is_before else None
        return early if early is lead_step else None
    level = next_level(schedule, invoice, assessment.completed) if lead_step in DUNNING_LEVELS else None
    if lead_step is None or level is None or level.on > until_on or SEVERITY[level.step] > SEVERITY[lead_step]:
        return None
    is_overdue = assessment.started_on < context.today and payable_on(invoice) < context.today
    return level.step if is_overdue and _keeps_gap(assessment, level.step) else None


def _keeps_gap(assessment: InvoiceAssessment, step: Step) -> bool:
    """Return whether a level keeps its distance in the schedule from the level before it."""
    days = dict(assessment.schedule.levels)
    before = [level for level in assessment.schedule.levels if level.step in assessment.completed]
    if not before:
        return True
    since = (assessment.context.today - assessment.completed[before[-1].step]).days
    return since >= days[step] - before[-1].day
