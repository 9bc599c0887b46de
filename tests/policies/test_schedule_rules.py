"""The rules of every schedule, at their boundaries: gaps, contacts in a week and in a month, notices."""

from __future__ import annotations

import pytest

from policies.receivables import Step
from policies.schedule_rules import CONTACT_STEPS, _breaches

CROWDED = dict(zip(CONTACT_STEPS[-8:], (-3, 0, 4, 8, 12, 16, 20, 26), strict=True))


def breaches(days: dict[Step, int]) -> list[str]:
    return [breach.text for breach in _breaches(days)]


@pytest.mark.parametrize(("gap", "is_breach"), [(1, True), (2, True), (3, False)])
def test_contacts_are_three_days_apart(gap: int, *, is_breach: bool) -> None:
    found = breaches({Step.PAST_DUE: 5, Step.CALL: 5 + gap})
    assert found == ([f"past_due on day 5 and call on day {5 + gap} need 3 days between them"] if is_breach else [])


@pytest.mark.parametrize(("last", "is_breach"), [(11, True), (12, False)])
def test_a_third_contact_comes_a_week_after_the_first(last: int, *, is_breach: bool) -> None:
    found = breaches({Step.PAST_DUE: 5, Step.CALL: 8, Step.SECOND_NOTICE: last})
    text = "past_due on day 5 to second_notice on day 11: more than 2 contacts in 7 days"
    assert found == ([text] if is_breach else [])


@pytest.mark.parametrize(("last", "is_breach"), [(26, True), (27, False)])
def test_an_eighth_contact_comes_a_month_after_the_first(last: int, *, is_breach: bool) -> None:
    found = breaches({**CROWDED, CONTACT_STEPS[-1]: last})
    text = "before_due on day -3 to final_notice on day 26: more than 7 contacts in 30 days"
    assert found == ([text] if is_breach else [])


@pytest.mark.parametrize(
    ("step", "day", "is_breach"),
    [
        (Step.PROPOSE_SUSPENSION, 49, True),
        (Step.PROPOSE_SUSPENSION, 50, False),
        (Step.LATE_FEE, 11, True),
        (Step.LATE_FEE, 12, False),
        (Step.NOTIFY_OWNER, 4, True),
        (Step.NOTIFY_OWNER, 5, False),
    ],
)
def test_what_follows_a_warning_leaves_time_for_it(step: Step, day: int, *, is_breach: bool) -> None:
    assert bool(breaches({Step.PAST_DUE: 5, Step.FINAL_NOTICE: 40, step: day})) is is_breach
