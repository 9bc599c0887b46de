"""The one email a customer gets in a day: a reminder about one statement, or a thank-you."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import NamedTuple

from policies import gathering
from policies.calendar import SendSlot, find_time_zone
from policies.decisions import HoldCode, SendReminder
from policies.fee_outlook import find_expected_fee
from policies.formatting import STEP_NAMES, format_amount, format_date, step_title
from policies.invoice_assessment import InvoiceAssessment
from policies.past_actions import PastActions
from policies.payable_dates import common_business_day
from policies.receivables import InvoiceStatus, Step
from policies.recipients import has_recipient
from policies.returned_payments import TASK_SUFFIX
from policies.schedule import DUNNING_LEVELS, suspension_date
from policies.settlement import describe_payment, is_worth_thanks


class Postponement(NamedTuple):
    """Why an email that is due has to wait, and until when."""

    reason: str
    until_on: date


def choose_reminder(
    assessments: Sequence[InvoiceAssessment], past_actions: PastActions, send_slot: SendSlot, sends_on: date
) -> tuple[SendReminder | None, Postponement | None]:
    """Choose the one reminder of the day; everything else that is due is postponed for the reason returned."""
    due = [each for each in assessments if each.email_step is not None and not each.email_blocked]
    if not due:
        return None, None
    today, limits = due[0].context.today, due[0].context.policy.frequency
    if not past_actions.can_contact(today, limits):
        last_on, until_on = past_actions.contact_days[-1], past_actions.next_contact_on(today, limits)
        result = "was not delivered" if last_on in past_actions.refused_on.values() else "was sent"
        text = f"The last email, of {format_date(last_on)}, {result}; the next can be sent on {format_date(until_on)}."
        return None, Postponement(text, until_on)
    if other := due[0].context.statement.customer.mailbox_taken_by:
        until_on = today + timedelta(days=limits.min_days_between)
        next_on = format_date(until_on)
        text = f"One email a day to one address: today's is about {other}; the next can be sent on {next_on}."
        return None, Postponement(text, until_on)
    due.sort(key=_urgency)
    lead = due[0]
    covered = [each for each in due if each.context is lead.context and _is_alike(each, lead)]
    covered += gathering.gather(lead, assessments, past_actions, sends_on)
    until_on = today + timedelta(days=limits.min_days_between)
    text = (
        f"One email a day: today's is about {lead.invoice.currency}; the next can be sent on {format_date(until_on)}."
    )
    reminder = _build_reminder(lead, covered, assessments, send_slot, sends_on)
    announced = tuple(each.invoice.id for each in covered if _announces_fee(each, past_actions))
    reminder = replace(
        reminder,
        recurrence_keys=_recurrence_keys(covered, past_actions),
        announces_fee_on=announced,
        fee_terms=lead.context.policy.late_fees.terms_in(reminder.currency) if announced else "",
    )
    return reminder, Postponement(text, until_on)


def _announces_fee(assessment: InvoiceAssessment, past_actions: PastActions) -> bool:
    """Return whether an email about an invoice warns of a late fee: only where one can come."""
    if assessment.email_step not in DUNNING_LEVELS or not assessment.context.policy.late_fees.enabled:
        return False
    context, invoice = assessment.context, assessment.invoice
    return find_expected_fee(context, invoice, assessment.schedule, past_actions) is not None


def _recurrence_keys(covered: list[InvoiceAssessment], past_actions: PastActions) -> tuple[tuple[str, str], ...]:
    """Return what tells a step from the same one before it: the promise it is about, or the due date now in force."""
    keys = [
        (each.invoice.id, each.email_recurrence_key or past_actions.recurrence_key(each.invoice, each.email_step))
        for each in covered
        if each.email_step is not None
    ]
    return tuple((invoice_id, key) for invoice_id, key in keys if key)


def _is_alike(assessment: InvoiceAssessment, lead: InvoiceAssessment) -> bool:
    """Return whether one email can be about both: some texts say nothing about other invoices."""
    steps = {assessment.email_step, lead.email_step}
    return len(steps) == 1 or steps.isdisjoint({Step.WITHHOLDING_CERTIFICATE, Step.PAYMENT_RETURNED})


def _urgency(assessment: InvoiceAssessment) -> tuple[int, date, str]:
    return assessment.urgency(assessment.email_step or Step.THANK_YOU)


def _build_reminder(
    lead: InvoiceAssessment,
    covered: list[InvoiceAssessment],
    assessments: Sequence[InvoiceAssessment],
    send_slot: SendSlot,
    sends_on: date,
) -> SendReminder:
    completed = tuple((each.invoice.id, each.email_step) for each in covered if each.email_step is not None)
    step = completed[0][1]
    return SendReminder(
        customer_id=lead.context.statement.customer.id,
        currency=lead.invoice.currency,
        step=step,
        completed=completed,
        listed=_listed_invoices(lead, assessments, {invoice_id for invoice_id, _ in completed}),
        reason=_lead_reason(lead, step, send_slot),
        send_after=send_slot.at,
        suspension_on=_suspension_on(covered, sends_on),
    )


def _listed_invoices(
    lead: InvoiceAssessment, assessments: Sequence[InvoiceAssessment], covered_ids: set[str]
) -> tuple[str, ...]:
    """List what is overdue or due soon on the statement; a late fee is listed with its invoice."""
    horizon_on = lead.context.today + timedelta(days=lead.context.policy.due_soon_days)
    on_statement = [each for each in assessments if each.context is lead.context]
    listed = set(covered_ids)
    for each in on_statement if lead.email_step is not Step.WITHHOLDING_CERTIFICATE else ():
        is_listed = each.hold is None or each.hold_code == HoldCode.BELOW_MINIMUM
        if is_listed and each.started_on <= horizon_on:
            listed.add(each.invoice.id)
    fees = (each.invoice for each in on_statement if each.hold_code == HoldCode.FEE_INVOICE)
    listed.update(fee.id for fee in fees if fee.fee_of in listed)
    on_statement.sort(key=lambda each: (each.started_on, each.invoice.number, each.invoice.id))
    return tuple(each.invoice.id for each in on_statement if each.invoice.id in listed)


def _suspension_on(covered: list[InvoiceAssessment], sends_on: date) -> date | None:
    """Return the date a final notice names: a business day for the customer and for the company."""
    final_notices = (each for each in covered if each.email_step is Step.FINAL_NOTICE)
    dates = [suspension_date(each.schedule, each.invoice, sends_on) for each in final_notices]
    on = min((on for on in dates if on is not None), default=None)
    if on is None:
        return None
    statement, calendar = covered[0].context.statement, covered[0].context.calendar
    return common_business_day(on, {statement.holiday_region, statement.company.country}, calendar)


def reminder_reason(assessment: InvoiceAssessment, step: Step, send_slot: SendSlot) -> str:
    """Return why an invoice is in today's email."""
    if step is Step.THANK_YOU:
        text = f"{step_title(step)}: {describe_payment(assessment.invoice, assessment.context.today)}"
    else:
        text = f"{step_title(step)}: {assessment.describe_balance()}{_history_note(assessment)}"
    early = " It is in this email some days early, so that none like it follows." if assessment.is_gathered else ""
    return f"{text}.{early}{_send_window_note(send_slot)}"


