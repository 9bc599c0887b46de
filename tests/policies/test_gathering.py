"""Invoices whose same step is some days apart are in one email."""

from __future__ import annotations

from datetime import timedelta

import pytest

from policies.policy import ReminderPolicy
from policies.receivables import Step
from tests.policies.builders import (
    MONDAY,
    Simulation,
    daily,
    decide_at,
    invoice,
    overdue_invoice,
    reminder_in,
    sent_email,
    statement,
)

EVERY_DAY = 'send_window.weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]\n'
TWO = [overdue_invoice(7, id="first"), overdue_invoice(4, id="second")]


def emails(policy: str, days: int) -> list[tuple[Step, tuple[str, ...]]]:
    simulation = Simulation(TWO, policy=ReminderPolicy.from_toml(EVERY_DAY + policy))
    return [each[1:] for each in simulation.run_all(daily(MONDAY, days)).emails]


def test_two_invoices_some_days_apart_get_one_email_of_each_step() -> None:
    both = ("first", "second")
    steps = (Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE)
    assert emails("", 60) == [(step, both) for step in steps]


def test_without_gathering_each_has_its_own_day() -> None:
    found = emails("statement.gather_days = 0\n", 30)
    assert found[:2] == [(Step.PAST_DUE, ("first",)), (Step.PAST_DUE, ("second",))]


def test_the_decision_says_why_a_step_comes_early() -> None:
    decisions = {each.invoice_id: each for each in decide_at(statement(*TWO)).invoice_decisions}
    assert decisions["second"].code == Step.PAST_DUE
    assert decisions["second"].reason.endswith("some days early, so that none like it follows.")
    assert "early" not in decisions["first"].reason


def test_reminders_before_the_due_date_are_gathered_too() -> None:
    email = reminder_in(decide_at(statement(invoice(7, id="soon"), invoice(11, id="later"), invoice(20, id="far"))))
    assert email is not None
    assert email.completed == (("soon", Step.BEFORE_DUE), ("later", Step.BEFORE_DUE))
    assert email.listed == ("soon", "later")


@pytest.mark.parametrize(
    ("other", "done"),
    [
        (overdue_invoice(1), ()),  # its step is more than five days away
        (overdue_invoice(5, disputed_on=MONDAY - timedelta(days=1)), ()),
        (overdue_invoice(16), ((Step.PAST_DUE, 8),)),  # ten days lie between its steps
        (overdue_invoice(22), ((Step.PAST_DUE, 15), (Step.SECOND_NOTICE, 5))),  # its own is harsher
    ],
)
def test_nothing_is_gathered_that_would_come_too_soon_or_too_harsh(
    other: object, done: tuple[tuple[Step, int], ...]
) -> None:
    past_actions = tuple(sent_email(step, MONDAY - timedelta(days=days)) for step, days in done)
    email = reminder_in(decide_at(statement(overdue_invoice(7, id="lead"), other, past_actions=past_actions)))  # type: ignore[arg-type]
    assert email is not None
    assert email.completed == (("lead", Step.PAST_DUE),)
