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

DUNNING_LEVELS = (Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE)
TASK_STEPS = (Step.CALL, Step.ESCALATION_CALL, Step.PROPOSE_SUSPENSION, Step.HAND_OFF_REVIEW)
EARLY_STEPS = (Step.RECEIPT_CHECK, Step.DISCOUNT_ENDING, Step.BEFORE_DUE, Step.DUE_TODAY)
EMAIL_STEPS = (*EARLY_STEPS, *DUNNING_LEVELS)
HARDNESS = {step: 2 * place for place, step in enumerate(Step)}
HARDNESS[Step.PROMISE_BROKEN] = HARDNESS[Step.SECOND_NOTICE] + 1  # an offer or a final notice must keep its own words

_MIN_EARLY_GAP_DAYS = 5  # an early step with fewer days than this to the next one is dropped

CompletionDates = Mapping[Step, date]  # what was done for one invoice: the step and the day of it


class StepKind(StrEnum):
    """How a step is done."""

    EMAIL = "email"
    CALL = "call"
    INTERNAL = "internal"
    LEDGER = "ledger"
    TASK = "task"


class DunningLevel(NamedTuple):
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
class Schedule:
    """The days of one segment and size; ``None``: off. ``by_call`` are mails done by telephone here."""

    receipt_check: int | None
    discount_ending: int | None
    before_due: int | None
    due_today: int | None
    levels: tuple[DunningLevel, ...]
    tasks: tuple[TaskDay, ...]
    notify_owner: int | None
    late_fee: int | None
    by_call: frozenset[Step]

    @classmethod
    def from_days(cls, days: Mapping[Step, int | None], by_call: frozenset[Step]) -> Schedule:
        """Compile the days of one cell of the tables."""
        levels = tuple(DunningLevel(step, day) for step in DUNNING_LEVELS if (day := days[step]) is not None)
        tasks = tuple(_build_task_day(step, day, levels) for step in TASK_STEPS if (day := days[step]) is not None)
        early = {step.value: days[step] for step in EARLY_STEPS}
        return cls(
            **early,
            levels=levels,
            tasks=tasks,
            notify_owner=days[Step.NOTIFY_OWNER],
            late_fee=days[Step.LATE_FEE],
            by_call=by_call,
        )


def _build_task_day(step: Step, day: int, levels: tuple[DunningLevel, ...]) -> TaskDay:
    before = [level for level in levels if level.day <= day]
    return TaskDay(step, day, before[-1].step, day - before[-1].day) if before else TaskDay(step, day, None, 0)


class UpcomingStep(NamedTuple):
    """A step that is due from a day on."""

    step: Step
    on: date


def starts_on(invoice: Invoice) -> date:
    """Tell the day the timetable counts from: the due date, but never a day before the invoice existed."""
    due_on, issued_on = invoice.due_on, invoice.issued_on
    return due_on if due_on is not None and due_on > issued_on else issued_on  # hot: no call of max


def next_level(schedule: Schedule, invoice: Invoice, completed: CompletionDates) -> UpcomingStep | None:
    """Find the next mail after the due date: the first above everything taken, and the day from which it is due."""
    start_on = starts_on(invoice)
    found = _next_level(schedule, start_on, completed)
    return UpcomingStep(found.step, start_on + timedelta(days=found.day)) if found is not None else None


def _next_level(schedule: Schedule, start_on: date, completed: CompletionDates) -> DunningLevel | None:
    """Find the next rung with its day as it is by now: counted from the start, never too close to the rung before."""
    if not completed:  # hot: nothing was done yet for most invoices
        return schedule.levels[0] if schedule.levels else None
    above = -1
    for place, level in enumerate(schedule.levels):
        if level.step in completed:
            above = place
    if above + 1 >= len(schedule.levels):
        return None
    level = schedule.levels[above + 1]
    if above < 0:
        return level
    before = schedule.levels[above]
    return DunningLevel(level.step, max(level.day, (completed[before.step] - start_on).days + level.day - before.day))


def early_steps(schedule: Schedule, invoice: Invoice, completed: CompletionDates) -> list[tuple[Step, date, date]]:
    """List the steps up to the due date in the order of their days: each with its first and its last right day."""
    if invoice.due_on is None:
        return []
    due_on = starts_on(invoice)
    days = _early_days(schedule, invoice, due_on)
    steps: list[tuple[Step, date, date]] = []
    for place, (step, on) in enumerate(days):
        following = days[place + 1][1] if place + 1 < len(days) else due_on + timedelta(days=_MIN_EARLY_GAP_DAYS)
        last_on = _last_valid_on(step, invoice, due_on, following)
        asked_too_late = step is Step.RECEIPT_CHECK and any(
            level in completed for level in DUNNING_LEVELS
        )  # the due date was moved
        if on <= last_on and not asked_too_late:
            steps.append((step, on, last_on))
    return steps


