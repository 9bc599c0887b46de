"""A policy that changes in the middle of a ladder: no step twice, none too soon, no fee that nobody announced."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from policies.policy import ReminderPolicy
from policies.receivables import Step
from tests.policies.builders import (
    KNOWN_CUSTOMER,
    MONDAY,
    Simulation,
    daily,
    first_decision,
    overdue_invoice,
    sent_email,
    statement,
)

EVERY_DAY = '[send_window]\nweekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]\n'
FEES = '[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2025-01-01\nkind = "flat"\n'
FLAT = FEES + "amounts = {{ EUR = {}{} }}\nmax_annual_percent = 1000\n"


def off(step: str) -> str:
    return f'[{step}]\nestablished = "off"\n'


def on_day(step: str, day: int) -> str:
    return f"[{step}]\nestablished = {day}\n"


LATER = (
    on_day("second_notice", 40)
    + off("plan_offer")
    + off("escalation_call")
    + on_day("final_notice", 60)
    + on_day("propose_suspension", 80)
    + on_day("hand_off_review", 95)
)


def policy(document: str) -> ReminderPolicy:
    return ReminderPolicy.from_toml(document + EVERY_DAY)


def run_with(before: str, after: str, *, changed_after: int, days: int = 100) -> Simulation:
    simulation = Simulation([overdue_invoice(1, total="900.00")], policy=policy(before))
    simulation.run_all(daily(MONDAY, changed_after))
    simulation.policy = policy(after)
    return simulation.run_all(daily(MONDAY + timedelta(days=changed_after), days))


@pytest.mark.parametrize(
    ("before", "after", "changed_after", "expected"),
    [
        ("", off("second_notice"), 10, "past_due plan_offer final_notice"),
        ("", off("second_notice"), 18, "past_due second_notice plan_offer final_notice"),
        (off("second_notice"), "", 10, "past_due second_notice plan_offer final_notice"),
        (off("second_notice"), "", 30, "past_due plan_offer final_notice"),
        (off("second_notice"), off("plan_offer"), 30, "past_due plan_offer final_notice"),
        ("", 'tone = "firm"\n', 18, "past_due second_notice plan_offer final_notice"),
        ("", on_day("past_due", 2), 10, "past_due second_notice plan_offer final_notice"),
    ],
)
def test_a_changed_ladder_goes_on_where_it_stands(before: str, after: str, changed_after: int, expected: str) -> None:
    simulation = run_with(before, after, changed_after=changed_after)
    assert " ".join(step.value for _on, step, _ids in simulation.emails) == expected
    dates = [on for on, _step, _ids in simulation.emails]
    assert all((later - sooner).days >= 3 for sooner, later in pairwise(dates))


def test_a_softer_step_that_is_added_after_a_harder_one_does_not_follow_it() -> None:
    done = (sent_email(Step.PLAN_OFFER, MONDAY - timedelta(days=20)),)
    changed = policy(off("plan_offer"))  # second_notice is on, and was never sent
    assert first_decision(statement(overdue_invoice(40), past_actions=done), policy=changed).next_step not in {
        Step.PAST_DUE,
        Step.SECOND_NOTICE,
    }


@pytest.mark.parametrize(
    ("charged", "changed"),
    [(1, FLAT.format("15", "")), (0, FLAT.format("25", "")), (1, FLAT.format("15", ", USD = 90"))],
)
def test_a_warning_is_valid_only_for_the_fee_it_was_about(charged: int, changed: str) -> None:
    simulation = Simulation([overdue_invoice(1, total="900.00")], policy=policy(FLAT.format("15", "")))
    simulation.run_all(daily(MONDAY, 10))
    assert [step for _on, step, _ids in simulation.emails] == [Step.PAST_DUE]
    simulation.policy = policy(changed + LATER)
    simulation.run_all(daily(MONDAY + timedelta(days=10), 25))
    assert len(simulation.fees) == charged
    decision = simulation.run(next(daily(MONDAY + timedelta(days=35), 1))).invoice_decisions[0]
    assert ("warned of another fee" in decision.reason) == (not charged)


def test_after_the_next_warning_the_new_fee_is_charged() -> None:
    simulation = run_with(FLAT.format("15", ""), FLAT.format("25", ""), changed_after=10, days=40)
    (fee,) = simulation.fees
    assert fee.amount == 25
    second = next(on for on, step, _ids in simulation.emails if step is Step.SECOND_NOTICE)
    charged_on = next(on for on, step, _id, _key in simulation.completed if step is Step.LATE_FEE)
    assert (charged_on - second).days >= 7


def test_a_statutory_rate_that_changes_by_law_is_no_other_fee() -> None:
    rules = policy('[late_fees]\nenabled = true\npreset = "uk"\n').late_fees
    changed = rules.model_copy(update={"rates": (*rules.rates, (MONDAY, rules.rates[-1][1] + 1))})
    assert rules.terms_in("GBP") == changed.terms_in("GBP")


def test_no_suspension_is_proposed_before_the_date_that_the_final_notice_named() -> None:
    soon = on_day("propose_suspension", 72)
    simulation = Simulation([overdue_invoice(40)], policy=policy(""), customer=KNOWN_CUSTOMER)
    steps = ((Step.PAST_DUE, 33), (Step.SECOND_NOTICE, 20), (Step.PLAN_OFFER, 10))
    simulation.past_actions = [sent_email(step, MONDAY - timedelta(days=days)) for step, days in steps]
    simulation.run_all(daily(MONDAY, 10))
    notice = next(each for each in simulation.past_actions if each.step is Step.FINAL_NOTICE)
    assert notice.suspension_on is not None
    simulation.policy = policy(soon)
    simulation.run_all(daily(MONDAY + timedelta(days=10), 40))
    proposed_on = next(on for on, step, _id, _key in simulation.completed if step is Step.PROPOSE_SUSPENSION)
    assert proposed_on >= notice.suspension_on
