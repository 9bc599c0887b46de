"""How habits shift the timetable of one customer, never past its rules."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from policies.habits import CHRONIC_DAYS, ON_TIME_RUN, STEADY_DAYS
from policies.receivables import Habits, Step
from policies.rules import GAP_DAYS
from policies.timetable import Row, Rung, TaskDay

_SOONER_DAYS = 2
_LEAST_HISTORY = 3  # so few settled invoices are no habit


def shifted(row: Row, habits: Habits) -> Row:
    """Give the row as it holds for a customer with these habits."""
    chronic = habits.broke_promise or (habits.settled >= _LEAST_HISTORY and habits.median_days_late > CHRONIC_DAYS)
    return _shifted(row, chronic, _usual_day(habits), habits.on_time_run >= ON_TIME_RUN)


def _usual_day(habits: Habits) -> int:
    """Tell the day after the due date on which he always pays; 0 where there is none."""
    steady = habits.high_days_late - habits.low_days_late <= STEADY_DAYS
    return round(habits.high_days_late) if steady and habits.settled >= ON_TIME_RUN else 0


@lru_cache(maxsize=1024)
def _shifted(row: Row, chronic: bool, usual_day: int, prompt: bool) -> Row:  # noqa: FBT001 - a cache's key
    """Shift: who is always late is called first and sooner, who always pays on a day is left alone until after it."""
    if prompt:
        row = replace(row, verify_receipt=None)
    if not row.rungs or row.rungs[0].step is not Step.PAST_DUE:
        return row
    if chronic:
        return _sooner(row)
    return _later(row, usual_day + 1) if usual_day >= row.rungs[0].day else row


def _sooner(row: Row) -> Row:
    """Call two days before the friendly mail would leave; the mails keep their days."""
    call_on = max(row.rungs[0].day - _SOONER_DAYS, 1)
    others = tuple(task for task in row.tasks if task.step is not Step.CALL)
    return replace(row, tasks=(TaskDay(Step.CALL, call_on, None, 0), *others))


def _later(row: Row, day: int) -> Row:
    """Put the friendly mail off, but leave the gap to the step after it."""
    following = row.rungs[1:]
    latest = following[0].day - GAP_DAYS if following else day
    first = Rung(Step.PAST_DUE, max(row.rungs[0].day, min(day, latest)))
    return replace(row, rungs=(first, *following))
