"""Habits: learned from the past alone, printed with their inputs, and shifting steps within the rules."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from policies.habits import Norm, Settled, forecast, habits_of, norm_of, score, score_why
from policies.receivables import Habits, Segment, Size, Step
from tests.policies.books import KNOWN, MONDAY, Book, answer, daily, hourly, invoice, late, statement

NORM = Norm(median_days_late=0, low_days_late=-5, high_days_late=20, late_share=0.3)


def history(*days_late: int, last_due_on: date = MONDAY - timedelta(days=60)) -> list[Settled]:
    count = len(days_late)
    dues = [last_due_on - timedelta(days=30 * (count - place - 1)) for place in range(count)]
    return [Settled(due_on, due_on + timedelta(days=late)) for due_on, late in zip(dues, days_late, strict=True)]


def habits(**facts: Any) -> Habits:
    known: dict[str, Any] = {
        "settled": 12,
        "median_days_late": 0.0,
        "low_days_late": -2.0,
        "high_days_late": 8.0,
        "late_share": 0.4,
    }
    return Habits(**{**known, **facts})


def test_only_what_was_settled_before_the_day_is_known() -> None:
    past = history(5, 5, 5)
    future = [Settled(MONDAY, MONDAY + timedelta(days=90)), Settled(MONDAY - timedelta(days=9), MONDAY)]
    assert habits_of([*past, *future], NORM, MONDAY) == habits_of(past, NORM, MONDAY)
    assert norm_of([*past, *future], MONDAY) == norm_of(past, MONDAY)


def test_newer_invoices_count_more() -> None:
    assert habits_of(history(*[0] * 10, *[20] * 8), NORM, MONDAY).median_days_late == 20


def test_a_customer_without_history_is_taken_for_the_norm() -> None:
    unknown = habits_of([], NORM, MONDAY)
    assert (unknown.median_days_late, unknown.late_share, unknown.settled) == (0, 0.3, 0)
    due_on = date(2026, 12, 1)
    seen = forecast(unknown, due_on)
    assert (seen.expected_on, seen.earliest_on, seen.latest_on) == (due_on, date(2026, 11, 26), date(2026, 12, 21))


def test_little_history_is_drawn_towards_the_norm() -> None:
    assert habits_of(history(9), NORM, MONDAY).late_share == pytest.approx((1 + 0.9) / 4)


def test_the_weekday_on_which_he_pays_moves_the_expected_day() -> None:
    fridays = [
        Settled(date(2026, 1, 5) + timedelta(weeks=4 * each), date(2026, 1, 9) + timedelta(weeks=4 * each))
        for each in range(10)
    ]
    known = habits_of(fridays, NORM, MONDAY)
    assert known.weekday == 4
    assert forecast(known, date(2026, 12, 1)).expected_on.weekday() == 4


def test_the_score_prints_its_inputs() -> None:
    known = habits_of(history(3, 5, 4, 6, 5, 5), NORM, MONDAY, broke_promise=True)
    assert score_why(known).startswith(f"score {score(known)}: 6 invoices settled, 77% late")
    assert "5 days late in the median" in score_why(known)
    assert "broke a promise" in score_why(known)


def test_the_interval_holds_four_cases_of_five() -> None:
    dice = random.Random(7)
    inside = total = 0
    for _ in range(120):
        usual, spread = dice.uniform(-3, 25), dice.uniform(1, 12)
        paid = [round(dice.gauss(usual, spread)) for _ in range(25)]
        known = habits_of(history(*paid[:24]), NORM, MONDAY)
        seen = forecast(replace(known, weekday=None), MONDAY)
        actual_on = MONDAY + timedelta(days=paid[24])
        inside += seen.earliest_on <= actual_on <= seen.latest_on
        total += 1
    assert 0.75 <= inside / total <= 0.88


def test_who_always_pays_on_the_fifth_day_is_not_mailed_on_the_third() -> None:
    steady = habits(median_days_late=5.0, low_days_late=4.0, high_days_late=5.0)
    customer = replace(KNOWN, segment=Segment.ESTABLISHED, habits=steady)
    large = {"size": Size.LARGE}
    said = answer(statement(late(3, **large), customer=customer))
    assert (said.code, said.next_step, said.next_on) == ("not_yet", Step.PAST_DUE, MONDAY + timedelta(days=3))
    assert answer(statement(late(3, **large), customer=replace(customer, habits=None))).code == "past_due"


@pytest.mark.parametrize("facts", [{"median_days_late": 16.0}, {"broke_promise": True}])
def test_who_is_always_late_is_called_first_and_two_days_sooner(facts: dict[str, object]) -> None:
    customer = replace(KNOWN, segment=Segment.ESTABLISHED, habits=habits(**facts))
    book = Book([invoice(0, size=Size.LARGE)], customer=customer).live(daily(MONDAY, 12))
    assert [((on - MONDAY).days, step) for on, step, *_ in book.done] == [(1, Step.CALL), (3, Step.PAST_DUE)]


def test_who_paid_the_last_six_on_time_is_not_asked_whether_it_arrived() -> None:
    prompt = replace(KNOWN, habits=habits(on_time_run=6))
    asked = [Book([invoice(16)], customer=each).live(daily(MONDAY, 5)).mails for each in (KNOWN, prompt)]
    assert ([step for _, step, _ in asked[0]], asked[1]) == ([Step.VERIFY_RECEIPT], [])


@pytest.mark.parametrize("shift", [{"median_days_late": 40.0}, {"low_days_late": 28.0, "high_days_late": 30.0}])
def test_shifted_steps_keep_the_caps_and_the_order(shift: dict[str, object]) -> None:
    customer = replace(KNOWN, habits=habits(**shift))
    book = Book([invoice(0, id=f"i{size}", size=size) for size in Size], customer=customer).live(hourly(MONDAY, 70))
    days = [on for on, _, _ in book.mails]
    assert all((two - one).days >= 3 for one, two in pairwise(days))
    assert {step for _, step, *_ in book.done} >= {
        Step.PAST_DUE,
        Step.SECOND_NOTICE,
        Step.PLAN_OFFER,
        Step.FINAL_NOTICE,
    }
