"""Money in the bank that the ledger does not show: it is not asked for, bears no fee, and never frees by time."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from policies.bank_receipts import possible_payment_note
from policies.decisions import CreateTask, CustomerDecision, HoldCode
from policies.policy import ReminderPolicy
from policies.receivables import Credit, CreditKind, PossiblePayment, Step
from policies.unapplied_credit import allocate_credit
from tests.policies.builders import (
    MONDAY,
    bank_receipt,
    decide_at,
    fees_in,
    overdue_invoice,
    reminder_in,
    sent_email,
    statement,
)

YESTERDAY = MONDAY - timedelta(days=1)


def codes_in(decision: CustomerDecision) -> list[str]:
    return [each.code for each in decision.actions if isinstance(each, CreateTask)]


def test_a_part_in_the_bank_is_not_asked_for_and_the_rest_is() -> None:
    decision = decide_at(statement(overdue_invoice(10, total="1000"), credits=(bank_receipt("400", YESTERDAY),)))
    email = reminder_in(decision)
    assert email is not None
    assert "EUR 1,000.00 (less EUR 400.00 that is in the bank or unapplied)" in email.reason
    (task,) = [each for each in decision.actions if isinstance(each, CreateTask)]
    assert task.code == "book_payment"
    assert "Reminders ask for the rest only." in task.reason


def test_what_a_bank_kept_of_a_payment_is_not_asked_for() -> None:
    money = bank_receipt("985", YESTERDAY, settles=True)
    decision = decide_at(statement(overdue_invoice(10, total="1000"), credits=(money,)))
    assert reminder_in(decision) is None
    assert decision.invoice_decisions[0].code == HoldCode.PAID_AT_BANK


def test_money_in_the_bank_and_credit_in_the_ledger_cover_an_invoice_together() -> None:
    credit = Credit("cr", CreditKind.CREDIT_NOTE, "c1", "EUR", Decimal(600), YESTERDAY)
    owed = statement(overdue_invoice(10, total="1000"), credits=(bank_receipt("400", YESTERDAY), credit))
    assert allocate_credit(owed) == {"i1": Decimal(1000)}
    assert reminder_in(decide_at(owed)) is None


def test_money_for_one_invoice_covers_no_other() -> None:
    first, second = overdue_invoice(10, total="1000"), overdue_invoice(9, total="1000", id="i2")
    owed = statement(first, second, credits=(bank_receipt("1000", YESTERDAY, "i2"),))
    assert allocate_credit(owed) == {"i2": Decimal(1000)}
    email = reminder_in(decide_at(owed))
    assert email is not None
    assert [invoice_id for invoice_id, _step in email.completed] == ["i1"]


def test_no_late_fee_is_charged_while_the_money_is_in_the_bank() -> None:
    fees = '[late_fees]\nenabled = true\nterms_agreed_on = 2026-01-31\napproval = "automatic"\n'
    past = (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=35)),)
    policy = ReminderPolicy.from_toml(fees)
    late = overdue_invoice(40, total="1000.00")
    assert fees_in(decide_at(statement(late, past_actions=past), policy=policy))
    paid = statement(late, past_actions=past, credits=(bank_receipt("1000.00", YESTERDAY),))
    assert not fees_in(decide_at(paid, policy=policy))


def test_after_three_business_days_somebody_is_told_and_nothing_is_sent() -> None:
    for days, expected in ((2, ["book_payment"]), (7, ["book_payment", "payment_not_booked"])):
        money = bank_receipt("100.00", MONDAY - timedelta(days=days))
        decision = decide_at(statement(overdue_invoice(30), credits=(money,)))
        assert codes_in(decision) == expected
        assert reminder_in(decision) is None


def test_the_second_task_about_a_part_says_that_the_rest_is_asked_for() -> None:
    money = bank_receipt("400", MONDAY - timedelta(days=7))
    decision = decide_at(statement(overdue_invoice(30, total="1000"), credits=(money,)))
    tasks = {each.code: each.reason for each in decision.actions if isinstance(each, CreateTask)}
    assert reminder_in(decision) is not None
    assert tasks["payment_not_booked"].endswith("until then reminders ask for the rest only.")


def test_money_that_may_be_for_an_invoice_is_named_with_its_payer_and_day() -> None:
    payment = PossiblePayment("bank 1", "i1", Decimal(900), "EUR", YESTERDAY, "ASHDOWN")
    assert possible_payment_note([payment], {"i1": "INV-1"}) == (
        " EUR 900.00 from ASHDOWN, in the bank on 22 Nov 2026, may be for INV-1: compare under Bank statements before"
        " you approve."
    )
    assert possible_payment_note([], {}) == ""
