"""The rules every reminder schedule keeps: order, gaps, contact limits, and a warning before consequences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from policies.document import Problem, ProblemCollector
from policies.receivables import Segment, Size, Step

SCHEDULED_STEPS = tuple(
    step
    for step in Step
    if step
    not in (
        Step.THANK_YOU,
        Step.WITHHOLDING_CERTIFICATE,
        Step.DISPUTE_RAISED,
        Step.PROMISE_BROKEN,
        Step.PAYMENT_RETURNED,
    )
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
)  # what reaches the customer, in order of severity
_ESCALATION_ORDER = (*CONTACT_STEPS, Step.PROPOSE_SUSPENSION, Step.HAND_OFF_REVIEW)

MIN_GAP_DAYS = 3
WEEK_DAYS, MAX_CONTACTS_PER_WEEK = 7, 2
MONTH_DAYS, MAX_CONTACTS_PER_MONTH = 30, 7
MIN_NOTICE_DAYS = 10  # from the final notice to the proposed suspension
MIN_WARNING_DAYS = 7  # from the first past-due email to a late fee

Cell = tuple[Segment, Size]
DaysByStep = Mapping[Step, Mapping[Cell, "int | None"]]


class _Breach(NamedTuple):
    steps: tuple[Step, ...]
    text: str


def check_schedule(days: DaysByStep, problems: ProblemCollector) -> None:
    """Note every breach of a rule, once for all the segments and sizes it occurs in."""
    found: dict[_Breach, list[Cell]] = {}
    for segment in Segment:
        for size in Size:
            in_use = {step: day for step, table in days.items() if (day := table[segment, size]) is not None}
            for breach in _breaches(in_use):
                found.setdefault(breach, []).append((segment, size))
    for breach, cells in found.items():
        _report(breach, cells, problems)


def _report(breach: _Breach, cells: list[Cell], problems: ProblemCollector) -> None:
    segment, size = cells[0]
    line = problems.explicit_line([(step.value, segment.value, size.value) for step in breach.steps])
    where = ", ".join(f"{segment.value} {size.value}" for segment, size in cells)
    paths = tuple(f"{step.value}.{segment.value}.{size.value}" for step in breach.steps for segment, size in cells)
    problems.problems.append(Problem(line, f"{breach.text} ({where})", paths))


def _breaches(days: Mapping[Step, int]) -> Iterable[_Breach]:
    """Find the breaches in the days of one segment and size; ``days`` has only the steps that are in use."""
    yield from _order_breaches(days)
    yield from _frequency_breaches(days)
    yield from _warning_breaches(days)


def _order_breaches(days: Mapping[Step, int]) -> Iterable[_Breach]:
    for softer, harder in pairwise(step for step in _ESCALATION_ORDER if step in days):
        if days[harder] <= days[softer]:
            text = f"{harder.value} on day {days[harder]} must come after {softer.value} on day {days[softer]}"
            yield _Breach((harder, softer), text)
    if Step.NOTIFY_OWNER in days and days[Step.NOTIFY_OWNER] < days.get(Step.PAST_DUE, 0):
        yield _Breach((Step.NOTIFY_OWNER, Step.PAST_DUE), "notify_owner must not come before past_due")


def _frequency_breaches(days: Mapping[Step, int]) -> Iterable[_Breach]:
    contacts = [step for step in CONTACT_STEPS if step in days]
    for one, two in pairwise(contacts):
        if 0 < days[two] - days[one] < MIN_GAP_DAYS:
            text = f"{one.value} on day {days[one]} and {two.value} on day {days[two]}"
            yield _Breach((two, one), f"{text} need {MIN_GAP_DAYS} days between them")
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
        yield _Breach((Step.PAST_DUE, harder), f"{harder.value} needs the first reminder, past_due, which is off")
    suspension, notice = days.get(Step.PROPOSE_SUSPENSION), days.get(Step.FINAL_NOTICE)
    steps = (Step.PROPOSE_SUSPENSION, Step.FINAL_NOTICE)
    if suspension is not None and notice is None:
        yield _Breach(steps, "propose_suspension needs a final_notice before it, which is off")
    elif suspension is not None and notice is not None and notice < suspension < notice + MIN_NOTICE_DAYS:
        text = f"propose_suspension on day {suspension} needs {MIN_NOTICE_DAYS} days after final_notice on day {notice}"
        yield _Breach(steps, text)
    fee, warned = days.get(Step.LATE_FEE), days.get(Step.PAST_DUE)
    steps = (Step.LATE_FEE, Step.PAST_DUE)
    if fee is not None and warned is None:
        yield _Breach(steps, "late_fee needs a past_due email before it as a warning, which is off")
    elif fee is not None and warned is not None and fee < warned + MIN_WARNING_DAYS:
        text = f"late_fee on day {fee} needs {MIN_WARNING_DAYS} days after the warning, past_due on day {warned}"
        yield _Breach(steps, text)
