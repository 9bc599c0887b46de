"""The whole policy, top to bottom: decide what to do about one customer today, and explain it for each invoice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from policies import (
    agreements,
    bank_receipts,
    fee_reviews,
    holds,
    late_fees,
    reminders,
    returned_payments,
    tasks,
    unapplied_credit,
)
from policies.calendar import Calendar, SendSlot, find_send_slot, find_time_zone
from policies.decisions import Action, ChargeLateFee, CustomerDecision, DecisionKind, HoldCode, InvoiceDecision
from policies.formatting import STEP_NAMES, format_date, step_title
from policies.invoice_assessment import InvoiceAssessment
from policies.past_actions import PastActions
from policies.payable_dates import with_payable_dates
from policies.policy import ReminderPolicy
from policies.receivables import Customer, Invoice, PastAction, Statement, Step
from policies.returned_payments import ReturnedPayment
from policies.schedule import Schedule, early_step_due, next_level, notify_owner_due, payable_on, task_step_due
from policies.schedule_adjustments import adjust_schedule, after_named_date, without_plan_offer
from policies.segments import segment_of, size_of
from policies.statement_context import Hold, StatementContext
from policies.step_timing import explain_timing


@dataclass(frozen=True, slots=True)
class _DayContext:
    """What is the same for all statements of the customer today."""

    policy: ReminderPolicy
    now: datetime
    today: date
    calendar: Calendar
    past_actions: PastActions
    send_slot: SendSlot
    sends_on: date
    is_forecast: bool


def decide(
    statements: Sequence[Statement],
    policy: ReminderPolicy,
    now: datetime,
    calendar: Calendar,
    *,
    is_forecast: bool = False,
) -> CustomerDecision:
    """Decide about one customer.

    Args:
        statements: all statements of the customer, one per currency.
        policy: the policy of the company; a customer policy in it may apply instead.
        now: an aware instant.
        calendar: the public holidays.
        is_forecast: whether ``now`` is ahead, so that reasons do not count days from it.

    Returns:
        The actions, and exactly one decision for each invoice of the statements.

    """
    if not statements:
        return CustomerDecision("", (), ())
    today = now.astimezone(find_time_zone(statements[0].company.time_zone)).date()
    policy = policy.policy_for(statements[0].customer, today)
    statements = [with_payable_dates(statement, policy, calendar) for statement in statements]
    day = _build_day_context(statements, policy, now, calendar, is_forecast=is_forecast)
    assessments = [each for statement in statements for each in _assess_statement(statement, day)]

    agreed = list(agreements.agreement_tasks(assessments))
    actions: list[Action] = [
        *tasks.manual_tasks(assessments, day.past_actions),
        *tasks.step_tasks(assessments, day.past_actions),
        *tasks.owner_notifications(assessments),
        *agreed,
        *unapplied_credit.apply_tasks(assessments),
        *bank_receipts.booking_tasks(assessments),
        *returned_payments.returned_payment_tasks(assessments),
        *fee_reviews.fee_tasks(assessments),
    ]
    actions += [fee for each in assessments for fee in each.fees]

    email, postponement = reminders.choose_reminder(assessments, day.past_actions, day.send_slot, day.sends_on)
    if email is None and postponement is None:
        email = reminders.choose_thank_you(assessments, day.past_actions, day.send_slot)
    if email is not None:
        actions.insert(0, email)
    emailed = dict(email.completed) if email is not None else {}
    decisions = tuple(_decide_invoice(each, emailed.get(each.invoice.id), postponement, day) for each in assessments)
    return CustomerDecision(statements[0].customer.id, tuple(actions), decisions, policy.name)


def _build_day_context(
    statements: Sequence[Statement], policy: ReminderPolicy, now: datetime, calendar: Calendar, *, is_forecast: bool
) -> _DayContext:
    """Determine the day: the date is the company's, the send window the customer's."""
    company, customer = statements[0].company, statements[0].customer
    company_zone = find_time_zone(company.time_zone)
    customer_zone = find_time_zone(customer.time_zone, company.time_zone)
    today = now.astimezone(company_zone).date()
    send_slot = find_send_slot(now, customer_zone, statements[0].holiday_region, policy.send_window, calendar)
    sends_on = send_slot.at.astimezone(company_zone).date() if send_slot.at else today
    invoices = [invoice for statement in statements for invoice in statement.invoices]
    past_actions = PastActions.from_actions(
        _actions_that_count(statements, customer, invoices), invoices, policy.late_fees
    )
    return _DayContext(policy, now, today, calendar, past_actions, send_slot, sends_on, is_forecast)


def _past_actions(statements: Sequence[Statement]) -> Iterable[PastAction]:
    """Return the customer's past actions once, although every statement has them."""
    if len(statements) == 1:
        return statements[0].past_actions
    return dict.fromkeys(action for statement in statements for action in statement.past_actions)


