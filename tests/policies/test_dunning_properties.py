"""Properties over time: dunning levels come in order with their gaps, and a hold never causes a contact."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.receivables import Step
from policies.schedule import DUNNING_LEVELS, starts_on
from policies.schedule_rules import MIN_NOTICE_DAYS, MIN_WARNING_DAYS
from policies.segments import segment_of, size_of
from tests.policies.builders import Simulation, daily
from tests.policies.test_properties import FEES, HOLDS, scenarios, simulate

DAYS = 110


def completed_by_invoice(simulation: Simulation) -> dict[str, list[tuple[date, Step]]]:
    """The completed steps of each invoice, in order of date."""
    found: dict[str, list[tuple[date, Step]]] = defaultdict(list)
    for on, step, invoice_id, _key in simulation.completed:
        found[invoice_id].append((on, step))
    return found


def email_steps(steps: list[tuple[date, Step]]) -> list[Step]:
    return [step for _, step in sorted(steps, key=lambda each: each[0]) if step in DUNNING_LEVELS]


@settings(max_examples=30, deadline=None)
@given(scenarios())
def test_levels_come_in_order_and_nothing_severe_comes_without_its_warning(scenario: dict[str, Any]) -> None:
    simulation = simulate(scenario, daily(scenario["start_on"], DAYS))
    late_from = {each.id: starts_on(each) for each in simulation.invoices}
    sizes = {each.id: size_of(each, FEES.sizes) for each in simulation.invoices}
    for invoice_id, steps in completed_by_invoice(simulation).items():
        completed = email_steps(steps)
        assert [DUNNING_LEVELS.index(step) for step in completed] == sorted(
            {DUNNING_LEVELS.index(step) for step in completed}
        )
        schedule = FEES.schedules[
            segment_of(scenario["simulation"]["customer"], FEES.segments, scenario["start_on"]), sizes[invoice_id]
        ]
        days = dict(schedule.levels)
        levels = sorted((on, step) for on, step in steps if step in DUNNING_LEVELS)
        for (sooner_on, softer), (later_on, harder) in pairwise(levels):
            assert (later_on - sooner_on).days >= days[harder] - days[softer]
        first = dict(reversed([(step, on) for on, step in steps]))
        warned_on = min((on for on, step in steps if step in DUNNING_LEVELS), default=None)
        for on, step in steps:
            if step in DUNNING_LEVELS:
                assert on > late_from[invoice_id]
            if step is Step.LATE_FEE:
                assert warned_on is not None
                assert (on - warned_on).days >= MIN_WARNING_DAYS
        if Step.PROPOSE_SUSPENSION in first:
            assert (first[Step.PROPOSE_SUSPENSION] - first[Step.FINAL_NOTICE]).days >= MIN_NOTICE_DAYS


@settings(max_examples=30, deadline=None)
@given(scenarios())
def test_the_first_email_about_an_old_debt_is_the_first_reminder(scenario: dict[str, Any]) -> None:
    simulation = simulate(scenario, daily(scenario["start_on"], 30))
    for steps in completed_by_invoice(simulation).values():
        assert email_steps(steps)[:1] in ([], [Step.PAST_DUE])
    firsts = [step for _, step, _ in simulation.emails[:1]]
    assert not {Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE} & set(firsts)


@settings(max_examples=30, deadline=None)
@given(scenarios(), st.sampled_from(HOLDS))
def test_nothing_is_sent_if_everything_is_on_hold(scenario: dict[str, Any], hold: dict[str, Any]) -> None:
    days = {"disputed_on": scenario["start_on"], "promised_on": scenario["start_on"] + timedelta(days=400)}
    hold = {name: days.get(name, value) for name, value in hold.items()}
    held = [replace(each, **hold) for each in scenario["simulation"]["invoices"]]
    simulation = simulate(
        {**scenario, "simulation": {**scenario["simulation"], "invoices": held, "payment_dates": {}}},
        daily(scenario["start_on"], 45),
    )
    assert simulation.emails == []
    assert not [step for _, step, _, _ in simulation.completed if step is Step.LATE_FEE]


@settings(max_examples=30, deadline=None)
@given(scenarios(), st.integers(1, 40))
def test_a_paused_customer_gets_no_email_before_the_pause_ends(scenario: dict[str, Any], count: int) -> None:
    until_on = scenario["start_on"] + timedelta(days=count)
    customer = replace(scenario["simulation"]["customer"], hold_until_on=until_on)
    paused = simulate(
        {**scenario, "simulation": {**scenario["simulation"], "customer": customer}}, daily(scenario["start_on"], 60)
    )
    assert all(on >= until_on for on, _, _ in paused.emails)
