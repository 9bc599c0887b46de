"""One mail to one customer a day: which statement it is about, which steps it takes, what it lists; or a thank-you."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from policies.calendar import SendSlot, find_time_zone
from policies.decisions import SendReminder
from policies.formatting import STEP_NAMES, describe_past_step, format_date
from policies.invoice_assessment import InvoiceAssessment
from policies.past_actions import PastActions
from policies.receivables import InvoiceStatus, Step
from policies.schedule import suspension_date


class Postponement(NamedTuple):
    """Why a mail that is due has to wait, and until when."""

    reason: str
    until_on: date


def choose_reminder(
    assessments: Sequence[InvoiceAssessment], past_actions: PastActions, send_slot: SendSlot, sends_on: date
) -> tuple[SendReminder | None, Postponement | None]:
    """Choose the one mail of the day; what is due besides it waits, with the reason given."""
    wanting = [
        assessment for assessment in assessments if assessment.email_step is not None and not assessment.email_blocked
    ]
    if not wanting:
        return None, None
    today, limits = wanting[0].context.today, wanting[0].context.policy.frequency
    if not past_actions.can_contact(today, limits):
        until_on = past_actions.next_contact_on(today, limits)
        return None, Postponement(
            f"The last mail left on {format_date(past_actions.contact_days[-1])}, the next may on {format_date(until_on)}.",
            until_on,
        )
    wanting.sort(key=_urgency)
    lead = wanting[0]
    taking = [assessment for assessment in wanting if assessment.context is lead.context]
    waits_until = today + timedelta(days=limits.min_days_between)
    other = (
        f"One mail a day: today's is about {lead.invoice.currency}; the next may leave on {format_date(waits_until)}."
    )
    return _build_reminder(lead, taking, assessments, send_slot, sends_on), Postponement(other, waits_until)


def _urgency(assessment: InvoiceAssessment) -> tuple[int, date, str]:
    return assessment.urgency(assessment.email_step or Step.THANK_YOU)


def _build_reminder(
    lead: InvoiceAssessment,
    covered: list[InvoiceAssessment],
    assessments: Sequence[InvoiceAssessment],
    send_slot: SendSlot,
    sends_on: date,
) -> SendReminder:
    taken = tuple(
        (assessment.invoice.id, assessment.email_step) for assessment in covered if assessment.email_step is not None
    )
    step = taken[0][1]
    return SendReminder(
        customer_id=lead.context.statement.customer.id,
        currency=lead.invoice.currency,
        step=step,
        completed=taken,
        listed=_listed_invoices(lead, assessments, {invoice_id for invoice_id, _ in taken}),
        reason=_lead_reason(lead, step, send_slot),
        send_after=send_slot.at,
        suspension_on=_suspension_on(covered, sends_on),
        recurrence_keys=tuple(
            (assessment.invoice.id, assessment.broken_promise_key)
            for assessment in covered
            if assessment.email_step is Step.PROMISE_BROKEN
        ),
    )


def _listed_invoices(
    lead: InvoiceAssessment, assessments: Sequence[InvoiceAssessment], covered_ids: set[str]
) -> tuple[str, ...]:
    """List what is due soon or overdue in the statement; a late fee stands beside its invoice."""
    horizon = lead.context.today + timedelta(days=lead.context.policy.due_soon_days)
    ours = [assessment for assessment in assessments if assessment.context is lead.context]
    shown = set(covered_ids)
    for assessment in ours:
        if assessment.started_on <= horizon and (assessment.hold is None or assessment.hold_code == "below_minimum"):
            shown.add(assessment.invoice.id)
    shown.update(
        assessment.invoice.id
        for assessment in ours
        if assessment.hold_code == "fee_invoice" and assessment.invoice.fee_of in shown
    )
    ours.sort(key=lambda assessment: (assessment.started_on, assessment.invoice.number, assessment.invoice.id))
    return tuple(assessment.invoice.id for assessment in ours if assessment.invoice.id in shown)


def _suspension_on(covered: list[InvoiceAssessment], sends_on: date) -> date | None:
    named = [
        suspension_date(assessment.schedule, assessment.invoice, sends_on)
        for assessment in covered
        if assessment.email_step is Step.FINAL_NOTICE
    ]
    return min((on for on in named if on is not None), default=None)


def reminder_reason(assessment: InvoiceAssessment, step: Step, send_slot: SendSlot) -> str:
    """Say why an invoice is in today's mail."""
    if step is Step.THANK_YOU:
        return f"The thank-you: it was paid in full on {format_date(assessment.invoice.closed_on or assessment.context.today)}.{_send_window_note(send_slot)}"
    return f"{STEP_NAMES[step].capitalize()}: {assessment.describe_balance()}{_history_note(assessment)}.{_send_window_note(send_slot)}"