def _actions_that_count(
    statements: Sequence[Statement], customer: Customer, invoices: Sequence[Invoice]
) -> Iterable[PastAction]:
    """Return the past actions without the undone tasks that took the place of an email that can now be sent."""
    is_reachable = not customer.suppression_reason and any("@" in address for address in customer.emails)
    reachable = {invoice.id for invoice in invoices if is_reachable or invoice.emails}
    return (one for one in _past_actions(statements) if not (one.undone and one.invoice_id in reachable))


def _assess_statement(statement: Statement, day: _DayContext) -> Iterable[InvoiceAssessment]:
    """Assess every invoice of a statement: what holds it, or else which steps are due."""
    context = StatementContext(
        statement=statement,
        policy=day.policy,
        today=day.today,
        now=day.now,
        calendar=day.calendar,
        segment=segment_of(statement.customer, day.policy.segments, day.today),
        credit_coverage=unapplied_credit.allocate_credit(statement),
        stale_hold=holds.staleness(statement, day.policy, day.today, day.now),
        is_forecast=day.is_forecast,
    )
    for invoice in statement.invoices:
        yield _assess_invoice(context, invoice, day)


def _schedule_for(context: StatementContext, invoice: Invoice, day: _DayContext) -> Schedule:
    """Return the schedule of an invoice: its cell, adjusted to the customer, the balance and what was announced."""
    schedule = context.policy.schedules[context.segment, size_of(invoice, context.policy.sizes)]
    if context.statement.customer.payment_behaviour is not None:
        schedule = adjust_schedule(schedule, context.statement.customer.payment_behaviour)
    if invoice.due < context.policy.plan_offer_minimum.for_currency(invoice.currency):
        schedule = without_plan_offer(schedule)
    if notice := day.past_actions.final_notices.get(invoice.id):
        schedule = after_named_date(schedule, invoice, context, notice)
    return schedule


def _assess_invoice(context: StatementContext, invoice: Invoice, day: _DayContext) -> InvoiceAssessment:
    schedule = _schedule_for(context, invoice, day)
    completed = day.past_actions.completed_steps(invoice.id)
    assessment = InvoiceAssessment(context, invoice, schedule, completed, day.past_actions)
    assessment.returned = returned_payments.find_returned_payment(context, invoice, day.past_actions)
    assessment.fee_review = review = fee_reviews.review_fee(context, invoice, day.past_actions)
    found = holds.first_hold(context, invoice, chase_fee=review is not None and review.task is None)
    if found is not None and found[0] is HoldCode.FEE_INVOICE and review is not None:
        found = (found[0], Hold(review.reason), found[2])
    if found is not None:
        assessment.hold_code, assessment.hold, assessment.email_blocked = found
        if not assessment.email_blocked:
            if assessment.hold_code == HoldCode.WITHHELD:
                assessment.email_step = _certificate_step(assessment, day)
            return assessment
    if assessment.returned is not None and _handle_returned_payment(assessment, assessment.returned):
        return assessment
    assessment.email_step = _email_step_due(assessment, day)
    assessment.notify_owner = notify_owner_due(schedule, invoice, completed, day.today)
    if assessment.email_blocked:
        return assessment
    task = task_step_due(schedule, invoice, completed, day.today)
    assessment.task_steps = (task,) if task is not None else ()
    net = unapplied_credit.net_of_credit(context, invoice)
    assessment.late_fees = late_fees.assess_late_fees(context, net, schedule, day.past_actions)
    if assessment.email_step is not None and assessment.email_step in schedule.by_call:
        assessment.task_steps, assessment.email_step = (*assessment.task_steps, assessment.email_step), None
    return assessment


def _certificate_step(assessment: InvoiceAssessment, day: _DayContext) -> Step | None:
    """Return the request for the withholding certificate: once, on the day of what would be the first reminder."""
    first = next_level(assessment.schedule, assessment.invoice, {})
    is_due = first is not None and first.on <= day.today
    return Step.WITHHOLDING_CERTIFICATE if is_due and Step.WITHHOLDING_CERTIFICATE not in assessment.completed else None


def _handle_returned_payment(assessment: InvoiceAssessment, returned: ReturnedPayment) -> bool:
    """Hold the invoice, or notify the customer; return whether that is all that happens to it today."""
    hold = returned_payments.hold_for(assessment.context, assessment.invoice, returned)
    if hold is not None:
        assessment.hold_code, assessment.hold, assessment.email_blocked = HoldCode.PAYMENT_RETURNED, hold, False
        return True
    if returned.notified_on is not None or returned.moved_to or assessment.email_blocked:
        return False
    assessment.email_step = Step.PAYMENT_RETURNED
    return True


