"""The reminder schedule: which step is due for an invoice today, given its dates and the steps completed so far.

A ``Schedule`` holds the days of one customer segment and invoice size. The emails after the due date are dunning
levels, reached one by one: a level's day is its day in the schedule, or the day of the level before it plus the gap
between the two in the schedule, whichever is later. A missed run, or an old ledger that is connected late, therefore
never brings a more severe email than the next level, nor two at once.
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
_ANNOUNCEMENTS = (Step.BEFORE_DUE, Step.DUE_TODAY)
SEVERITY = {step: 2 * position for position, step in enumerate(Step)}
SEVERITY[Step.PROMISE_BROKEN] = SEVERITY[Step.SECOND_NOTICE] + 1  # a plan offer or final notice keeps its own text

_MIN_EARLY_GAP_DAYS = 5  # an early step with fewer days than this before the next one is left out

CompletionDates = Mapping[Step, date]  # the completed steps of one invoice, each with its date


class StepKind(StrEnum):
    """How a step is carried out."""

    EMAIL = "email"
    CALL = "call"
    INTERNAL = "internal"
    LEDGER = "ledger"
    TASK = "task"


class DunningLevel(NamedTuple):
    """An email after the due date, and its day in the schedule."""

    step: Step
    day: int


class TaskDay(NamedTuple):
    """A task after the due date: its day, and the dunning level that comes first, ``gap`` days before it."""

    step: Step
    day: int
    after: Step | None
    gap: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The days of one segment and size, ``None`` where a step is off. ``by_call`` are the emails made by phone."""

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
        """Compile the days of one segment and size."""
        levels = tuple(DunningLevel(step, day) for step in DUNNING_LEVELS if (day := days[step]) is not None)
        tasks = tuple(build_task_day(step, day, levels) for step in TASK_STEPS if (day := days[step]) is not None)
        early = {step.value: days[step] for step in EARLY_STEPS}
        return cls(
            **early,
            levels=levels,
            tasks=tasks,
            notify_owner=days[Step.NOTIFY_OWNER],
            late_fee=days[Step.LATE_FEE],
            by_call=by_call,
        )


def build_task_day(step: Step, day: int, levels: tuple[DunningLevel, ...]) -> TaskDay:
    """Return the day of a task, with the email after which it comes."""
    before = [level for level in levels if level.day <= day]
    return TaskDay(step, day, before[-1].step, day - before[-1].day) if before else TaskDay(step, day, None, 0)


class UpcomingStep(NamedTuple):
    """A step and the date from which it is due."""

    step: Step
    on: date


def payable_on(invoice: Invoice) -> date:
    """Return the last date on which an invoice is paid in time: the due date, but never before the invoice date.

    A due date that is not a business day may have moved on (``payable_dates.py``).
    """
    due_on, issued_on = invoice.payable_until_on or invoice.due_on, invoice.issued_on
    return due_on if due_on is not None and due_on > issued_on else issued_on  # hot: no call of max


def starts_on(invoice: Invoice) -> date:
    """Return the date the schedule and late fees count from.

    That is the date by which it was payable, but not before the customer could know of that.
    """
    start_on, known_on = payable_on(invoice), invoice.known_on
    return known_on if known_on is not None and known_on > start_on else start_on


def has_lapsed(step: Step, on: date, invoice: Invoice) -> bool:
    """Return whether a step completed on a day was about a due date that is no longer in force.

    What comes after the due date counts only if it came after the one in force; what announces the due date only if
    it announced that one. The account owner, who knows of the delay, is not alerted again.
    """
    if step in DUNNING_LEVELS or step in TASK_STEPS:
        return on <= starts_on(invoice)
    changed_on = invoice.due_changed_on
    return step in _ANNOUNCEMENTS and changed_on is not None and on < changed_on


def next_level(schedule: Schedule, invoice: Invoice, completed: CompletionDates) -> UpcomingStep | None:
    """Return the next email after the due date, above all completed levels, and the date from which it is due."""
    start_on = starts_on(invoice)
    found = _next_level(schedule, start_on, completed)
    return UpcomingStep(found.step, start_on + timedelta(days=found.day)) if found is not None else None


