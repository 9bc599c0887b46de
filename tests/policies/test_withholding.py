"""Tax that a customer withholds by law is not chased: they are asked for the certificate."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from policies.policy import ReminderPolicy
from policies.receivables import BalanceChange, Invoice, Step
from tests.policies.builders import (
    KNOWN_CUSTOMER,
    MONDAY,
    Simulation,
    daily,
    decide_at,
    first_decision,
    overdue_invoice,
    reminder_in,
    statement,
)

WITHHOLDER = replace(KNOWN_CUSTOMER, withholding_percent=Decimal(10))


def part_paid(days: int, paid: str, **facts: Any) -> Invoice:
    total = Decimal(facts.pop("total", "1200"))
    changes = (BalanceChange(MONDAY - timedelta(days=days), -Decimal(paid)),)
    return overdue_invoice(days, total=total, due=total - Decimal(paid), balance_changes=changes, **facts)


def test_what_is_withheld_is_not_chased_and_the_certificate_is_asked_for_once() -> None:
    simulation = Simulation([part_paid(1, "1080")], customer=WITHHOLDER)
    simulation.run_all(daily(MONDAY, 90))
    assert [step for _, step, _ in simulation.emails] == [Step.WITHHOLDING_CERTIFICATE]
    assert [step for _, step, *_ in simulation.completed] == [Step.WITHHOLDING_CERTIFICATE]  # no call, alert or fee
    reason = first_decision(
        statement(part_paid(90, "1080"), customer=WITHHOLDER, past_actions=tuple(simulation.past_actions))
    ).reason
    assert "EUR 120.00 of EUR 1,200.00 is within the 10 % that this customer withholds by law" in reason


@pytest.mark.parametrize(
    ("paid", "percent", "code"),
    [
        ("1078.99", "10", "past_due"),  # more is missing than the law allows
        ("1079.99", "10", "withholding_certificate"),  # by less than anybody is chased for
        ("1080", "0", "past_due"),
        ("1080", "9.9", "past_due"),
        ("1110", "7.5", "withholding_certificate"),
        ("1199.50", "10", "below_minimum"),
    ],
)
def test_only_a_rest_within_the_percentage_of_the_total_is_withheld(paid: str, percent: str, code: str) -> None:
    customer = replace(KNOWN_CUSTOMER, withholding_percent=Decimal(percent))
    assert first_decision(statement(part_paid(10, paid), customer=customer)).code == code


@pytest.mark.parametrize(
    ("paid", "code"),
    [
        ("1080", "withholding_certificate"),  # the certificate is worth 120, whatever is not worth a reminder
        ("1100", "withholding_certificate"),  # tax is often withheld from the net amount
        ("1150", "below_minimum"),
        ("1069", "withholding_certificate"),
        ("1068", "withholding_certificate"),  # one per cent of the total may be a bank's charges
        ("1067.90", "below_minimum"),
        ("1060", "below_minimum"),  # 140 are not 10 % of 1,200, and not worth a reminder
        ("999", "past_due"),  # 201 is neither withheld nor too small
    ],
)
def test_a_minimum_balance_is_no_room_for_more_than_the_percentage(paid: str, code: str) -> None:
    policy = ReminderPolicy.from_toml("[minimum_balance]\nEUR = 200")
    assert first_decision(statement(part_paid(10, paid), customer=WITHHOLDER), policy=policy).code == code


def test_an_invoice_on_which_nothing_was_paid_is_chased_in_full() -> None:
    unpaid = overdue_invoice(10, total="1200", due=Decimal(120))  # deducted when it was issued
    assert first_decision(statement(unpaid, customer=WITHHOLDER)).code == "past_due"


def test_a_reminder_about_another_invoice_neither_lists_nor_completes_what_is_withheld() -> None:
    decision = decide_at(
        statement(part_paid(20, "1080", id="withheld"), overdue_invoice(10, id="late"), customer=WITHHOLDER)
    )
    email = reminder_in(decision)
    assert email is not None
    assert (email.step, email.completed, email.listed) == (Step.PAST_DUE, (("late", Step.PAST_DUE),), ("late",))
    assert {each.invoice_id: each.code for each in decision.invoice_decisions}["withheld"] == "withheld"


def test_one_request_is_about_all_invoices_of_which_tax_was_withheld() -> None:
    both = [part_paid(20, "1080", id=each, number=each) for each in ("a", "b")]
    email = reminder_in(decide_at(statement(*both, overdue_invoice(1, id="later"), customer=WITHHOLDER)))
    assert email is not None
    assert (email.step, email.listed) == (Step.WITHHOLDING_CERTIFICATE, ("a", "b"))


def test_a_dispute_or_a_pause_comes_first() -> None:
    for facts, code in (({"disputed_on": MONDAY}, "disputed"), ({"paused": True}, "paused")):
        assert first_decision(statement(part_paid(20, "1080", **facts), customer=WITHHOLDER)).code == code