def _send_window_note(send_slot: SendSlot) -> str:
    return f" Outside the send window: {send_slot.reason}." if send_slot.at else ""


def _lead_reason(lead: InvoiceAssessment, step: Step, send_slot: SendSlot) -> str:
    text = f"{step_title(step)} for {lead.number}: {lead.describe_balance()}{_history_note(lead)}"
    return f"{text}.{_send_window_note(send_slot)}"


def _history_note(assessment: InvoiceAssessment) -> str:
    """Return the promise that was broken, and the last completed step, if there are any."""
    invoice = assessment.invoice
    promised_on = invoice.promised_on if assessment.email_step is Step.PROMISE_BROKEN else None
    part = format_amount(invoice.promised_amount, invoice.currency) if invoice.promised_amount else "it"
    promised = f"; {part} was promised for {format_date(promised_on)} and has not been paid" if promised_on else ""
    is_presumed = invoice.id in assessment.past_actions.presumed_received
    completed = [
        (on, step) for step, on in assessment.completed.items() if not (is_presumed and step is Step.RECEIPT_CHECK)
    ]
    if not completed:
        return promised
    on, step = max(completed)
    return f"{promised}; last step: {STEP_NAMES[step]} on {format_date(on)}"


def choose_thank_you(
    assessments: Sequence[InvoiceAssessment], past_actions: PastActions, send_slot: SendSlot
) -> SendReminder | None:
    """Thank for what was just paid in full: one email per customer, and not again for some time."""
    if not assessments:
        return None
    policy, today = assessments[0].context.policy, assessments[0].context.today
    if not policy.thank_you.enabled or not past_actions.can_contact(today, policy.frequency):
        return None
    if assessments[0].context.statement.customer.mailbox_taken_by:
        return None
    thanked_on = past_actions.thanked_on
    paid = [each for each in assessments if _is_due_thank_you(each)]
    if thanked_on is not None and (today - thanked_on).days < policy.thank_you.min_days_between:
        paid = [each for each in paid if _paid_again_on(each)]  # they were told since that it had come back
    if not paid:
        return None
    lead = min(paid, key=lambda each: (each.invoice.currency, each.invoice.id))
    covered = [each for each in paid if each.context is lead.context]
    ids = tuple(sorted(each.invoice.id for each in covered))
    again = {each.invoice.id: on.isoformat() for each in covered if (on := _paid_again_on(each))}
    text = f"{step_title(Step.THANK_YOU)} for {lead.number}: {describe_payment(lead.invoice, today)}"
    return SendReminder(
        customer_id=lead.context.statement.customer.id,
        currency=lead.invoice.currency,
        step=Step.THANK_YOU,
        completed=tuple((invoice_id, Step.THANK_YOU) for invoice_id in ids),
        listed=ids,
        reason=f"{text}.{_send_window_note(send_slot)}",
        send_after=send_slot.at,
        recurrence_keys=tuple(sorted(again.items())),
    )


