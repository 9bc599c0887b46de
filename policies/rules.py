"""The rules a timetable has to keep, whoever writes it: order, gaps, frequency, signs, warnings before consequences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from policies.document import Findings, Problem, Section
from policies.receivables import Segment, Size, Step

TABLED = tuple(
    step for step in Step if step not in (Step.THANK_YOU, Step.DISPUTE_RAISED, Step.PROMISE_BROKEN)
)  # the steps whose tables hold days
CONTACTS = (
    Step.BEFORE_DUE,
    Step.DUE_TODAY,
    Step.PAST_DUE,
    Step.CALL,
    Step.SECOND_NOTICE,
    Step.PLAN_OFFER,
    Step.CALL_SENIOR,
    Step.FINAL_NOTICE,
)  # what reaches the customer, in the order in which it hardens
_LADDER = (*CONTACTS, Step.PROPOSE_SUSPENSION, Step.HAND_OFF_REVIEW)

GAP_DAYS = 3
WEEK_DAYS, CONTACTS_A_WEEK = 7, 2
MONTH_DAYS, CONTACTS_A_MONTH = 30, 7
NOTICE_DAYS = 10  # from the final notice to the proposal to suspend
WARNING_DAYS = 7  # from the first past-due mail to a fee

_SIGNS: dict[Step, tuple[int, int, str]] = {
    Step.VERIFY_RECEIPT: (1, 120, "counts days after the issue date, so it is positive"),
    Step.DISCOUNT_ENDING: (-30, 0, "counts days before the discount ends, so it is negative"),
    Step.BEFORE_DUE: (-60, -1, "counts days before the due date, so it is negative"),
    Step.DUE_TODAY: (0, 0, "is the due date itself"),
}
_AFTER_DUE = (1, 730, "counts days after the due date, so it is positive")

Cell = tuple[Segment, Size]
Days = Mapping[Step, Mapping[Cell, "int | None"]]


def day(section: Section, key: str, step: Step) -> int | None:
    """Read the day of a step, and refuse one on the wrong side of what it counts from."""
    value = section.raw(key)
    low, high, why = _SIGNS.get(step, _AFTER_DUE)
    if value == "off":
        return None
    if type(value) is int and low <= value <= high:
        return value
    wanted = f"from {low} to {high}" if low < high else str(low)
    default = section.wrong(key, f'"off" or a day {wanted} ({step.value} {why})')
    return default if type(default) is int else None


class _Breach(NamedTuple):
    steps: tuple[Step, ...]
    text: str


def check(days: Days, findings: Findings) -> None:
    """Note every breach of a rule, once for all cells it occurs in."""
    found: dict[_Breach, list[Cell]] = {}
    for segment in Segment:
        for size in Size:
            row = {step: table[segment, size] for step, table in days.items()}
            for breach in _breaches({step: at for step, at in row.items() if at is not None}):
                found.setdefault(breach, []).append((segment, size))
    for breach, cells in found.items():
        _note(breach, cells, findings)


def _note(breach: _Breach, cells: list[Cell], findings: Findings) -> None:
    segment, size = cells[0]
    line = findings.own_line([(step.value, segment.value, size.value) for step in breach.steps])
    where = ", ".join(f"{segment.value} {size.value}" for segment, size in cells)
    findings.problems.append(Problem(line, f"{breach.text} ({where})"))


def _breaches(row: Mapping[Step, int]) -> Iterable[_Breach]:
    """Look at the days of one cell; steps that are off are not in it."""
    yield from _order(row)
    yield from _crowding(row)
    yield from _warnings(row)


def _order(row: Mapping[Step, int]) -> Iterable[_Breach]:
    ladder = [step for step in _LADDER if step in row]
    for softer, harder in pairwise(ladder):
        if row[harder] <= row[softer]:
            text = f"{harder.value} on day {row[harder]} must come after {softer.value} on day {row[softer]}"
            yield _Breach((harder, softer), text)
    if Step.TELL_OWNER in row and row[Step.TELL_OWNER] < row.get(Step.PAST_DUE, 0):
        yield _Breach((Step.TELL_OWNER, Step.PAST_DUE), "tell_owner must not come before past_due")


def _crowding(row: Mapping[Step, int]) -> Iterable[_Breach]:
    contacts = [step for step in CONTACTS if step in row]
    for one, two in pairwise(contacts):
        if 0 < row[two] - row[one] < GAP_DAYS:
            text = f"{one.value} on day {row[one]} and {two.value} on day {row[two]} need {GAP_DAYS} days between them"
            yield _Breach((two, one), text)
    for limit, span in ((CONTACTS_A_WEEK, WEEK_DAYS), (CONTACTS_A_MONTH, MONTH_DAYS)):
        for start in range(len(contacts) - limit):
            crowd = contacts[start : start + limit + 1]
            first, last = row[crowd[0]], row[crowd[-1]]
            if 0 < last - first < span:
                names = f"{crowd[0].value} on day {first} to {crowd[-1].value} on day {last}"
                yield _Breach(tuple(reversed(crowd)), f"{names}: more than {limit} contacts in {span} days")


def _warnings(row: Mapping[Step, int]) -> Iterable[_Breach]:
    harder = next((step for step in (Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE) if step in row), None)
    if harder and Step.PAST_DUE not in row:
        yield _Breach((Step.PAST_DUE, harder), f"{harder.value} needs the friendly past_due before it, which is off")
    suspension, notice = row.get(Step.PROPOSE_SUSPENSION), row.get(Step.FINAL_NOTICE)
    steps = (Step.PROPOSE_SUSPENSION, Step.FINAL_NOTICE)
    if suspension is not None and notice is None:
        yield _Breach(steps, "propose_suspension needs a final_notice before it, which is off")
    elif suspension is not None and notice is not None and notice < suspension < notice + NOTICE_DAYS:
        text = f"propose_suspension on day {suspension} needs {NOTICE_DAYS} days after final_notice on day {notice}"
        yield _Breach(steps, text)
    fee, warned = row.get(Step.LATE_FEE), row.get(Step.PAST_DUE)
    if fee is not None and warned is None:
        yield _Breach(
            (Step.LATE_FEE, Step.PAST_DUE), "late_fee needs a past_due mail before it as a warning, which is off"
        )
    elif fee is not None and warned is not None and fee < warned + WARNING_DAYS:
        text = f"late_fee on day {fee} needs {WARNING_DAYS} days after the warning, past_due on day {warned}"
        yield _Breach((Step.LATE_FEE, Step.PAST_DUE), text)
