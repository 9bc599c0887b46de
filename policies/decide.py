"""The whole policy, top to bottom: what to do about one customer today, and one answer for each of his invoices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from policies import agreements, holds, late_fees, reminders, tasks
from policies.calendar import Calendar, SendSlot, find_send_slot, find_time_zone
from policies.decisions import Action, ChargeLateFee, CustomerDecision, DecisionKind, InvoiceDecision
from policies.formatting import STEP_NAMES, format_date
from policies.invoice_assessment import InvoiceAssessment
from policies.past_actions import PastActions
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, PastAction, Statement, Step
from policies.schedule import early_step_due, next_level, notify_owner_due, starts_on, task_step_due
from policies.schedule_adjustments import adjust_schedule
from policies.segments import segment_of, size_of
from policies.statement_context import Hold, StatementContext


@dataclass(frozen=True, slots=True)
class _DayContext:
    """What holds for all statements of the customer today."""

    policy: ReminderPolicy
    now: datetime
    today: date
    calendar: Calendar
    past_actions: PastActions
    send_slot: SendSlot
    sends_on: date


def decide(
    statements: Sequence[Statement], policy: ReminderPolicy, now: datetime, calendar: Calendar
) -> CustomerDecision:
    """Decide about one customer: all his statements, one per currency, at an aware instant."""
    if not statements:
        return CustomerDecision("", (), ())
    today = now.astimezone(find_time_zone(statements[0].company.time_zone)).date()
    policy = policy.policy_for(statements[0].customer, today)
    day_context = _build_day_context(statements, policy, now, calendar)
    assessments = [assessment for statement in statements for assessment in _assess_statement(statement, day_context)]

    agreed = list(agreements.agreement_tasks(assessments))
    actions: list[Action] = [
        *tasks.manual_tasks(assessments, day_context.past_actions),
        *tasks.step_tasks(assessments),
        *tasks.owner_notifications(assessments),
        *agreed,
    ]
    actions += [assessment.fee for assessment in assessments if isinstance(assessment.fee, ChargeLateFee)]

    mail, not_sent = reminders.choose_reminder(
        assessments, day_context.past_actions, day_context.send_slot, day_context.sends_on
    )
    if mail is None and not_sent is None:
        mail = reminders.choose_thank_you(assessments, day_context.past_actions, day_context.send_slot)
    if mail is not None:
        actions.insert(0, mail)
    taken = dict(mail.completed) if mail is not None else {}
    answers = tuple(
        _decide_invoice(assessment, taken.get(assessment.invoice.id), not_sent, day_context)
        for assessment in assessments
    )
    return CustomerDecision(statements[0].customer.id, tuple(actions), answers, policy.name)


def _build_day_context(
    statements: Sequence[Statement], policy: ReminderPolicy, now: datetime, calendar: Calendar
) -> _DayContext:
    """Fix what the day is: the date is the company's, the window the customer's."""
    company, customer = statements[0].company, statements[0].customer
    here, there = find_time_zone(company.time_zone), find_time_zone(customer.time_zone, company.time_zone)
    today = now.astimezone(here).date()
    opens = find_send_slot(now, there, customer.country or company.country, policy.send_window, calendar)
    sends_on = opens.at.astimezone(here).date() if opens.at else today
    return _DayContext(
        policy, now, today, calendar, PastActions.from_actions(_past_actions(statements)), opens, sends_on
    )


def _past_actions(statements: Sequence[Statement]) -> Iterable[PastAction]:
    """Give the customer's deeds once, though every statement carries them."""
    if len(statements) == 1:
        return statements[0].past_actions
    return dict.fromkeys(deed for statement in statements for deed in statement.past_actions)


def _assess_statement(statement: Statement, day_context: _DayContext) -> Iterable[InvoiceAssessment]:
    """Look at every invoice of a statement: what holds it, or else which steps are due."""
    policy, today = day_context.policy, day_context.today
    segment = segment_of(statement.customer, policy.segments, today)
    context = StatementContext(
        statement=statement,
        policy=policy,
        today=today,
        now=day_context.now,
        calendar=day_context.calendar,
        segment=segment,
        credit_coverage=holds.allocate_credit(statement),
        stale_hold=holds.staleness(statement, policy, today, day_context.now),
    )
    for invoice in statement.invoices:
        yield _assess_invoice(context, invoice, day_context)


