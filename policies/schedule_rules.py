"""The rules a timetable has to keep, whoever writes it: order, gaps, frequency, signs, warnings before consequences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from policies.document import Problem, ProblemCollector, Section
from policies.receivables import Segment, Size, Step

SCHEDULED_STEPS = tuple(
    step for step in Step if step not in (Step.THANK_YOU, Step.DISPUTE_RAISED, Step.PROMISE_BROKEN)
)  # the steps whose tables hold days
CONTACT_STEPS = (
    Step.BEFORE_DUE,
    Step.DUE_TODAY,
    Step.PAST_DUE,
    Step.CALL,
    Step.SECOND_NOTICE,
    Step.PLAN_OFFER,
    Step.ESCALATION_CALL,
    Step.FINAL_NOTICE,
)  # what reaches the customer, in the order in which it hardens
_ESCALATION_ORDER = (*CONTACT_STEPS, Step.PROPOSE_SUSPENSION, Step.HAND_OFF_REVIEW)

MIN_GAP_DAYS = 3
WEEK_DAYS, MAX_CONTACTS_PER_WEEK = 7, 2
MONTH_DAYS, MAX_CONTACTS_PER_MONTH = 30, 7
MIN_NOTICE_DAYS = 10  # from the final notice to the proposal to suspend
MIN_WARNING_DAYS = 7  # from the first past-due mail to a fee

_DAY_RANGES: dict[Step, tuple[int, int, str]] = {
    Step.RECEIPT_CHECK: (1, 120, "counts days after the issue date, so it is positive"),
    Step.DISCOUNT_ENDING: (-30, 0, "counts days before the discount ends, so it is negative"),
    Step.BEFORE_DUE: (-60, -1, "counts days before the due date, so it is negative"),
    Step.DUE_TODAY: (0, 0, "is the due date itself"),
}
_AFTER_DUE_RANGE = (1, 730, "counts days after the due date, so it is positive")

Cell = tuple[Segment, Size]
DaysByStep = Mapping[Step, Mapping[Cell, "int | None"]]


def read_day(section: Section, key: str, step: Step) -> int | None:
    """Read the day of a step, and refuse one on the wrong side of what it counts from."""
    value = section.raw(key)
    low, high, reason = _DAY_RANGES.get(step, _AFTER_DUE_RANGE)
    if value == "off":
        return None
    if type(value) is int and low <= value <= high:
        return value
    wanted = f"from {low} to {high}" if low < high else str(low)
    default = section.report_invalid(key, f'"off" or a day {wanted} ({step.value} {reason})')
    return default if type(default) is int else None


class _Breach(NamedTuple):
    steps: tuple[Step, ...]
    text: str


def check_schedule(days: DaysByStep, findings: ProblemCollector) -> None:
    """Note every breach of a rule, once for all cells it occurs in."""
    found: dict[_Breach, list[Cell]] = {}
    for segment in Segment:
        for size in Size:
            row = {step: table[segment, size] for step, table in days.items()}
            for breach in _breaches({step: at for step, at in row.items() if at is not None}):
                found.setdefault(breach, []).append((segment, size))
    for breach, cells in found.items():
        _report(breach, cells, findings)


def _report(breach: _Breach, cells: list[Cell], findings: ProblemCollector) -> None:
    segment, size = cells[0]
    line = findings.explicit_line([(step.value, segment.value, size.value) for step in breach.steps])
    where = ", ".join(f"{segment.value} {size.value}" for segment, size in cells)
    findings.problems.append(Problem(line, f"{breach.text} ({where})"))


def _breaches(days: Mapping[Step, int]) -> Iterable[_Breach]:
    """Look at the days of one cell; steps that are off are not in it."""
    yield from _order_breaches(days)
    yield from _frequency_breaches(days)
    yield from _warning_breaches(days)


def _order_breaches(days: Mapping[Step, int]) -> Iterable[_Breach]:
    ladder = [step for step in _ESCALATION_ORDER if step in days]
    for softer, harder in pairwise(ladder):
        if days[harder] <= days[softer]:
            text = f"{harder.value} on day {days[harder]} must come after {softer.value} on day {days[softer]}"
            yield _Breach((harder, softer), text)
    if Step.NOTIFY_OWNER in days and days[Step.NOTIFY_OWNER] < days.get(Step.PAST_DUE, 0):
        yield _Breach((Step.NOTIFY_OWNER, Step.PAST_DUE), "notify_owner must not come before past_due")


def _frequency_breaches(days: Mapping[Step, int]) -> Iterable[_Breach]:
    contacts = [step for step in CONTACT_STEPS if step in days]
    for one, two in pairwise(contacts):
        if 0 < days[two] - days[one] < MIN_GAP_DAYS:
            text = f"{one.value} on day {days[one]} and {two.value} on day {days[two]} need {MIN_GAP_DAYS} days between them"
            yield _Breach((two, one), text)
    for limit, span in ((MAX_CONTACTS_PER_WEEK, WEEK_DAYS), (MAX_CONTACTS_PER_MONTH, MONTH_DAYS)):
        for start in range(len(contacts) - limit):
            crowd = contacts[start : start + limit + 1]
            first, last = days[crowd[0]], days[crowd[-1]]
            if 0 < last - first < span:
                names = f"{crowd[0].value} on day {first} to {crowd[-1].value} on day {last}"
                yield _Breach(tuple(reversed(crowd)), f"{names}: more than {limit} contacts in {span} days")


def _warning_breaches(days: Mapping[Step, int]) -> Iterable[_Breach]:
    harder = next((step for step in (Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE) if step in days), None)
    if harder and Step.PAST_DUE not in days:
        yield _Breach((Step.PAST_DUE, harder), f"{harder.value} needs the friendly past_due before it, which is off")
    suspension, notice = days.get(Step.PROPOSE_SUSPENSION), days.get(Step.FINAL_NOTICE)
    steps = (Step.PROPOSE_SUSPENSION, Step.FINAL_NOTICE)
    if suspension is not None and notice is None:
        yield _Breach(steps, "propose_suspension needs a final_notice before it, which is off")
    elif suspension is not None and notice is not None and notice < suspension < notice + MIN_NOTICE_DAYS:
        text = f"propose_suspension on day {suspension} needs {MIN_NOTICE_DAYS} days after final_notice on day {notice}"
        yield _Breach(steps, text)
    fee, warned = days.get(Step.LATE_FEE), days.get(Step.PAST_DUE)
    if fee is not None and warned is None:
        yield _Breach(
            (Step.LATE_FEE, Step.PAST_DUE), "late_fee needs a past_due mail before it as a warning, which is off"
        )
    elif fee is not None and warned is not None and fee < warned + MIN_WARNING_DAYS:
        text = f"late_fee on day {fee} needs {MIN_WARNING_DAYS} days after the warning, past_due on day {warned}"
        yield _Breach((Step.LATE_FEE, Step.PAST_DUE), text)
