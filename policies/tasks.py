"""Work for people: calls and proposals of the timetable, what no mail can do, and word to the customer's owner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from policies.calendar import add_business_days
from policies.decisions import CreateTask, NotifyOwner
from policies.formatting import STEP_NAMES, format_date
from policies.invoice_assessment import InvoiceAssessment
from policies.past_actions import PastActions
from policies.receivables import Step
from policies.schedule import DUNNING_LEVELS

_MAX_LISTED = 3  # invoices named in a sentence


def step_tasks(assessments: Sequence[InvoiceAssessment]) -> Iterable[CreateTask]:
    """Make one task per step that is due, for all invoices it is due for.

    Where a promise was broken today somebody calls about that, not twice.
    """
    steps: dict[Step, list[InvoiceAssessment]] = {}
    for assessment in assessments:
        for step in assessment.task_steps:
            if not (assessment.broken_agreement and step is Step.CALL):
                steps.setdefault(step, []).append(assessment)
    for step, group in steps.items():
        yield _build_task(group, step, step.value, f"{STEP_NAMES[step].capitalize()}: {_summary(group)}")


def task_reason(assessment: InvoiceAssessment, step: Step) -> str:
    """Say why an invoice is in a task."""
    return f"{STEP_NAMES[step].capitalize()}, a task for a person: {assessment.describe_balance()}."


def manual_tasks(assessments: Sequence[InvoiceAssessment], past_actions: PastActions) -> Iterable[CreateTask]:
    """Turn the mail steps of a customer who cannot or may not be mailed into one task, and no more than one."""
    held = [assessment for assessment in assessments if assessment.email_blocked]
    if not held:
        return
    given_on = _handed_over_on(held, past_actions)
    if given_on is not None:
        for assessment in held:
            assessment.manual_note = f" A person has had it as a task since {format_date(given_on)}."
        return
    group = [
        assessment
        for assessment in held
        if assessment.email_step in DUNNING_LEVELS
        or (assessment.email_step is not None and assessment.hold_code != "opted_out")
    ]
    if not group:
        return
    for assessment in group:
        assessment.manual_step = assessment.email_step
    lead = min(group, key=lambda assessment: assessment.urgency(assessment.email_step or Step.THANK_YOU))
    words = lead.hold.reason if lead.hold else ""
    yield _build_task(
        group,
        lead.email_step,
        lead.hold_code,
        f"{words} Instead of {STEP_NAMES[lead.email_step or Step.PAST_DUE]}: {_summary(group)}",
    )


def _handed_over_on(blocked: Sequence[InvoiceAssessment], past_actions: PastActions) -> date | None:
    """Tell since when a person has the task: a mail step of an open invoice that was taken by hand."""
    days = [
        on
        for assessment in blocked
        for step, on in past_actions.manual_on.get(assessment.invoice.id, {}).items()
        if step not in assessment.schedule.by_call
    ]
    return min(days, default=None)


def owner_notifications(assessments: Sequence[InvoiceAssessment]) -> Iterable[NotifyOwner]:
    """Tell the owner once per invoice, in one mail per statement."""
    statements: dict[str, list[InvoiceAssessment]] = {}
    for assessment in assessments:
        if assessment.notify_owner:
            statements.setdefault(assessment.invoice.currency, []).append(assessment)
    for currency, group in statements.items():
        yield NotifyOwner(
            customer_id=group[0].context.statement.customer.id,
            currency=currency,
            completed=tuple((assessment.invoice.id, Step.NOTIFY_OWNER) for assessment in group),
            reason=f"Its owner is told: {_summary(group)}",
        )


def _build_task(group: Sequence[InvoiceAssessment], step: Step | None, code: str, text: str) -> CreateTask:
    context = group[0].context
    return CreateTask(
        customer_id=context.statement.customer.id,
        step=step,
        code=code,
        invoice_ids=tuple(assessment.invoice.id for assessment in group),
        due_on=add_business_days(
            context.today, 0, context.statement.company.country, context.policy.send_window, context.calendar
        ),
        reason=text,
    )


def _summary(group: Sequence[InvoiceAssessment]) -> str:
    shown = [
        f"{assessment.invoice.number or assessment.invoice.id}, {assessment.describe_balance()}"
        for assessment in group[:_MAX_LISTED]
    ]
    more = f"; and {len(group) - _MAX_LISTED} more" if len(group) > _MAX_LISTED else ""
    return "; ".join(shown) + more + "."