def _early_days(schedule: Schedule, invoice: Invoice, due_on: date) -> list[tuple[Step, date]]:
    days: list[tuple[Step, date]] = []
    if schedule.receipt_check is not None:
        days.append((Step.RECEIPT_CHECK, invoice.issued_on + timedelta(days=schedule.receipt_check)))
    if schedule.discount_ending is not None and invoice.discount is not None:
        days.append((Step.DISCOUNT_ENDING, invoice.discount.ends_on + timedelta(days=schedule.discount_ending)))
    if schedule.before_due is not None:
        days.append((Step.BEFORE_DUE, max(due_on + timedelta(days=schedule.before_due), invoice.issued_on)))
    if schedule.due_today is not None:
        days.append((Step.DUE_TODAY, due_on))
    days.sort(key=lambda each: each[1])
    return days


def _last_valid_on(step: Step, invoice: Invoice, due_on: date, following_on: date) -> date:
    if step is Step.DUE_TODAY:
        return due_on  # a day later its text would be untrue
    if step is Step.DISCOUNT_ENDING and invoice.discount is not None:
        return invoice.discount.ends_on
    before_due = due_on - timedelta(days=1)
    if step is Step.RECEIPT_CHECK:
        return min(before_due, following_on - timedelta(days=_MIN_EARLY_GAP_DAYS))
    return before_due


def early_step_due(
    schedule: Schedule, invoice: Invoice, completed: CompletionDates, today: date, sends_on: date
) -> Step | None:
    """Find the step before the due date that is right today, and will still be on the day the mail can leave."""
    found: Step | None = None
    for step, on, last_on in early_steps(schedule, invoice, completed):
        if step in completed:
            found = None  # whatever comes before a step that was taken is over
        elif on <= today and sends_on <= last_on:
            found = step
    return found


def task_step_due(schedule: Schedule, invoice: Invoice, completed: CompletionDates, today: date) -> Step | None:
    """Find the most advanced task that is due, was not made yet, and is above every task made."""
    due: Step | None = None
    start_on = starts_on(invoice)
    since = (today - start_on).days
    if since < 0:
        return None
    for task in schedule.tasks:
        if task.step in completed:
            due = None
        elif (day := _task_day(task, start_on, completed)) is not None and day <= since:
            due = task.step
    return due


def _task_day(task: TaskDay, start_on: date, completed: CompletionDates) -> int | None:
    """Tell from which day a task is due, counted from the start; ``None`` while the mail before it was not sent."""
    if task.after is None:
        return task.day
    before_on = completed.get(task.after)
    return None if before_on is None else max(task.day, (before_on - start_on).days + task.gap)


def suspension_date(schedule: Schedule, invoice: Invoice, notice_on: date) -> date | None:
    """Tell the day a final notice that leaves on ``notice_on`` has to name."""
    for task in schedule.tasks:
        if task.step is Step.PROPOSE_SUSPENSION:
            gap = task.gap if task.after is Step.FINAL_NOTICE else 0
            return max(starts_on(invoice) + timedelta(days=task.day), notice_on + timedelta(days=gap))
    return None


def notify_owner_due(schedule: Schedule, invoice: Invoice, completed: CompletionDates, today: date) -> bool:
    """Tell whether its owner has to hear of the delay."""
    if schedule.notify_owner is None or Step.NOTIFY_OWNER in completed:
        return False
    return today >= starts_on(invoice) + timedelta(days=schedule.notify_owner)


def upcoming_step(
    schedule: Schedule, invoice: Invoice, completed: CompletionDates, today: date, *, fees_enabled: bool
) -> UpcomingStep | None:
    """Find what comes next after today if nothing changes: the earliest step that was not taken yet."""
    start_on = starts_on(invoice)
    since = (today - start_on).days
    days: list[tuple[int, Step]] = []
    if since <= 0:
        early = early_steps(schedule, invoice, completed)
        days += [((on - start_on).days, step) for step, on, _ in early if step not in completed]
    level = _next_level(schedule, start_on, completed)
    if level is not None:
        days.append((level.day, level.step))
    for task in schedule.tasks:
        if task.step not in completed and (day := _task_day(task, start_on, completed)) is not None:
            days.append((day, task.step))
    if schedule.notify_owner is not None and Step.NOTIFY_OWNER not in completed:
        days.append((schedule.notify_owner, Step.NOTIFY_OWNER))
    if fees_enabled and schedule.late_fee is not None and Step.LATE_FEE not in completed:
        days.append((schedule.late_fee, Step.LATE_FEE))
    first: tuple[int, Step] | None = None
    for each in days:
        if each[0] > since and (first is None or each[0] < first[0]):
            first = each
    return UpcomingStep(first[1], start_on + timedelta(days=first[0])) if first is not None else None