def _next_level(schedule: Schedule, start_on: date, completed: CompletionDates) -> DunningLevel | None:
    """Return the next level with the day it is on by now: never too close to the level before it."""
    if not completed:  # hot: most invoices have no completed step
        return schedule.levels[0] if schedule.levels else None
    reached = max((SEVERITY[step] for step in completed if step in DUNNING_LEVELS), default=0)  # by any schedule
    level = next((each for each in schedule.levels if SEVERITY[each.step] > reached), None)
    before = next((each for each in reversed(schedule.levels) if each.step in completed), None)
    if level is None or before is None:
        return level
    return DunningLevel(level.step, max(level.day, (completed[before.step] - start_on).days + level.day - before.day))


def early_steps(schedule: Schedule, invoice: Invoice) -> list[tuple[Step, date, date]]:
    """List the steps up to the due date in order, each with the first and the last date on which it makes sense."""
    if invoice.due_on is None:
        return []
    due_on = payable_on(invoice)
    days = _early_days(schedule, invoice, due_on)
    steps: list[tuple[Step, date, date]] = []
    for position, (step, on) in enumerate(days):
        is_last = position + 1 == len(days)
        following_on = due_on + timedelta(days=_MIN_EARLY_GAP_DAYS) if is_last else days[position + 1][1]
        last_on = _last_valid_on(step, invoice, due_on, following_on)
        if on <= last_on:
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
        return due_on  # a day later its text would be wrong
    if step is Step.DISCOUNT_ENDING and invoice.discount is not None:
        return invoice.discount.ends_on
    before_due = due_on - timedelta(days=1)
    if step is Step.RECEIPT_CHECK:
        return min(before_due, following_on - timedelta(days=_MIN_EARLY_GAP_DAYS))
    return before_due


def early_step_due(
    schedule: Schedule, invoice: Invoice, completed: CompletionDates, today: date, sends_on: date
) -> Step | None:
    """Return the early step that is due today and still makes sense on the date the email can be sent."""
    found: Step | None = None
    for step, on, last_on in early_steps(schedule, invoice):
        if step in completed:
            found = None  # every step before a completed one is over
        elif on <= today and sends_on <= last_on:
            found = step
    return found


def task_step_due(schedule: Schedule, invoice: Invoice, completed: CompletionDates, today: date) -> Step | None:
    """Return the most advanced task that is due and comes after all tasks created so far."""
    start_on = starts_on(invoice)
    days_late = (today - start_on).days
    if days_late < 0:
        return None
    due: Step | None = None
    for task in schedule.tasks:
        if task.step in completed:
            due = None
        elif (day := _task_day(task, start_on, completed)) is not None and day <= days_late:
            due = task.step
    return due


def _task_day(task: TaskDay, start_on: date, completed: CompletionDates) -> int | None:
    """Return the day from which a task is due; ``None`` while the email before it was not sent."""
    if task.after is None:
        return task.day
    before_on = completed.get(task.after)
    return None if before_on is None else max(task.day, (before_on - start_on).days + task.gap)


def suspension_date(schedule: Schedule, invoice: Invoice, notice_on: date) -> date | None:
    """Return the date that a final notice sent on ``notice_on`` has to name."""
    for task in schedule.tasks:
        if task.step is Step.PROPOSE_SUSPENSION:
            gap = task.gap if task.after is Step.FINAL_NOTICE else 0
            return max(starts_on(invoice) + timedelta(days=task.day), notice_on + timedelta(days=gap))
    return None


def notify_owner_due(schedule: Schedule, invoice: Invoice, completed: CompletionDates, today: date) -> bool:
    """Return whether the account owner is to be alerted today."""
    if schedule.notify_owner is None or Step.NOTIFY_OWNER in completed:
        return False
    return today >= starts_on(invoice) + timedelta(days=schedule.notify_owner)


def upcoming_step(
    schedule: Schedule, invoice: Invoice, completed: CompletionDates, today: date, *, fees_enabled: bool
) -> UpcomingStep | None:
    """Return what comes next after today if nothing changes: the earliest step that is not completed."""
    start_on = starts_on(invoice)
    days_late = (today - start_on).days
    days: list[tuple[int, Step]] = []
    if today <= payable_on(invoice):
        early = early_steps(schedule, invoice)
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
        if each[0] > days_late and (first is None or each[0] < first[0]):
            first = each
    return UpcomingStep(first[1], start_on + timedelta(days=first[0])) if first is not None else None
