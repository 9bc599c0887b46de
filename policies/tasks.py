"""Tasks for people: the calls and reviews of the schedule, emails that cannot be sent, and account-owner alerts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from policies.calendar import add_business_days
from policies.decisions import CreateTask, HoldCode, NotifyOwner
from policies.formatting import STEP_NAMES, format_date, step_title
from policies.invoice_assessment import InvoiceAssessment
from policies.past_actions import PastActions
from policies.receivables import Step
from policies.schedule import DUNNING_LEVELS

_MAX_LISTED = 3  # invoices named in a sentence


def step_tasks(assessments: Sequence[InvoiceAssessment], past_actions: PastActions) -> Iterable[CreateTask]:
    """Yield one task per step that is due, for all invoices it is due for.

    A call about a promise broken today takes the place of the scheduled call.
    """
    due: dict[Step, list[InvoiceAssessment]] = {}
    for assessment in assessments:
        for step in assessment.task_steps:
            if not (assessment.broken_agreement and step is Step.CALL):
                due.setdefault(step, []).append(assessment)
    for step, group in due.items():
        task = _build_task(group, step, step.value, f"{step_title(step)}: {_summary(group)}")
        yield replace(task, recurrence_key=_recurrence_key(group, step, past_actions))


def _recurrence_key(group: Sequence[InvoiceAssessment], step: Step | None, past_actions: PastActions) -> str:
    """Return what tells a task from one about an earlier due date."""
    return max((past_actions.recurrence_key(each.invoice, step) for each in group if step is not None), default="")


def task_reason(assessment: InvoiceAssessment, step: Step) -> str:
    """Return why an invoice is in a task."""
    return f"{step_title(step)}, a task: {assessment.describe_balance()}."


def manual_tasks(assessments: Sequence[InvoiceAssessment], past_actions: PastActions) -> Iterable[CreateTask]:
    """Yield the one task that takes the place of all emails to a customer who cannot be emailed."""
    blocked = [assessment for assessment in assessments if assessment.email_blocked]
    if not blocked:
        return
    handed_over_on = _handed_over_on(blocked, past_actions)
    if handed_over_on is not None:
        for assessment in blocked:
            assessment.manual_note = f" A task was created on {format_date(handed_over_on)}."
        return
    group = [assessment for assessment in blocked if _needs_task(assessment)]
    if not group:
        return
    for assessment in group:
        assessment.manual_step = assessment.email_step
    lead = min(group, key=lambda each: each.urgency(each.email_step or Step.THANK_YOU))
    reason = lead.hold.reason if lead.hold else ""
    step_name = STEP_NAMES[lead.email_step or Step.PAST_DUE]
    text = f"{reason} In place of the {step_name}: {_summary(group)}"
    task = _build_task(group, lead.email_step, lead.hold_code, text)
    yield replace(task, recurrence_key=_recurrence_key(group, lead.email_step, past_actions))


def _needs_task(assessment: InvoiceAssessment) -> bool:
    """Return whether the email is worth a task; customers who opted out are not called before the due date."""
    step = assessment.email_step
    return step in DUNNING_LEVELS or (step is not None and assessment.hold_code != HoldCode.OPTED_OUT)


def _handed_over_on(blocked: Sequence[InvoiceAssessment], past_actions: PastActions) -> date | None:
    """Return the date on which an email step of an open invoice first became a task."""
    days = [
        on
        for assessment in blocked
        for step, on in past_actions.manual_on.get(assessment.invoice.id, {}).items()
        if step not in assessment.schedule.by_call
    ]
    return min(days, default=None)


def owner_notifications(assessments: Sequence[InvoiceAssessment]) -> Iterable[NotifyOwner]:
    """Yield the alerts to the account owner, one email per currency and each invoice once."""
    by_currency: dict[str, list[InvoiceAssessment]] = {}
    for assessment in assessments:
        if assessment.notify_owner:
            by_currency.setdefault(assessment.invoice.currency, []).append(assessment)
    for currency, group in by_currency.items():
        yield NotifyOwner(
            customer_id=group[0].context.statement.customer.id,
            currency=currency,
            completed=tuple((assessment.invoice.id, Step.NOTIFY_OWNER) for assessment in group),
            reason=f"{step_title(Step.NOTIFY_OWNER)}: {_summary(group)}",
        )


def _build_task(group: Sequence[InvoiceAssessment], step: Step | None, code: str, text: str) -> CreateTask:
    context = group[0].context
    country, window = context.statement.company.country, context.policy.send_window
    return CreateTask(
        customer_id=context.statement.customer.id,
        step=step,
        code=code,
        invoice_ids=tuple(assessment.invoice.id for assessment in group),
        due_on=add_business_days(context.today, 0, country, window, context.calendar),
        reason=text,
    )


def _summary(group: Sequence[InvoiceAssessment]) -> str:
    listed = [
        f"{assessment.number}, {assessment.describe_balance(is_lasting=True)}" for assessment in group[:_MAX_LISTED]
    ]
    more = f"; and {len(group) - _MAX_LISTED} more" if len(group) > _MAX_LISTED else ""
    return "; ".join(listed) + more + "."
