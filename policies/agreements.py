"""Agreements with customers and whether they are kept: disputes under review, promises to pay, payment plans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from policies.calendar import Calendar, add_business_days
from policies.decisions import CreateTask, HoldCode
from policies.formatting import format_amount, format_date
from policies.invoice_assessment import InvoiceAssessment
from policies.invoice_names import at_sentence_start
from policies.policy import ReminderPolicy
from policies.receivables import Instalment, Invoice, PaymentPlan, Size, Step
from policies.segments import size_of
from policies.statement_context import StatementContext

_CERTAINLY_BROKEN_DAYS = 30  # whatever the holidays, the grace period is over by then
_SHORTFALL_SHARE = Decimal("0.01")


class AgreementTask(StrEnum):
    """The codes of tasks about agreements."""

    DISPUTE_RAISED = "dispute_raised"
    DISPUTE_REVIEW = "dispute_review"
    PROMISE_BROKEN = "promise_broken"
    PLAN_BROKEN = "plan_broken"


_STEPS = {
    AgreementTask.DISPUTE_RAISED: Step.DISPUTE_RAISED,
    AgreementTask.DISPUTE_REVIEW: Step.DISPUTE_RAISED,
    AgreementTask.PROMISE_BROKEN: Step.PROMISE_BROKEN,
    AgreementTask.PLAN_BROKEN: Step.PROMISE_BROKEN,
}


def promise_broken_on(context: StatementContext, promised_on: date) -> date:
    """Return the date from which a promise counts as broken."""
    if context.today > promised_on + timedelta(days=_CERTAINLY_BROKEN_DAYS):
        return promised_on + timedelta(days=_CERTAINLY_BROKEN_DAYS)
    return grace_ends_on(promised_on, context.policy, context.statement.holiday_region, context.calendar)


def grace_ends_on(promised_on: date, policy: ReminderPolicy, place: str, calendar: Calendar) -> date:
    """Return the first date on which a payment promised for a day is late: banks move no money at weekends."""
    payable_on = add_business_days(promised_on, 0, place, policy.send_window, calendar)
    return add_business_days(payable_on, policy.promises.business_days, place, policy.send_window, calendar)


def missed_instalment(context: StatementContext, invoice: Invoice) -> Instalment | None:
    """Return the first instalment that is overdue and not paid in full."""
    due = next_instalment(context, invoice)
    return due if due is not None and context.today >= promise_broken_on(context, due.due_on) else None


def next_instalment(context: StatementContext, invoice: Invoice) -> Instalment | None:
    """Return the first instalment that is not paid yet.

    A shortfall below the minimum balance, or of up to 1 %, is no missed instalment: a cent, or the bank's charges.
    Unapplied credit that covers the invoice counts: the company has that money.
    """
    plan = invoice.payment_plan
    if plan is None:
        return None
    paid, agreed = _paid_since(plan, invoice) + context.credit_coverage.get(invoice.id, Decimal(0)), Decimal(0)
    minimum = context.policy.minimum_balance.for_currency(invoice.currency)
    for instalment in plan.instalments:
        agreed += instalment.amount
        missing = agreed - paid
        if missing > 0 and missing >= minimum and missing > agreed * _SHORTFALL_SHARE:
            return instalment
    return None


def _paid_since(plan: PaymentPlan, invoice: Invoice) -> Decimal:
    """Return what was settled since the agreement, whatever the invoice was raised or lowered by meanwhile."""
    raised = invoice.total - plan.agreed_total if plan.agreed_total is not None else Decimal(0)
    return plan.agreed_balance + raised - invoice.due


def agreement_tasks(assessments: Sequence[InvoiceAssessment]) -> Iterable[CreateTask]:
    """Yield the tasks about disputes, broken promises and broken plans, each once for its date.

    Where the policy asks about a broken promise by email, the invoice gets that email step instead.
    """
    for assessment in assessments:
        if assessment.hold_code == HoldCode.DISPUTED:
            yield from _dispute_tasks(assessment)
        elif assessment.hold is not None and not assessment.email_blocked:
            continue
        elif (missed := missed_instalment(assessment.context, assessment.invoice)) is not None:
            yield from _plan_tasks(assessment, missed)
        elif assessment.invoice.promised_on is not None:
            yield from _promise_tasks(assessment, assessment.invoice.promised_on)


def _dispute_tasks(assessment: InvoiceAssessment) -> Iterable[CreateTask]:
    """Ask a person to look into a dispute (a large one the same day), and again after some business days."""
    invoice, context = assessment.invoice, assessment.context
    if invoice.disputed_on is None:
        return
    size = size_of(invoice, context.policy.sizes)
    raised_on = assessment.completed.get(Step.DISPUTE_RAISED)
    review_days = context.policy.disputes.review_business_days[size]
    review_on = _business_day_after(context, invoice.disputed_on, review_days)
    recurrence_key = invoice.disputed_on.isoformat()
    since = format_date(invoice.disputed_on) + (f": {invoice.dispute_reason}" if invoice.dispute_reason else "")
    if raised_on is None or raised_on < invoice.disputed_on:
        due_on = context.today if size is Size.LARGE else _business_day_after(context, context.today, 1)
        name = at_sentence_start(assessment.number)
        text = f"{name} is disputed since {since}. Nothing is sent until the dispute is resolved."
        yield _build_task(assessment, AgreementTask.DISPUTE_RAISED, due_on, text, recurrence_key)
    elif raised_on < review_on <= context.today:
        text = f"{at_sentence_start(assessment.number)} is still disputed since {since}. Decide how to proceed."
        yield _build_task(assessment, AgreementTask.DISPUTE_REVIEW, context.today, text, f"{recurrence_key} review")


def _promise_tasks(assessment: InvoiceAssessment, promised_on: date) -> Iterable[CreateTask]:
    """Follow up a broken promise by a call, or by email; reminders continue where they stopped."""
    context, invoice = assessment.context, assessment.invoice
    followed_up_on = assessment.completed.get(Step.PROMISE_BROKEN)
    is_followed_up = followed_up_on is not None and followed_up_on > promised_on
    if is_followed_up or context.today < promise_broken_on(context, promised_on):
        return
    by_call = (context.segment, size_of(invoice, context.policy.sizes)) in context.policy.promises.calls
    if not by_call and not assessment.email_blocked:
        assessment.email_step, assessment.broken_promise_key = Step.PROMISE_BROKEN, promised_on.isoformat()
        return
    covered = context.credit_coverage.get(invoice.id, Decimal(0))
    promised = min(invoice.promised_amount or invoice.due, invoice.due - covered)
    amount = format_amount(promised, invoice.currency)
    name = at_sentence_start(assessment.number)
    text = f"{name}: {amount} was promised for {format_date(promised_on)} and has not been paid."
    assessment.broken_agreement = text
    due_on = _business_day_after(context, context.today, 0)
    yield _build_task(assessment, AgreementTask.PROMISE_BROKEN, due_on, text, promised_on.isoformat())


def _plan_tasks(assessment: InvoiceAssessment, instalment: Instalment) -> Iterable[CreateTask]:
    """Follow up a missed instalment by a call: it cancels the plan, and reminders continue where they stopped."""
    context, missed_on = assessment.context, instalment.due_on
    followed_up_on = assessment.completed.get(Step.PROMISE_BROKEN)
    if followed_up_on is not None and followed_up_on > missed_on:
        return
    amount = format_amount(instalment.amount, assessment.invoice.currency)
    due = f"the instalment of {amount} due on {format_date(missed_on)} has not been paid in full"
    text = f"{at_sentence_start(assessment.number)}: {due}. The payment plan is cancelled."
    assessment.broken_agreement = text
    due_on = _business_day_after(context, context.today, 0)
    yield _build_task(assessment, AgreementTask.PLAN_BROKEN, due_on, text, f"{missed_on.isoformat()} plan")


def _business_day_after(context: StatementContext, on: date, count: int) -> date:
    country = context.statement.company.country
    return add_business_days(on, count, country, context.policy.send_window, context.calendar)


def _build_task(
    assessment: InvoiceAssessment, code: AgreementTask, due_on: date, text: str, recurrence_key: str
) -> CreateTask:
    customer_id = assessment.context.statement.customer.id
    return CreateTask(customer_id, _STEPS[code], code, (assessment.invoice.id,), due_on, text, recurrence_key)
