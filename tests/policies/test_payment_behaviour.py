"""Payment behaviour: learned from the past only, explained by its inputs, and adjusting steps within the rules."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from policies.decisions import DecisionKind
from policies.payment_behaviour import (
    Baseline,
    ClosedInvoice,
    explain_score,
    forecast_payment,
    learn_baseline,
    learn_behaviour,
    payment_score,
)
from policies.receivables import PaymentBehaviour, Segment, Size, Step
from tests.policies.builders import (
    KNOWN_CUSTOMER,
    MONDAY,
    Simulation,
    daily,
    first_decision,
    hourly,
    invoice,
    overdue_invoice,
    statement,
)

BASELINE = Baseline(median_days_late=0, low_days_late=-5, high_days_late=20, late_share=0.3)


def history(*days_late: int, last_due_on: date = MONDAY - timedelta(days=60)) -> list[ClosedInvoice]:
    count = len(days_late)
    dues = [last_due_on - timedelta(days=30 * (count - index - 1)) for index in range(count)]
    return [ClosedInvoice(due_on, due_on + timedelta(days=late)) for due_on, late in zip(dues, days_late, strict=True)]


def behaviour(**facts: Any) -> PaymentBehaviour:
    known: dict[str, Any] = {
        "closed_invoices": 12,
        "median_days_late": 0.0,
        "low_days_late": -2.0,
        "high_days_late": 8.0,
        "late_share": 0.4,
    }
    return PaymentBehaviour(**{**known, **facts})


def test_only_invoices_closed_before_the_day_count() -> None:
    past = history(5, 5, 5)
    future = [ClosedInvoice(MONDAY, MONDAY + timedelta(days=90)), ClosedInvoice(MONDAY - timedelta(days=9), MONDAY)]
    assert learn_behaviour([*past, *future], BASELINE, MONDAY) == learn_behaviour(past, BASELINE, MONDAY)
    assert learn_baseline([*past, *future], MONDAY) == learn_baseline(past, MONDAY)


def test_newer_invoices_count_more() -> None:
    assert learn_behaviour(history(*[0] * 10, *[20] * 8), BASELINE, MONDAY).median_days_late == 20


def test_a_customer_without_history_is_expected_to_pay_like_all_customers() -> None:
    unknown = learn_behaviour([], BASELINE, MONDAY)
    assert (unknown.median_days_late, unknown.late_share, unknown.closed_invoices) == (0, 0.3, 0)
    due_on = date(2026, 12, 1)
    seen = forecast_payment(unknown, due_on)
    assert (seen.expected_on, seen.earliest_on, seen.latest_on) == (due_on, date(2026, 11, 26), date(2026, 12, 21))


def test_a_short_history_is_drawn_towards_all_customers() -> None:
    assert learn_behaviour(history(9), BASELINE, MONDAY).late_share == pytest.approx((1 + 0.9) / 4)


def test_the_weekday_of_most_payments_moves_the_expected_date() -> None:
    paid_on_fridays = [
        ClosedInvoice(date(2026, 1, 5) + timedelta(weeks=4 * each), date(2026, 1, 9) + timedelta(weeks=4 * each))
        for each in range(10)
    ]
    known = learn_behaviour(paid_on_fridays, BASELINE, MONDAY)
    assert known.weekday == 4
    assert forecast_payment(known, date(2026, 12, 1)).expected_on.weekday() == 4


def test_the_score_is_explained_by_its_inputs() -> None:
    known = learn_behaviour(history(3, 5, 4, 6, 5, 5), BASELINE, MONDAY, broke_promise=True)
    assert explain_score(known).startswith(f"score {payment_score(known)}: 6 invoices closed, 77% late")
    assert "median 5 days late" in explain_score(known)
    assert "broke a promise" in explain_score(known)


def test_the_80_percent_range_covers_about_80_percent() -> None:
    rng = random.Random(7)
    inside = total = 0
    for _ in range(120):
        usual, spread = rng.uniform(-3, 25), rng.uniform(1, 12)
        paid = [round(rng.gauss(usual, spread)) for _ in range(25)]
        known = learn_behaviour(history(*paid[:24]), BASELINE, MONDAY)
        seen = forecast_payment(replace(known, weekday=None), MONDAY)
        actual_on = MONDAY + timedelta(days=paid[24])
        inside += seen.earliest_on <= actual_on <= seen.latest_on
        total += 1
    assert 0.75 <= inside / total <= 0.88


def test_a_customer_who_always_pays_on_the_fifth_day_is_not_reminded_on_the_third() -> None:
    steady = behaviour(median_days_late=5.0, low_days_late=4.0, high_days_late=5.0)
    customer = replace(KNOWN_CUSTOMER, segment=Segment.ESTABLISHED, payment_behaviour=steady)
    large = {"size": Size.LARGE}
    outcome = first_decision(statement(overdue_invoice(3, **large), customer=customer))
    assert (outcome.code, outcome.next_step, outcome.next_on) == (
        "not_due_yet",
        Step.PAST_DUE,
        MONDAY + timedelta(days=3),
    )
    assert (
        first_decision(statement(overdue_invoice(3, **large), customer=replace(customer, payment_behaviour=None))).code
        == "past_due"
    )


@pytest.mark.parametrize("facts", [{"median_days_late": 16.0}, {"broke_promise": True}])
def test_a_customer_who_is_always_late_is_called_two_days_before_the_first_reminder(facts: dict[str, object]) -> None:
    customer = replace(KNOWN_CUSTOMER, segment=Segment.ESTABLISHED, payment_behaviour=behaviour(**facts))
    simulation = Simulation([invoice(0, size=Size.LARGE)], customer=customer).run_all(daily(MONDAY, 12))
    assert [((on - MONDAY).days, step) for on, step, *_ in simulation.completed] == [(1, Step.CALL), (3, Step.PAST_DUE)]


def test_a_customer_who_paid_the_last_six_on_time_gets_no_receipt_check() -> None:
    prompt_payer = replace(KNOWN_CUSTOMER, payment_behaviour=behaviour(on_time_streak=6))
    emails = [
        Simulation([invoice(16)], customer=each).run_all(daily(MONDAY, 5)).emails
        for each in (KNOWN_CUSTOMER, prompt_payer)
    ]
    assert ([step for _, step, _ in emails[0]], emails[1]) == ([Step.RECEIPT_CHECK], [])


@pytest.mark.parametrize("shift", [{"median_days_late": 40.0}, {"low_days_late": 28.0, "high_days_late": 30.0}])
def test_adjusted_steps_keep_the_contact_limits_and_the_order(shift: dict[str, object]) -> None:
    customer = replace(KNOWN_CUSTOMER, payment_behaviour=behaviour(**shift))
    simulation = Simulation([invoice(0, id=f"i{size}", size=size) for size in Size], customer=customer).run_all(
        hourly(MONDAY, 70)
    )
    days = [on for on, _, _ in simulation.emails]
    assert all((two - one).days >= 3 for one, two in pairwise(days))
    assert {step for _, step, *_ in simulation.completed} >= {
        Step.PAST_DUE,
        Step.SECOND_NOTICE,
        Step.PLAN_OFFER,
        Step.FINAL_NOTICE,
    }


@pytest.mark.parametrize(("newer", "median"), [(8, 10.0), (7, 0.0)])
def test_an_invoice_weighs_half_as_much_as_the_eighth_after_it(newer: int, median: float) -> None:
    """So the last eight weigh as much as all before them together."""
    past = history(*[0] * 80, *[10] * newer)
    assert learn_behaviour(past, BASELINE, MONDAY).median_days_late == median


def test_the_baseline_has_the_share_that_was_paid_after_the_due_date() -> None:
    assert learn_baseline(history(-1, 0, 1, 5, 9), MONDAY).late_share == 0.6


def test_the_range_of_a_short_history_is_widened_by_that_of_all_customers() -> None:
    baseline = Baseline(median_days_late=2, low_days_late=-5, high_days_late=20, late_share=0.3)
    found = learn_behaviour(history(0), baseline, MONDAY)
    assert found.low_days_late == pytest.approx(-0.6 * 7)
    assert found.high_days_late == pytest.approx(0.6 * 18)
    assert found.late_share == pytest.approx(0.9 / 4)


def test_an_invoice_paid_on_its_due_date_is_on_time() -> None:
    assert learn_behaviour(history(3, 0, -1), BASELINE, MONDAY).on_time_streak == 2


@pytest.mark.parametrize(
    ("median", "score", "words"),
    [(3.0, 57, "median 3 days late"), (0.0, 60, "median on the due date"), (-1.0, 60, "median 1 day early")],
)
def test_who_pays_early_gets_no_points_for_it(median: float, score: int, words: str) -> None:
    customer = behaviour(median_days_late=median)
    assert payment_score(customer) == score
    assert words in explain_score(customer)


@pytest.mark.parametrize(("high", "first_day"), [(9.0, 10), (9.5, 7)])
def test_who_pays_within_four_days_is_reminded_after_the_last_of_them(high: float, first_day: int) -> None:
    customer = behaviour(low_days_late=5.0, high_days_late=high)
    late_payer = replace(KNOWN_CUSTOMER, payment_behaviour=customer)
    decisions = {days: first_decision(statement(overdue_invoice(days), customer=late_payer)) for days in range(5, 12)}
    first_sent = next(days for days, decision in decisions.items() if decision.kind is DecisionKind.REMINDER)
    assert first_sent == first_day
