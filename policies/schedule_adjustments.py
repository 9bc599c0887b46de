"""Adjust the schedule of one customer to their payment behaviour, within the rules that every schedule keeps."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from policies.past_actions import Notice
from policies.payable_dates import common_business_day
from policies.payment_behaviour import CHRONICALLY_LATE_DAYS, ON_TIME_STREAK, STEADY_SPREAD_DAYS
from policies.receivables import Invoice, PaymentBehaviour, Step
from policies.schedule import DunningLevel, Schedule, TaskDay, build_task_day, starts_on, suspension_date
from policies.schedule_rules import MIN_GAP_DAYS
from policies.statement_context import StatementContext

_CALL_SOONER_DAYS = 2
_MIN_HISTORY = 3  # with fewer closed invoices than this there is no behaviour to speak of


def adjust_schedule(schedule: Schedule, behaviour: PaymentBehaviour) -> Schedule:
    """Return the schedule for a customer with this payment behaviour."""
    is_late_payer = behaviour.closed_invoices >= _MIN_HISTORY and behaviour.median_days_late > CHRONICALLY_LATE_DAYS
    is_prompt = behaviour.on_time_streak >= ON_TIME_STREAK
    return _adjust(schedule, is_late_payer or behaviour.broke_promise, _usual_pay_day(behaviour), is_prompt)


@lru_cache(maxsize=1024)
def without_plan_offer(schedule: Schedule) -> Schedule:
    """Return the schedule without the offer of a payment plan, for a balance that is too small for one."""
    levels = tuple(level for level in schedule.levels if level.step is not Step.PLAN_OFFER)
    tasks = tuple(build_task_day(task.step, task.day, levels) for task in schedule.tasks)
    return schedule if len(levels) == len(schedule.levels) else replace(schedule, levels=levels, tasks=tasks)


def after_named_date(schedule: Schedule, invoice: Invoice, context: StatementContext, notice: Notice) -> Schedule:
    """Return the schedule with no suspension proposed before the date that the final notice has named.

    A notice of the same day would name that date by this schedule unless the policy has changed since.
    """
    statement = context.statement
    own_on = suspension_date(schedule, invoice, notice.on)
    regions = {statement.holiday_region, statement.company.country}
    if own_on is None or common_business_day(own_on, regions, context.calendar) >= notice.suspension_on:
        return schedule
    named = (notice.suspension_on - starts_on(invoice)).days
    tasks = tuple(
        each._replace(day=max(each.day, named)) if each.step is Step.PROPOSE_SUSPENSION else each
        for each in schedule.tasks
    )
    return replace(schedule, tasks=tasks)


def _usual_pay_day(behaviour: PaymentBehaviour) -> int:
    """Return the day after the due date on which the customer always pays; 0 if there is none."""
    is_steady = behaviour.high_days_late - behaviour.low_days_late <= STEADY_SPREAD_DAYS
    return round(behaviour.high_days_late) if is_steady and behaviour.closed_invoices >= ON_TIME_STREAK else 0


@lru_cache(maxsize=1024)
def _adjust(schedule: Schedule, is_unreliable: bool, usual_pay_day: int, is_prompt: bool) -> Schedule:  # noqa: FBT001 - the key of a cache
    """Call unreliable customers first, and leave those who always pay on a certain day alone until after it."""
    if is_prompt:
        schedule = replace(schedule, receipt_check=None)
    if not schedule.levels or schedule.levels[0].step is not Step.PAST_DUE:
        return schedule
    if is_unreliable:
        return _call_sooner(schedule)
    return (
        _postpone_first_reminder(schedule, usual_pay_day + 1) if usual_pay_day >= schedule.levels[0].day else schedule
    )


def _call_sooner(schedule: Schedule) -> Schedule:
    """Call two days before the first reminder; the emails keep their days."""
    day = max(schedule.levels[0].day - _CALL_SOONER_DAYS, 1)
    others = tuple(task for task in schedule.tasks if task.step is not Step.CALL)
    return replace(schedule, tasks=(TaskDay(Step.CALL, day, None, 0), *others))


def _postpone_first_reminder(schedule: Schedule, day: int) -> Schedule:
    """Postpone the first reminder, but keep the gap to the level after it."""
    following = schedule.levels[1:]
    latest = following[0].day - MIN_GAP_DAYS if following else day
    first = DunningLevel(Step.PAST_DUE, max(schedule.levels[0].day, min(day, latest)))
    return replace(schedule, levels=(first, *following))