def _assess_invoice(context: StatementContext, invoice: Invoice, day_context: _DayContext) -> InvoiceAssessment:
    row = context.policy.schedules[context.segment, size_of(invoice, context.policy.sizes)]
    if context.statement.customer.payment_behaviour is not None:
        row = adjust_schedule(row, context.statement.customer.payment_behaviour)
    assessment = InvoiceAssessment(context, invoice, row, day_context.past_actions.completed_steps(invoice.id))
    held = holds.first_hold(context, invoice)
    if held is not None:
        assessment.hold_code, assessment.hold, assessment.email_blocked = held
        if not assessment.email_blocked:
            return assessment
    today = day_context.today
    assessment.email_step = _email_step_due(assessment, today, day_context.sends_on)
    assessment.notify_owner = notify_owner_due(row, invoice, assessment.taken, today)
    if assessment.email_blocked:
        return assessment
    task = task_step_due(row, invoice, assessment.taken, today)
    assessment.task_steps = (task,) if task is not None else ()
    assessment.fee = late_fees.assess_late_fee(context, invoice, row, day_context.past_actions)
    if assessment.email_step is not None and assessment.email_step in row.by_call:
        assessment.task_steps, assessment.email_step = (*assessment.task_steps, assessment.email_step), None
    return assessment


def _email_step_due(assessment: InvoiceAssessment, today: date, sends_on: date) -> Step | None:
    """Find the mail that is due: a rung after the due date, or else an early step that is still right."""
    level = next_level(assessment.schedule, assessment.invoice, assessment.taken)
    if level is not None and level.on <= today:
        return level.step
    if today > starts_on(assessment.invoice):
        return None
    return early_step_due(assessment.schedule, assessment.invoice, assessment.taken, today, sends_on)


def _decide_invoice(
    assessment: InvoiceAssessment,
    reminder_step: Step | None,
    postponement: reminders.Postponement | None,
    day_context: _DayContext,
) -> InvoiceDecision:
    """Give the one answer: the mail that goes, else a fee, a task, word to the owner, or why nothing happens."""
    if reminder_step is not None:
        return _action_decision(
            assessment,
            DecisionKind.REMINDER,
            reminder_step,
            reminders.reminder_reason(assessment, reminder_step, day_context.send_slot),
            day_context.sends_on,
        )
    if isinstance(assessment.fee, ChargeLateFee):
        return _action_decision(assessment, DecisionKind.FEE, Step.LATE_FEE, assessment.fee.reason)
    if assessment.hold is not None:
        return _hold_decision(assessment, assessment.hold)
    if assessment.broken_agreement:
        return _action_decision(assessment, DecisionKind.TASK, Step.PROMISE_BROKEN, assessment.broken_agreement)
    if assessment.task_steps:
        return _action_decision(
            assessment,
            DecisionKind.TASK,
            assessment.task_steps[0],
            tasks.task_reason(assessment, assessment.task_steps[0]),
        )
    if assessment.email_step is not None and postponement is not None:
        words = f"{postponement.reason} {STEP_NAMES[assessment.email_step].capitalize()} waits until then."
        return InvoiceDecision(
            assessment.invoice.id,
            DecisionKind.HOLD,
            "frequency_cap",
            words,
            assessment.email_step,
            postponement.until_on,
        )
    if assessment.notify_owner:
        return _action_decision(
            assessment,
            DecisionKind.TASK,
            Step.NOTIFY_OWNER,
            f"Its owner is told of the delay.{_no_fee_note(assessment)}",
        )
    return _pending_decision(assessment)


def _action_decision(
    assessment: InvoiceAssessment, kind: DecisionKind, step: Step, reason: str, on: date | None = None
) -> InvoiceDecision:
    following = assessment.next_step(step, on)
    next_step, next_on = following or (None, None)
    return InvoiceDecision(assessment.invoice.id, kind, step.value, reason, next_step, next_on)


def _hold_decision(assessment: InvoiceAssessment, hold: Hold) -> InvoiceDecision:
    if assessment.manual_step is not None:
        return InvoiceDecision(
            assessment.invoice.id, DecisionKind.TASK, assessment.hold_code, f"{hold.reason} A person gets it as a task."
        )
    return InvoiceDecision(
        assessment.invoice.id,
        DecisionKind.HOLD,
        assessment.hold_code,
        f"{hold.reason}{assessment.manual_note}",
        None,
        hold.until_on,
    )


def _no_fee_note(assessment: InvoiceAssessment) -> str:
    return f" {assessment.fee}" if assessment.fee else ""


def _pending_decision(assessment: InvoiceAssessment) -> InvoiceDecision:
    following = assessment.next_step()
    if following is None:
        words = "Every step of the timetable was taken: it is with a person now."
        return InvoiceDecision(
            assessment.invoice.id, DecisionKind.HOLD, "all_steps_completed", words + _no_fee_note(assessment)
        )
    words = (
        f"Nothing due until {format_date(following.on)}: then {STEP_NAMES[following.step]}.{_no_fee_note(assessment)}"
    )
    return InvoiceDecision(assessment.invoice.id, DecisionKind.HOLD, "not_due_yet", words, following.step, following.on)
