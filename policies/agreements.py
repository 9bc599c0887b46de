"""What was agreed with a customer, and whether it is kept: disputes under review, promises, payment plans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal

from policies.calendar import Calendar, add_business_days
from policies.decisions import CreateTask
from policies.formatting import format_amount, format_date
from policies.invoice_assessment import InvoiceAssessment
from policies.policy import ReminderPolicy
from policies.receivables import Instalment, Invoice, Size, Step
from policies.segments import size_of
from policies.statement_context import StatementContext

_CERTAINLY_BROKEN_DAYS = 30  # whatever the holidays, a business day has passed


def promise_broken_on(context: StatementContext, promised_on: date) -> date:
    """Tell from which day on a promise counts as broken."""
    if context.today > promised_on + timedelta(days=_CERTAINLY_BROKEN_DAYS):
        return promised_on + timedelta(days=_CERTAINLY_BROKEN_DAYS)
    return grace_ends_on(promised_on, context.policy, context.country, context.calendar)


def grace_ends_on(promised_on: date, policy: ReminderPolicy, country: str, calendar: Calendar) -> date:
    """Tell the first day on which what was promised for a day has not come in time."""
    return add_business_days(promised_on, policy.promises.business_days, country, policy.send_window, calendar)


def missed_instalment(context: StatementContext, invoice: Invoice) -> Instalment | None:
    """Find the first instalment that was to be paid by now and is not."""
    plan = invoice.payment_plan
    if plan is None:
        return None
    left = plan.agreed_balance - invoice.due
    for instalment in plan.instalments:
        left -= instalment.amount
        if left < 0:
            return instalment if context.today >= promise_broken_on(context, instalment.due_on) else None
    return None


def next_instalment(invoice: Invoice) -> Instalment | None:
    """Find the first instalment that is not paid yet."""
    plan = invoice.payment_plan
    left = plan.agreed_balance - invoice.due if plan else Decimal(0)
    for instalment in plan.instalments if plan else ():
        left -= instalment.amount
        if left < 0:
            return instalment
    return None


def agreement_tasks(assessments: Sequence[InvoiceAssessment]) -> Iterable[CreateTask]:
    """Make the tasks of disputes, broken promises and broken plans, each once for its day.

    Where the policy has a mail ask about a broken promise, the invoice is given that mail instead.
    """
    for assessment in assessments:
        if assessment.hold_code == "disputed":
            yield from _dispute_tasks(assessment)
        elif assessment.hold is not None and not assessment.email_blocked:
            continue
        elif (missed := missed_instalment(assessment.context, assessment.invoice)) is not None:
            yield from _plan_tasks(assessment, missed)
        elif assessment.invoice.promised_on is not None:
            yield from _promise_tasks(assessment, assessment.invoice.promised_on)


def _dispute_tasks(assessment: InvoiceAssessment) -> Iterable[CreateTask]:
    """Give a dispute to its owner (a large one the same day), and put it before him again after some business days."""
    invoice, context = assessment.invoice, assessment.context
    if invoice.disputed_on is None:
        return
    size = size_of(invoice, context.policy.sizes)
    done_on = assessment.taken.get(Step.DISPUTE_RAISED)
    review_on = _business_day_after(context, invoice.disputed_on, context.policy.disputes.review_business_days[size])
    number, recurrence_key = invoice.number or invoice.id, invoice.disputed_on.isoformat()
    said = f": {invoice.dispute_reason}" if invoice.dispute_reason else ""
    if done_on is None or done_on < invoice.disputed_on:
        due_on = context.today if size is Size.LARGE else _business_day_after(context, context.today, 1)
        words = (
            f"{number} is disputed since {format_date(invoice.disputed_on)}{said}. Nothing is sent until it is settled."
        )
        yield _build_task(assessment, "dispute_raised", due_on, words, recurrence_key)
    elif done_on < review_on <= context.today:
        words = f"{number} is still disputed since {format_date(invoice.disputed_on)}{said}: what is to become of it?"
        yield _build_task(assessment, "dispute_review", context.today, words, f"{recurrence_key} review")


def _promise_tasks(assessment: InvoiceAssessment, promised_on: date) -> Iterable[CreateTask]:
    """Have somebody call about a broken promise, or a mail ask; chasing goes on where it stopped."""
    context, done_on = assessment.context, assessment.taken.get(Step.PROMISE_BROKEN)
    if context.today < promise_broken_on(context, promised_on) or (done_on is not None and done_on > promised_on):
        return
    by_call = (context.segment, size_of(assessment.invoice, context.policy.sizes)) in context.policy.promises.calls
    if not by_call and not assessment.email_blocked:
        assessment.email_step, assessment.broken_promise_key = Step.PROMISE_BROKEN, promised_on.isoformat()
        return
    owed = format_amount(assessment.invoice.due, assessment.invoice.currency)
    words = f"{assessment.invoice.number or assessment.invoice.id}: {owed} was promised for {format_date(promised_on)} and did not come."
    assessment.broken_agreement = words
    yield _build_task(
        assessment, "promise_broken", _business_day_after(context, context.today, 0), words, promised_on.isoformat()
    )


def _plan_tasks(assessment: InvoiceAssessment, instalment: Instalment) -> Iterable[CreateTask]:
    """Have somebody call about a missed instalment: the plan is void, and chasing goes on where it stopped."""
    context, done_on = assessment.context, assessment.taken.get(Step.PROMISE_BROKEN)
    if done_on is not None and done_on > instalment.due_on:
        return
    amount = format_amount(instalment.amount, assessment.invoice.currency)
    number = assessment.invoice.number or assessment.invoice.id
    words = f"{number}: the instalment of {amount} for {format_date(instalment.due_on)} did not come in full. The payment plan is void."
    assessment.broken_agreement = words
    yield _build_task(
        assessment,
        "plan_broken",
        _business_day_after(context, context.today, 0),
        words,
        f"{instalment.due_on.isoformat()} plan",
    )


def _business_day_after(context: StatementContext, on: date, count: int) -> date:
    return add_business_days(on, count, context.statement.company.country, context.policy.send_window, context.calendar)


def _build_task(assessment: InvoiceAssessment, code: str, due_on: date, text: str, recurrence_key: str) -> CreateTask:
    step = Step.PROMISE_BROKEN if code in {"promise_broken", "plan_broken"} else Step.DISPUTE_RAISED
    customer_id = assessment.context.statement.customer.id
    return CreateTask(customer_id, step, code, (assessment.invoice.id,), due_on, text, recurrence_key)
