"""The timetable: which step is due for an invoice today, seen from dates and from what was in fact done.

A ``Row`` holds the days of one segment and size. The mails after the due date are *rungs*, climbed one by one: a
rung's day is its day in the table, or the day of the rung before it plus the gap the table leaves between the two,
whichever is later. So a missed run, or an old ledger that is connected late, never brings a harsher mail than the next
one, nor two at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

from policies.receivables import Invoice, Step

RUNGS = (Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE)
TASKS = (Step.CALL, Step.CALL_SENIOR, Step.PROPOSE_SUSPENSION, Step.HAND_OFF_REVIEW)
EARLY = (Step.VERIFY_RECEIPT, Step.DISCOUNT_ENDING, Step.BEFORE_DUE, Step.DUE_TODAY)
MAILS = (*EARLY, *RUNGS)
HARDNESS = {step: 2 * place for place, step in enumerate(Step)}
HARDNESS[Step.PROMISE_BROKEN] = HARDNESS[Step.SECOND_NOTICE] + 1  # an offer or a final notice must keep its own words

_SHORT_TERMS_DAYS = 5  # an early step with fewer days than this to the next one is dropped

Taken = Mapping[Step, date]  # what was done for one invoice: the step and the day of it


class StepKind(StrEnum):
    """How a step is done."""

    MAIL = "mail"
    CALL = "call"
    INTERNAL = "internal"
    LEDGER = "ledger"
    TASK = "task"


class Rung(NamedTuple):
    """A mail after the due date, and its day in the table."""

    step: Step
    day: int


class TaskDay(NamedTuple):
    """A task after the due date: its day, and the rung that has to come first (``gap`` days before it)."""

    step: Step
    day: int
    after: Step | None
    gap: int


@dataclass(frozen=True, slots=True)
class Row:
    """The days of one segment and size; ``None``: off. ``by_call`` are mails done by telephone here."""

    verify_receipt: int | None
    discount_ending: int | None
    before_due: int | None
    due_today: int | None
    rungs: tuple[Rung, ...]
    tasks: tuple[TaskDay, ...]
    tell_owner: int | None
    late_fee: int | None
    by_call: frozenset[Step]

    @classmethod
    def of(cls, days: Mapping[Step, int | None], by_call: frozenset[Step]) -> Row:
        """Compile the days of one cell of the tables."""
        rungs = tuple(Rung(step, day) for step in RUNGS if (day := days[step]) is not None)
        tasks = tuple(_task(step, day, rungs) for step in TASKS if (day := days[step]) is not None)
        early = {step.value: days[step] for step in EARLY}
        return cls(
            **early,
            rungs=rungs,
            tasks=tasks,
            tell_owner=days[Step.TELL_OWNER],
            late_fee=days[Step.LATE_FEE],
            by_call=by_call,
        )


def _task(step: Step, day: int, rungs: tuple[Rung, ...]) -> TaskDay:
    before = [rung for rung in rungs if rung.day <= day]
    return TaskDay(step, day, before[-1].step, day - before[-1].day) if before else TaskDay(step, day, None, 0)


class Upcoming(NamedTuple):
    """A step that is due from a day on."""

    step: Step
    on: date


def starts_on(invoice: Invoice) -> date:
    """Tell the day the timetable counts from: the due date, but never a day before the invoice existed."""
    due_on, issued_on = invoice.due_on, invoice.issued_on
    return due_on if due_on is not None and due_on > issued_on else issued_on  # hot: no call of max


def next_rung(row: Row, invoice: Invoice, taken: Taken) -> Upcoming | None:
    """Find the next mail after the due date: the first above everything taken, and the day from which it is due."""
    start_on = starts_on(invoice)
    found = _next_rung(row, start_on, taken)
    return Upcoming(found.step, start_on + timedelta(days=found.day)) if found is not None else None


def _next_rung(row: Row, start_on: date, taken: Taken) -> Rung | None:
    """Find the next rung with its day as it is by now: counted from the start, never too close to the rung before."""
    if not taken:  # hot: nothing was done yet for most invoices
        return row.rungs[0] if row.rungs else None
    above = -1
    for place, rung in enumerate(row.rungs):
        if rung.step in taken:
            above = place
    if above + 1 >= len(row.rungs):
        return None
    rung = row.rungs[above + 1]
    if above < 0:
        return rung
    before = row.rungs[above]
    return Rung(rung.step, max(rung.day, (taken[before.step] - start_on).days + rung.day - before.day))


def early_steps(row: Row, invoice: Invoice, taken: Taken) -> list[tuple[Step, date, date]]:
    """List the steps up to the due date in the order of their days: each with its first and its last right day."""
    if invoice.due_on is None:
        return []
    due_on = starts_on(invoice)
    days = _early_days(row, invoice, due_on)
    steps: list[tuple[Step, date, date]] = []
    for place, (step, on) in enumerate(days):
        following = days[place + 1][1] if place + 1 < len(days) else due_on + timedelta(days=_SHORT_TERMS_DAYS)
        last_on = _last_right_day(step, invoice, due_on, following)
        asked_too_late = step is Step.VERIFY_RECEIPT and any(rung in taken for rung in RUNGS)  # the due date was moved
        if on <= last_on and not asked_too_late:
            steps.append((step, on, last_on))
    return steps


def _early_days(row: Row, invoice: Invoice, due_on: date) -> list[tuple[Step, date]]:
    days: list[tuple[Step, date]] = []
    if row.verify_receipt is not None:
        days.append((Step.VERIFY_RECEIPT, invoice.issued_on + timedelta(days=row.verify_receipt)))
    if row.discount_ending is not None and invoice.discount is not None:
        days.append((Step.DISCOUNT_ENDING, invoice.discount.until_on + timedelta(days=row.discount_ending)))
    if row.before_due is not None:
        days.append((Step.BEFORE_DUE, max(due_on + timedelta(days=row.before_due), invoice.issued_on)))
    if row.due_today is not None:
        days.append((Step.DUE_TODAY, due_on))
    days.sort(key=lambda each: each[1])
    return days


def _last_right_day(step: Step, invoice: Invoice, due_on: date, following_on: date) -> date:
    if step is Step.DUE_TODAY:
        return due_on  # a day later its text would be untrue
    if step is Step.DISCOUNT_ENDING and invoice.discount is not None:
        return invoice.discount.until_on
    before_due = due_on - timedelta(days=1)
    if step is Step.VERIFY_RECEIPT:
        return min(before_due, following_on - timedelta(days=_SHORT_TERMS_DAYS))
    return before_due


def early_due(row: Row, invoice: Invoice, taken: Taken, today: date, leaves_on: date) -> Step | None:
    """Find the step before the due date that is right today, and will still be on the day the mail can leave."""
    found: Step | None = None
    for step, on, last_on in early_steps(row, invoice, taken):
        if step in taken:
            found = None  # whatever comes before a step that was taken is over
        elif on <= today and leaves_on <= last_on:
            found = step
    return found


def task_due(row: Row, invoice: Invoice, taken: Taken, today: date) -> Step | None:
    """Find the most advanced task that is due, was not made yet, and is above every task made."""
    due: Step | None = None
    start_on = starts_on(invoice)
    since = (today - start_on).days
    if since < 0:
        return None
    for task in row.tasks:
        if task.step in taken:
            due = None
        elif (day := _task_day(task, start_on, taken)) is not None and day <= since:
            due = task.step
    return due


def _task_day(task: TaskDay, start_on: date, taken: Taken) -> int | None:
    """Tell from which day a task is due, counted from the start; ``None`` while the mail before it was not sent."""
    if task.after is None:
        return task.day
    before_on = taken.get(task.after)
    return None if before_on is None else max(task.day, (before_on - start_on).days + task.gap)


def suspension_day(row: Row, invoice: Invoice, notice_on: date) -> date | None:
    """Tell the day a final notice that leaves on ``notice_on`` has to name."""
    for task in row.tasks:
        if task.step is Step.PROPOSE_SUSPENSION:
            gap = task.gap if task.after is Step.FINAL_NOTICE else 0
            return max(starts_on(invoice) + timedelta(days=task.day), notice_on + timedelta(days=gap))
    return None


def tell_owner_due(row: Row, invoice: Invoice, taken: Taken, today: date) -> bool:
    """Tell whether its owner has to hear of the delay."""
    if row.tell_owner is None or Step.TELL_OWNER in taken:
        return False
    return today >= starts_on(invoice) + timedelta(days=row.tell_owner)


def upcoming(row: Row, invoice: Invoice, taken: Taken, today: date, *, fees: bool) -> Upcoming | None:
    """Find what comes next after today if nothing changes: the earliest step that was not taken yet."""
    start_on = starts_on(invoice)
    since = (today - start_on).days
    days: list[tuple[int, Step]] = []
    if since <= 0:
        early = early_steps(row, invoice, taken)
        days += [((on - start_on).days, step) for step, on, _ in early if step not in taken]
    rung = _next_rung(row, start_on, taken)
    if rung is not None:
        days.append((rung.day, rung.step))
    for task in row.tasks:
        if task.step not in taken and (day := _task_day(task, start_on, taken)) is not None:
            days.append((day, task.step))
    if row.tell_owner is not None and Step.TELL_OWNER not in taken:
        days.append((row.tell_owner, Step.TELL_OWNER))
    if fees and row.late_fee is not None and Step.LATE_FEE not in taken:
        days.append((row.late_fee, Step.LATE_FEE))
    first: tuple[int, Step] | None = None
    for each in days:
        if each[0] > since and (first is None or each[0] < first[0]):
            first = each
    return Upcoming(first[1], start_on + timedelta(days=first[0])) if first is not None else None