def _email_step_due(assessment: InvoiceAssessment, day: _DayContext) -> Step | None:
    """Return the email that is due: a dunning level after the due date, or an early step that still makes sense."""
    schedule, invoice, completed = assessment.schedule, assessment.invoice, assessment.completed
    level = next_level(schedule, invoice, completed)
    if level is not None and level.on <= day.today:
        return level.step
    if day.today > payable_on(invoice) or invoice.fee_of:
        return None
    return early_step_due(schedule, invoice, completed, day.today, day.sends_on)


def _decide_invoice(
    assessment: InvoiceAssessment,
    emailed_step: Step | None,
    postponement: reminders.Postponement | None,
    day: _DayContext,
) -> InvoiceDecision:
    """Return the one decision: the email that is sent, else a fee, a task, an alert, or why nothing happens."""
    if emailed_step is not None:
        reason = reminders.reminder_reason(assessment, emailed_step, day.send_slot)
        return _action_decision(assessment, DecisionKind.REMINDER, emailed_step, reason, day.sends_on)
    if assessment.fees:
        reason = f"{_fees_reason(assessment.fees)}{_no_fee_note(assessment)}"
        return _action_decision(assessment, DecisionKind.FEE, Step.LATE_FEE, reason)
    if assessment.hold is not None:
        return _hold_decision(assessment, assessment.hold)
    if assessment.broken_agreement:
        return _action_decision(assessment, DecisionKind.TASK, Step.PROMISE_BROKEN, assessment.broken_agreement)
    if assessment.task_steps:
        step = assessment.task_steps[0]
        return _action_decision(assessment, DecisionKind.TASK, step, tasks.task_reason(assessment, step))
    if assessment.email_step is not None and postponement is not None:
        return _postponed_decision(assessment, assessment.email_step, postponement)
    if assessment.notify_owner:
        reason = f"The account owner is alerted: {assessment.describe_balance()}.{_no_fee_note(assessment)}"
        return _action_decision(assessment, DecisionKind.TASK, Step.NOTIFY_OWNER, reason)
    return _pending_decision(assessment)


def _action_decision(
    assessment: InvoiceAssessment, kind: DecisionKind, step: Step, reason: str, on: date | None = None
) -> InvoiceDecision:
    next_step, next_on = assessment.next_step(step, on) or (None, None)
    return InvoiceDecision(assessment.invoice.id, kind, step.value, reason, next_step, next_on)


def _hold_decision(assessment: InvoiceAssessment, hold: Hold) -> InvoiceDecision:
    invoice_id, code = assessment.invoice.id, assessment.hold_code
    if assessment.manual_step is not None:
        return InvoiceDecision(invoice_id, DecisionKind.TASK, code, f"{hold.reason} A task is created instead.")
    reason = f"{hold.reason}{assessment.manual_note}"
    kind = DecisionKind.WAITING if code == HoldCode.NOTHING_OWED else DecisionKind.HOLD
    return InvoiceDecision(invoice_id, kind, code, reason, None, hold.until_on)


def _postponed_decision(
    assessment: InvoiceAssessment, step: Step, postponement: reminders.Postponement
) -> InvoiceDecision:
    reason = f"{postponement.reason} {step_title(step)} waits until then."
    code = HoldCode.FREQUENCY_CAP
    return InvoiceDecision(assessment.invoice.id, DecisionKind.WAITING, code, reason, step, postponement.until_on)


def _pending_decision(assessment: InvoiceAssessment) -> InvoiceDecision:
    invoice_id, note = assessment.invoice.id, f"{assessment.known_note}{_no_fee_note(assessment)}"
    following = assessment.next_step()
    if following is None:
        reason = f"All steps of the schedule are completed.{note}"
        return InvoiceDecision(invoice_id, DecisionKind.WAITING, HoldCode.ALL_STEPS_COMPLETED, reason)
    when = f"{format_date(following.on)}, {explain_timing(assessment, following)}"
    reason = f"Next step: {STEP_NAMES[following.step]} on {when}.{note}"
    return InvoiceDecision(invoice_id, DecisionKind.WAITING, HoldCode.NOT_DUE_YET, reason, following.step, following.on)


def _no_fee_note(assessment: InvoiceAssessment) -> str:
    context, invoice = assessment.context, assessment.invoice
    net = unapplied_credit.net_of_credit(context, invoice)
    found, past_actions = assessment.late_fees, assessment.past_actions
    reason = late_fees.explain_no_fee(found, context, net, assessment.schedule, past_actions)
    return f" {reason}" if reason else ""


def _fees_reason(fees: Sequence[ChargeLateFee]) -> str:
    """Return why late fees are charged; several at once are those of the months in which none was charged."""
    reasons = " ".join(fee.reason for fee in fees)
    return reasons if len(fees) == 1 else f"{len(fees)} months are charged, oldest first. {reasons}"
