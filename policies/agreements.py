"""What was agreed with a customer, and whether it is kept: disputes under review, promises, payment plans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal

from policies.calendar import Calendar, business_days_after
from policies.case import Case
from policies.decisions import MakeTask
from policies.looks import Look
from policies.policy import ReminderPolicy
from policies.receivables import Instalment, Invoice, Size, Step
from policies.segments import size_of
from policies.wording import day, sum_of

_LONG_AGO_DAYS = 30  # whatever the holidays, a business day has passed


def broken_on(case: Case, promised_on: date) -> date:
    """Tell from which day on a promise counts as broken."""
    if case.today > promised_on + timedelta(days=_LONG_AGO_DAYS):
        return promised_on + timedelta(days=_LONG_AGO_DAYS)
    return grace_over_on(promised_on, case.policy, case.country, case.calendar)


def grace_over_on(promised_on: date, policy: ReminderPolicy, country: str, calendar: Calendar) -> date:
    """Tell the first day on which what was promised for a day has not come in time."""
    return business_days_after(promised_on, policy.promises.business_days, country, policy.window, calendar)


def missed_instalment(case: Case, invoice: Invoice) -> Instalment | None:
    """Find the first instalment that was to be paid by now and is not."""
    plan = invoice.plan
    if plan is None:
        return None
    left = plan.owed - invoice.due
    for instalment in plan.instalments:
        left -= instalment.amount
        if left < 0:
            return instalment if case.today >= broken_on(case, instalment.on) else None
    return None


def next_instalment(invoice: Invoice) -> Instalment | None:
    """Find the first instalment that is not paid yet."""
    plan = invoice.plan
    left = plan.owed - invoice.due if plan else Decimal(0)
    for instalment in plan.instalments if plan else ():
        left -= instalment.amount
        if left < 0:
            return instalment
    return None


def tasks(looks: Sequence[Look]) -> Iterable[MakeTask]:
    """Make the tasks of disputes, broken promises and broken plans, each once for its day.

    Where the policy has a mail ask about a broken promise, the invoice is given that mail instead.
    """
    for look in looks:
        if look.code == "disputed":
            yield from _dispute(look)
        elif look.hold is not None and not look.by_person:
            continue
        elif (missed := missed_instalment(look.case, look.invoice)) is not None:
            yield from _plan(look, missed)
        elif look.invoice.promised_on is not None:
            yield from _promise(look, look.invoice.promised_on)


def _dispute(look: Look) -> Iterable[MakeTask]:
    """Give a dispute to its owner (a large one the same day), and put it before him again after some business days."""
    invoice, case = look.invoice, look.case
    if invoice.disputed_on is None:
        return
    size = size_of(invoice, case.policy.sizes)
    done_on = look.taken.get(Step.DISPUTE_RAISED)
    review_on = _after(case, invoice.disputed_on, case.policy.disputes.review_business_days[size])
    number, occasion = invoice.number or invoice.id, invoice.disputed_on.isoformat()
    said = f": {invoice.dispute_why}" if invoice.dispute_why else ""
    if done_on is None or done_on < invoice.disputed_on:
        due_on = case.today if size is Size.LARGE else _after(case, case.today, 1)
        words = f"{number} is disputed since {day(invoice.disputed_on)}{said}. Nothing is sent until it is settled."
        yield _task(look, "dispute_raised", due_on, words, occasion)
    elif done_on < review_on <= case.today:
        words = f"{number} is still disputed since {day(invoice.disputed_on)}{said}: what is to become of it?"
        yield _task(look, "dispute_review", case.today, words, f"{occasion} review")


def _promise(look: Look, promised_on: date) -> Iterable[MakeTask]:
    """Have somebody call about a broken promise, or a mail ask; chasing goes on where it stopped."""
    case, done_on = look.case, look.taken.get(Step.PROMISE_BROKEN)
    if case.today < broken_on(case, promised_on) or (done_on is not None and done_on > promised_on):
        return
    by_call = (case.segment, size_of(look.invoice, case.policy.sizes)) in case.policy.promises.by_call
    if not by_call and not look.by_person:
        look.mail, look.promise = Step.PROMISE_BROKEN, promised_on.isoformat()
        return
    owed = sum_of(look.invoice.due, look.invoice.currency)
    words = f"{look.invoice.number or look.invoice.id}: {owed} was promised for {day(promised_on)} and did not come."
    look.broken = words
    yield _task(look, "promise_broken", _after(case, case.today, 0), words, promised_on.isoformat())


def _plan(look: Look, missed: Instalment) -> Iterable[MakeTask]:
    """Have somebody call about a missed instalment: the plan is void, and chasing goes on where it stopped."""
    case, done_on = look.case, look.taken.get(Step.PROMISE_BROKEN)
    if done_on is not None and done_on > missed.on:
        return
    amount = sum_of(missed.amount, look.invoice.currency)
    number = look.invoice.number or look.invoice.id
    words = f"{number}: the instalment of {amount} for {day(missed.on)} did not come in full. The payment plan is void."
    look.broken = words
    yield _task(look, "plan_broken", _after(case, case.today, 0), words, f"{missed.on.isoformat()} plan")


def _after(case: Case, on: date, count: int) -> date:
    return business_days_after(on, count, case.statement.company.country, case.policy.window, case.calendar)


def _task(look: Look, code: str, due_on: date, words: str, occasion: str) -> MakeTask:
    step = Step.PROMISE_BROKEN if code in {"promise_broken", "plan_broken"} else Step.DISPUTE_RAISED
    customer_id = look.case.statement.customer.id
    return MakeTask(customer_id, step, code, (look.invoice.id,), due_on, words, occasion)