def _send_window_note(send_slot: SendSlot) -> str:
    return f" Outside the window now: {send_slot.reason}." if send_slot.at else ""


def _lead_reason(lead: InvoiceAssessment, step: Step, send_slot: SendSlot) -> str:
    number = lead.invoice.number or lead.invoice.id
    return f"{STEP_NAMES[step].capitalize()} about {number}: {lead.describe_balance()}{_history_note(lead)}.{_send_window_note(send_slot)}"


def _history_note(assessment: InvoiceAssessment) -> str:
    """Name the promise that was broken, and the step before this one, where there was one."""
    promised_on = assessment.invoice.promised_on if assessment.email_step is Step.PROMISE_BROKEN else None
    promised = f"; it was promised for {format_date(promised_on)} and did not come" if promised_on else ""
    if not assessment.taken:
        return promised
    on, step = max((on, step) for step, on in assessment.taken.items())
    return f"{promised}; {describe_past_step(step, on)}"


def choose_thank_you(
    assessments: Sequence[InvoiceAssessment], past_actions: PastActions, send_slot: SendSlot
) -> SendReminder | None:
    """Thank for what was just paid in full: one mail, once per customer in so many days."""
    policy, today = (
        assessments[0].context.policy if assessments else None,
        assessments[0].context.today if assessments else date.min,
    )
    if policy is None or not policy.thank_you.enabled or not past_actions.can_contact(today, policy.frequency):
        return None
    if (
        past_actions.thanked_on is not None
        and (today - past_actions.thanked_on).days < policy.thank_you.min_days_between
    ):
        return None
    paid = [assessment for assessment in assessments if _is_due_thank_you(assessment)]
    if not paid:
        return None
    lead = min(paid, key=lambda assessment: (assessment.invoice.currency, assessment.invoice.id))
    ours = tuple(sorted(assessment.invoice.id for assessment in paid if assessment.context is lead.context))
    number = lead.invoice.number or lead.invoice.id
    return SendReminder(
        customer_id=lead.context.statement.customer.id,
        currency=lead.invoice.currency,
        step=Step.THANK_YOU,
        completed=tuple((invoice_id, Step.THANK_YOU) for invoice_id in ours),
        listed=ours,
        reason=f"The thank-you: {number} was paid in full on {format_date(lead.invoice.closed_on or today)}.{_send_window_note(send_slot)}",
        send_after=send_slot.at,
    )


def _is_due_thank_you(assessment: InvoiceAssessment) -> bool:
    invoice, context = assessment.invoice, assessment.context
    if invoice.status is not InvoiceStatus.PAID or invoice.closed_on is None or invoice.total <= 0 or invoice.fee_of:
        return False
    live_since_at = context.statement.live_since_at
    if live_since_at is None or Step.THANK_YOU in assessment.taken:
        return False
    live_on = live_since_at.astimezone(find_time_zone(context.statement.company.time_zone)).date()
    ago = (context.today - invoice.closed_on).days
    return (
        invoice.closed_on >= live_on
        and 0 <= ago <= context.policy.thank_you.max_days_after_payment
        and not _gets_no_email(assessment)
    )


def _gets_no_email(assessment: InvoiceAssessment) -> bool:
    """Tell whether this customer gets no mail at all: the holds of the customer, not of the invoice."""
    customer, context = assessment.context.statement.customer, assessment.context
    paused = customer.hold_until_on is not None and context.today < customer.hold_until_on
    unreachable = bool(customer.suppression_reason) or not any("@" in email for email in customer.emails)
    return context.stale_hold is not None or paused or customer.no_reminders or unreachable
