"""How habits shift the timetable of one customer, never past its rules."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from policies.payment_behaviour import CHRONICALLY_LATE_DAYS, ON_TIME_STREAK, STEADY_SPREAD_DAYS
from policies.receivables import PaymentBehaviour, Step
from policies.schedule import DunningLevel, Schedule, TaskDay
from policies.schedule_rules import MIN_GAP_DAYS

_CALL_SOONER_DAYS = 2
_MIN_HISTORY = 3  # so few settled invoices are no habit


def adjust_schedule(schedule: Schedule, payment_behaviour: PaymentBehaviour) -> Schedule:
    """Give the row as it holds for a customer with these habits."""
    chronic = payment_behaviour.broke_promise or (
        payment_behaviour.closed_invoices >= _MIN_HISTORY and payment_behaviour.median_days_late > CHRONICALLY_LATE_DAYS
    )
    return _adjust(
        schedule, chronic, _usual_pay_day(payment_behaviour), payment_behaviour.on_time_streak >= ON_TIME_STREAK
    )


def _usual_pay_day(payment_behaviour: PaymentBehaviour) -> int:
    """Tell the day after the due date on which he always pays; 0 where there is none."""
    steady = payment_behaviour.high_days_late - payment_behaviour.low_days_late <= STEADY_SPREAD_DAYS
    return (
        round(payment_behaviour.high_days_late) if steady and payment_behaviour.closed_invoices >= ON_TIME_STREAK else 0
    )


@lru_cache(maxsize=1024)
def _adjust(schedule: Schedule, chronically_late: bool, usual_pay_day: int, always_on_time: bool) -> Schedule:  # noqa: FBT001 - a cache key
    """Shift: who is always late is called first and sooner, who always pays on a day is left alone until after it."""
    if always_on_time:
        schedule = replace(schedule, receipt_check=None)
    if not schedule.levels or schedule.levels[0].step is not Step.PAST_DUE:
        return schedule
    if chronically_late:
        return _call_sooner(schedule)
    return (
        _postpone_first_reminder(schedule, usual_pay_day + 1) if usual_pay_day >= schedule.levels[0].day else schedule
    )


def _call_sooner(schedule: Schedule) -> Schedule:
    """Call two days before the friendly mail would leave; the mails keep their days."""
    call_on = max(schedule.levels[0].day - _CALL_SOONER_DAYS, 1)
    others = tuple(task for task in schedule.tasks if task.step is not Step.CALL)
    return replace(schedule, tasks=(TaskDay(Step.CALL, call_on, None, 0), *others))


def _postpone_first_reminder(schedule: Schedule, day: int) -> Schedule:
    """Put the friendly mail off, but leave the gap to the step after it."""
    following = schedule.levels[1:]
    latest = following[0].day - MIN_GAP_DAYS if following else day
    first = DunningLevel(Step.PAST_DUE, max(schedule.levels[0].day, min(day, latest)))
    return replace(schedule, levels=(first, *following))
