"""Unapplied credit: what it covers in full is held, the rest of a debt is chased, and somebody is told to apply it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from policies.decisions import CreateTask, CustomerDecision
from policies.policy import ReminderPolicy
from policies.receivables import Credit, CreditKind, Invoice, Step
from policies.unapplied_credit import Group, allocate_credit, share_credit
from tests.policies.builders import (
    MONDAY,
    Simulation,
    at,
    daily,
    decide_at,
    fees_in,
    invoice,
    overdue_invoice,
    reminder_in,
    sent_email,
    statement,
)


def credit(remaining: str, days_ago: int = 10, **facts: str) -> Credit:
    on = MONDAY - timedelta(days=days_ago)
    return Credit(facts.get("id", "cr"), CreditKind.PAYMENT, "c1", facts.get("currency", "EUR"), Decimal(remaining), on)


def tasks_in(decision: CustomerDecision) -> list[CreateTask]:
    return [each for each in decision.actions if isinstance(each, CreateTask) and each.code == "apply_credit"]


def test_a_few_cents_of_credit_do_not_silence_a_large_debt() -> None:
    decision = decide_at(statement(overdue_invoice(10, total="12000"), credits=(credit("0.03"),)))
    email = reminder_in(decision)
    assert email is not None
    assert email.step is Step.PAST_DUE
    assert "EUR 12,000.00 (less EUR 0.03 of unapplied credit)" in email.reason
    (task,) = tasks_in(decision)
    assert task.reason == (
        "Apply EUR 0.03 of unapplied credit (payment of 13 Nov 2026): it covers EUR 0.03 of the EUR 12,000.00 due"
        " on INV-1. Reminders ask for the rest only."
    )


def test_a_few_cents_of_credit_do_not_stop_the_whole_schedule() -> None:
    simulation = Simulation([overdue_invoice(1, total="12000")], credits=(credit("0.03"),))
    steps = [step for _, step, _ in simulation.run_all(daily(MONDAY, 60)).emails]
    assert steps == [Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE]


def test_an_invoice_covered_in_full_is_held_and_becomes_a_task() -> None:
    decision = decide_at(statement(overdue_invoice(10), credits=(credit("250"),)))
    assert reminder_in(decision) is None
    (task,) = tasks_in(decision)
    assert task.invoice_ids == ("i1",)
    assert task.reason.endswith("it covers all of INV-1. No reminder is sent about it until then.")


def test_what_is_left_below_the_minimum_balance_is_not_chased() -> None:
    decision = decide_at(statement(overdue_invoice(10), credits=(credit("99.50"),)))
    assert decision.invoice_decisions[0].code == "unapplied_credit"
    assert "EUR 99.50 of it" in decision.invoice_decisions[0].reason


def test_a_payment_of_exactly_one_invoice_covers_that_invoice_and_no_older_one() -> None:
    older, younger = overdue_invoice(30, id="older", total="500"), overdue_invoice(10, id="younger", total="300")
    covered = allocate_credit(statement(older, younger, credits=(credit("300"),)))
    assert covered == {"younger": Decimal(300)}


def test_several_credits_are_added_up_and_those_of_another_currency_left_out() -> None:
    credits = (credit("40", id="a"), credit("30", id="b"), credit("500", id="c", currency="USD"))
    assert allocate_credit(statement(overdue_invoice(10), credits=credits)) == {"i1": Decimal(70)}


def test_credit_for_an_invoice_that_is_not_due_yet_is_no_task() -> None:
    assert tasks_in(decide_at(statement(invoice(20), credits=(credit("40"),)))) == []


def test_a_disputed_invoice_is_no_task_for_its_credit() -> None:
    disputed = overdue_invoice(10, disputed_on=MONDAY, dispute_reason="wrong price")
    assert tasks_in(decide_at(statement(disputed, credits=(credit("40"),)))) == []


def test_new_credit_is_a_new_task_and_the_same_credit_the_same_one() -> None:
    keys = [
        tasks_in(decide_at(statement(overdue_invoice(days), credits=credits)))[0].recurrence_key
        for days, credits in (
            (10, (credit("40"),)),
            (11, (credit("40"),)),
            (11, (credit("40"), credit("20", id="more"))),
        )
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_late_fee_is_taken_on_what_the_credit_leaves() -> None:
    policy = ReminderPolicy.from_toml("[late_fees]\nenabled = true\nterms_agreed_on = 2026-01-31\nrate = 1\n")
    late = overdue_invoice(40, total="1000")
    warned = (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=20), "i1"),)
    fees = [
        fees_in(decide_at(statement(late, credits=credits, past_actions=warned), policy=policy))[0].amount
        for credits in ((), (credit("400"),))
    ]
    assert fees == [Decimal("10.00"), Decimal("6.00")]


Member = tuple[str, list[Invoice], list[Credit]]  # their name, invoices and credit


def shared(*groups: Member) -> dict[str, list[tuple[str, Decimal]]]:
    found = share_credit({member: Group(invoices, credits) for member, invoices, credits in groups})
    return {member: [(each.id, each.remaining) for each in credits] for member, credits in found.items()}


def test_what_a_member_of_a_family_does_not_need_counts_for_the_others() -> None:
    rich: Member = ("rich", [overdue_invoice(10, id="r")], [credit("150", 20, id="old"), credit("30", 5, id="new")])
    poor: Member = ("poor", [overdue_invoice(9, id="p", total="60"), overdue_invoice(8, id="q", total="70")], [])
    found = shared(rich, poor)
    assert found["rich"] == [("old", Decimal(150)), ("new", Decimal(30))]
    assert found["poor"] == [("old", Decimal(50)), ("new", Decimal(10)), ("new", Decimal(20))]


def test_a_family_shares_an_exact_amount_with_the_invoice_it_is_for() -> None:
    rich: Member = ("rich", [], [credit("70", 20, id="cr")])
    poor: Member = ("poor", [overdue_invoice(9, id="p", total="60"), overdue_invoice(8, id="q", total="70")], [])
    assert shared(rich, poor)["poor"] == [("cr", Decimal(70))]


@pytest.mark.parametrize(("remaining", "lent"), [("100", []), ("100.01", [("cr", Decimal("0.01"))])])
def test_only_what_the_own_invoices_leave_is_shared(remaining: str, lent: list[tuple[str, Decimal]]) -> None:
    rich: Member = ("rich", [overdue_invoice(10, id="r")], [credit(remaining)])
    assert shared(rich, ("poor", [overdue_invoice(9, id="p")], []))["poor"] == lent


def test_an_invoice_that_its_own_credit_covers_needs_no_other() -> None:
    rich: Member = ("rich", [], [credit("50", id="other")])
    poor: Member = ("poor", [overdue_invoice(9, id="p")], [credit("100", id="own")])
    assert shared(rich, poor)["poor"] == [("own", Decimal(100))]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (3, "covers all of INV-0, all of INV-1 and all of INV-2."),
        (4, "covers all of INV-0, all of INV-1, all of INV-2 and 1 more."),
    ],
)
def test_a_task_about_credit_names_three_invoices_and_is_due_today(count: int, words: str) -> None:
    overdue = [overdue_invoice(20 - index, id=f"i{index}", number=f"INV-{index}") for index in range(count)]
    (task,) = tasks_in(decide_at(statement(*overdue, credits=(credit("900"),))))
    assert words in task.reason
    assert task.due_on == MONDAY
    assert len(task.recurrence_key) == 12


def test_a_balance_on_no_invoice_is_named_as_the_source() -> None:
    booked = Credit("b", CreditKind.LEDGER_BALANCE, "c1", "EUR", Decimal(100), MONDAY)
    held = decide_at(statement(overdue_invoice(10), credits=(booked,))).invoice_decisions[0].reason
    assert "EUR 100.00 of unapplied credit (a deposit or journal entry: the customer's balance" in held
    plain = decide_at(statement(overdue_invoice(10), credits=(credit("100"),))).invoice_decisions[0].reason
    assert "EUR 100.00 of unapplied credit covers all of this invoice: apply the credit first." in plain


def test_a_task_about_credit_found_at_the_weekend_is_due_on_the_next_business_day() -> None:
    saturday = MONDAY - timedelta(days=2)
    about = statement(overdue_invoice(10), credits=(credit("900"),), now=at(saturday))
    (task,) = tasks_in(decide_at(about, now=at(saturday)))
    assert task.due_on == MONDAY