def _paid_again_on(assessment: InvoiceAssessment) -> date | None:
    """Return when an invoice was paid after an email told the customer that their payment had come back."""
    told = assessment.past_actions.returned_payments.get(assessment.invoice.id, {})
    told_on = max((on for key, on in told.items() if not key.endswith(TASK_SUFFIX)), default=None)
    thanked_on = assessment.completed.get(Step.THANK_YOU)
    paid_on = assessment.invoice.closed_on
    if told_on is None or paid_on is None or thanked_on is None or not thanked_on <= told_on <= paid_on:
        return None
    return paid_on


def _is_due_thank_you(assessment: InvoiceAssessment) -> bool:
    invoice, context = assessment.invoice, assessment.context
    if invoice.status is not InvoiceStatus.PAID or invoice.closed_on is None or invoice.total <= 0 or invoice.fee_of:
        return False
    minimum = context.policy.minimum_balance.for_currency(invoice.currency)
    if not is_worth_thanks(invoice.paid, invoice.total, minimum):
        return False  # credited or written off: no money came, or some cents
    live_since_at = context.statement.live_since_at
    if live_since_at is None or (Step.THANK_YOU in assessment.completed and not _paid_again_on(assessment)):
        return False
    live_on = live_since_at.astimezone(find_time_zone(context.statement.company.time_zone)).date()
    days_ago = (context.today - invoice.closed_on).days
    days_since_payment = max(days_ago, (context.today - (invoice.last_paid_on or invoice.closed_on)).days)
    is_recent = days_ago >= 0 and days_since_payment <= context.policy.thank_you.max_days_after_payment
    return invoice.closed_on >= live_on and is_recent and not _gets_no_email(assessment)


def _gets_no_email(assessment: InvoiceAssessment) -> bool:
    """Return whether a hold of the customer, not of the invoice, stops every email."""
    customer, context = assessment.context.statement.customer, assessment.context
    customers, invoice = context.customers(assessment.invoice), assessment.invoice
    is_paused = any(each.hold_until_on is not None and context.today < each.hold_until_on for each in customers)
    is_suppressed = bool(customer.suppression_reason) and not invoice.emails
    is_unreachable = is_suppressed or not has_recipient(customer, invoice)
    is_stopped = is_paused or any(each.no_reminders for each in customers)
    return context.stale_hold is not None or is_stopped or is_unreachable
