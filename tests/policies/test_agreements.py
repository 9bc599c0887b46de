"""Disputes, promises and payment plans: kept, broken, and the tasks that follow."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from policies.agreements import AgreementTask
from policies.decisions import DecisionKind
from policies.receivables import Credit, CreditKind, Instalment, PaymentPlan, Size, Step
from tests.policies.builders import (
    KNOWN_CUSTOMER,
    MONDAY,
    Simulation,
    at,
    daily,
    decide_at,
    first_decision,
    hourly,
    overdue_invoice,
    reminder_in,
    sent_email,
    statement,
    tasks_in,
)

FRIDAY = MONDAY + timedelta(days=4)


def test_a_dispute_stops_emails_and_is_a_task_at_once_and_again_for_review() -> None:
    simulation = Simulation([overdue_invoice(10, disputed_on=MONDAY, dispute_reason="wrong price")]).run_all(
        hourly(MONDAY, 30)
    )
    assert simulation.emails == []
    assert [(on, step) for on, step, *_ in simulation.completed] == [
        (MONDAY, Step.DISPUTE_RAISED),
        (MONDAY + timedelta(days=14), Step.DISPUTE_RAISED),
    ]


def test_a_large_dispute_is_due_the_same_day_and_reviewed_sooner() -> None:
    (large,) = tasks_in(decide_at(statement(overdue_invoice(10, disputed_on=MONDAY, size=Size.LARGE))))
    (small,) = tasks_in(decide_at(statement(overdue_invoice(10, disputed_on=MONDAY, dispute_reason="wrong price"))))
    assert (large.due_on, small.due_on) == (MONDAY, MONDAY + timedelta(days=1))
    assert "INV-1 is disputed since 23 Nov 2026: wrong price." in small.reason
    simulation = Simulation([overdue_invoice(10, disputed_on=MONDAY, size=Size.LARGE)]).run_all(daily(MONDAY, 10))
    assert simulation.completed[-1][0] == MONDAY + timedelta(days=7)


def test_a_second_dispute_is_a_new_task() -> None:
    before = sent_email(Step.DISPUTE_RAISED, MONDAY - timedelta(days=40), is_contact=False)
    assert len(tasks_in(decide_at(statement(overdue_invoice(60, disputed_on=MONDAY), past_actions=(before,))))) == 1


def test_a_broken_promise_is_followed_up_by_one_call_and_reminders_continue_where_they_stopped() -> None:
    first_reminder = sent_email(Step.PAST_DUE, MONDAY - timedelta(days=4))
    simulation = Simulation([overdue_invoice(13, promised_on=FRIDAY, size=Size.LARGE)])
    simulation.past_actions.append(first_reminder)
    simulation.run_all(hourly(MONDAY, 10))
    next_monday = MONDAY + timedelta(days=7)
    assert [(on, step) for on, step, *_ in simulation.completed] == [
        (next_monday, Step.NOTIFY_OWNER),
        (next_monday, Step.PROMISE_BROKEN),
        (next_monday, Step.SECOND_NOTICE),
    ]


def test_a_small_broken_promise_is_followed_up_by_one_email_per_promise_within_the_contact_limits() -> None:
    simulation = Simulation([overdue_invoice(12, promised_on=FRIDAY)])
    simulation.past_actions.append(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=4)))
    simulation.run_all(hourly(MONDAY, 12))
    next_monday = MONDAY + timedelta(days=7)
    asked = [(next_monday, Step.PROMISE_BROKEN), (next_monday + timedelta(days=3), Step.SECOND_NOTICE)]
    assert [(on, step) for on, step, _ in simulation.emails] == asked
    again_on = MONDAY + timedelta(days=16)
    simulation.invoices = [replace(simulation.invoices[0], promised_on=again_on)]
    simulation.run_all(hourly(MONDAY + timedelta(days=12), 8))
    assert [(on, step) for on, step, _ in simulation.emails[2:]] == [
        (again_on + timedelta(days=1), Step.PROMISE_BROKEN)
    ]


def test_a_more_severe_email_keeps_its_own_text_even_if_it_lists_a_broken_promise() -> None:
    steps = (Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER)
    completed = [sent_email(step, MONDAY - timedelta(days=40 - index), "i2") for index, step in enumerate(steps)]
    promised = overdue_invoice(20, promised_on=MONDAY - timedelta(days=3))
    email = reminder_in(decide_at(statement(promised, overdue_invoice(60, id="i2"), past_actions=tuple(completed))))
    assert email is not None
    assert email.step is Step.FINAL_NOTICE
    assert dict(email.completed)["i1"] is Step.PROMISE_BROKEN
    assert dict(email.recurrence_keys) == {"i1": "2026-11-20"}


@pytest.mark.parametrize("days_before_monday", [2, 1])
def test_what_was_promised_for_a_weekend_is_in_time_on_monday(days_before_monday: int) -> None:
    on = MONDAY - timedelta(days=days_before_monday)
    for promised in (
        overdue_invoice(9, promised_on=on),
        overdue_invoice(9, payment_plan=PaymentPlan(on, Decimal(100), (Instalment(on, Decimal(100)),))),
    ):
        assert first_decision(statement(promised)).kind is DecisionKind.HOLD
        assert first_decision(statement(promised), now=at(MONDAY + timedelta(days=1))).kind is not DecisionKind.HOLD


def test_a_customer_who_opted_out_is_called_about_a_broken_promise() -> None:
    promised = overdue_invoice(9, promised_on=MONDAY - timedelta(days=3))
    decision = decide_at(statement(promised, customer=replace(KNOWN_CUSTOMER, no_reminders=True)))
    assert reminder_in(decision) is None
    assert "promise_broken" in {task.code for task in tasks_in(decision)}


def test_the_decision_names_the_broken_promise() -> None:
    first_reminder = sent_email(Step.PAST_DUE, MONDAY - timedelta(days=1))
    broken = overdue_invoice(9, promised_on=MONDAY - timedelta(days=3), size=Size.LARGE)
    outcome = first_decision(statement(broken, past_actions=(first_reminder,)))
    assert outcome.code == "promise_broken"
    assert outcome.reason == "INV-1: EUR 100.00 was promised for 20 Nov 2026 and has not been paid."
    first_reminder = sent_email(Step.PAST_DUE, MONDAY - timedelta(days=4))
    outcome = first_decision(statement(replace(broken, size_percentile=0), past_actions=(first_reminder,)))
    assert (outcome.kind, outcome.code) == (DecisionKind.REMINDER, "promise_broken")
    assert (
        "it was promised for 20 Nov 2026 and has not been paid; last step: first reminder on 19 Nov 2026."
        in outcome.reason
    )


def plan(*amounts: int) -> PaymentPlan:
    weeks = [MONDAY + timedelta(weeks=count) for count in range(len(amounts))]
    instalments = tuple(Instalment(on, Decimal(amount)) for on, amount in zip(weeks, amounts, strict=True))
    return PaymentPlan(MONDAY - timedelta(days=7), Decimal(sum(amounts)), instalments)


def test_a_payment_plan_holds_while_its_instalments_are_paid() -> None:
    agreed = plan(40, 30, 30)
    first_paid = overdue_invoice(30, due=Decimal(60), payment_plan=agreed)
    outcome = first_decision(statement(first_paid), now=at(MONDAY + timedelta(days=3)))
    assert (outcome.code, outcome.next_on) == ("payment_plan", MONDAY + timedelta(days=7))
    assert "EUR 30.00 is due by 30 Nov 2026" in outcome.reason


def test_a_missed_instalment_cancels_the_plan_and_reminders_continue() -> None:
    unpaid = overdue_invoice(30, payment_plan=plan(40, 60))
    assert first_decision(statement(unpaid)).code == "payment_plan"
    assert first_decision(statement(unpaid), now=at(MONDAY + timedelta(days=1))).code == "past_due"


def test_an_instalment_that_was_paid_on_account_is_paid_and_is_to_be_applied() -> None:
    agreed = plan(40, 30, 30)
    credit = Credit("cr", CreditKind.PAYMENT, "c1", "EUR", Decimal(40), MONDAY)
    unpaid = statement(overdue_invoice(30, total="100", payment_plan=agreed), credits=(credit,))
    tuesday = at(MONDAY + timedelta(days=1))
    outcome = first_decision(unpaid, now=tuesday)
    assert (outcome.code, outcome.next_on) == ("payment_plan", MONDAY + timedelta(days=7))
    (task,) = tasks_in(decide_at(unpaid, now=tuesday))
    assert task.code == "apply_credit"
    assert task.reason.endswith("The payment plan counts it as paid.")
    assert first_decision(unpaid, now=at(MONDAY + timedelta(days=8))).code == "past_due"  # the second one is missing


def test_a_smaller_payment_than_agreed_is_a_missed_instalment() -> None:
    short = overdue_invoice(30, due=Decimal(61), payment_plan=plan(40, 60))
    assert first_decision(statement(short), now=at(MONDAY + timedelta(days=1))).code == "past_due"


@pytest.mark.parametrize(("total", "due"), [("1200", "600.01"), ("1200", "605.99"), ("100000", "50499")])
def test_an_instalment_that_lacks_a_cent_or_the_bank_charges_is_paid(total: str, due: str) -> None:
    half = Decimal(total) / 2
    agreed = PaymentPlan(
        MONDAY - timedelta(days=7),
        Decimal(total),
        (Instalment(MONDAY, half), Instalment(MONDAY + timedelta(weeks=4), half)),
    )
    late = overdue_invoice(30, total=total, due=Decimal(due), payment_plan=agreed)
    outcome = first_decision(statement(late), now=at(MONDAY + timedelta(days=3)))
    assert (outcome.code, outcome.next_on) == ("payment_plan", MONDAY + timedelta(weeks=4))


def test_shortfalls_of_several_instalments_are_added_up() -> None:
    agreed = PaymentPlan(
        MONDAY - timedelta(days=7),
        Decimal(400),
        tuple(Instalment(MONDAY + timedelta(weeks=count), Decimal(100)) for count in range(4)),
    )
    late = overdue_invoice(30, total="400", due=Decimal("104.00"), payment_plan=agreed)  # 98.67 instead of 100, thrice
    assert first_decision(statement(late), now=at(MONDAY + timedelta(weeks=2, days=1))).code == "past_due"


def test_an_invoice_raised_after_the_agreement_does_not_break_the_plan() -> None:
    agreed = replace(plan(600, 600), agreed_total=Decimal(1200))
    raised = overdue_invoice(30, total="1250", due=Decimal(650), payment_plan=agreed)
    outcome = first_decision(statement(raised), now=at(MONDAY + timedelta(days=1)))
    assert (outcome.code, outcome.next_on) == ("payment_plan", MONDAY + timedelta(days=7))
    all_paid = overdue_invoice(30, total="1250", due=Decimal(50), payment_plan=agreed)
    assert first_decision(statement(all_paid), now=at(MONDAY + timedelta(days=8))).code == "past_due"


def test_an_invoice_lowered_after_the_agreement_is_not_paid_by_that() -> None:
    agreed = replace(plan(600, 600), agreed_total=Decimal(1200))
    lowered = overdue_invoice(30, total="600", due=Decimal(600), payment_plan=agreed)
    assert first_decision(statement(lowered), now=at(MONDAY + timedelta(days=1))).code == "past_due"


def test_a_missed_instalment_is_one_task_that_names_the_instalment() -> None:
    simulation = Simulation([overdue_invoice(30, payment_plan=plan(40, 60))])
    simulation.past_actions.append(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=4)))
    simulation.run_all(daily(MONDAY, 14))
    tuesday = MONDAY + timedelta(days=1)
    assert [(on, step) for on, step, *_ in simulation.completed if step is Step.PROMISE_BROKEN] == [
        (tuesday, Step.PROMISE_BROKEN)
    ]
    (task,) = tasks_in(decide_at(statement(overdue_invoice(30, payment_plan=plan(40, 60))), now=at(tuesday)))
    assert task.code == AgreementTask.PLAN_BROKEN
    assert "EUR 40.00 due on 23 Nov 2026 has not been paid in full. The payment plan is cancelled." in task.reason


def test_the_task_about_a_broken_promise_names_what_credit_on_account_leaves() -> None:
    promised = overdue_invoice(13, total="900", promised_on=MONDAY - timedelta(days=3), size=Size.LARGE)
    credit = Credit("cr", CreditKind.PAYMENT, "c1", "EUR", Decimal(850), MONDAY)
    reasons = [task.reason for task in tasks_in(decide_at(statement(promised, credits=(credit,))))]
    assert "INV-1: EUR 50.00 was promised for 20 Nov 2026 and has not been paid." in reasons


def test_a_call_about_a_broken_promise_takes_the_place_of_the_scheduled_call() -> None:
    simulation = Simulation([overdue_invoice(13, promised_on=FRIDAY)])
    simulation.past_actions.append(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=8)))
    simulation.run_all(daily(MONDAY, 12))
    steps = [step for _on, step, *_ in simulation.completed]
    assert steps.count(Step.PROMISE_BROKEN) == 1
    assert Step.CALL not in steps


def test_a_customer_who_wants_no_emails_is_still_called_about_a_broken_promise() -> None:
    broken = overdue_invoice(9, promised_on=MONDAY - timedelta(days=3))
    opted_out = replace(KNOWN_CUSTOMER, no_reminders=True)
    assert "promise_broken" in [task.code for task in tasks_in(decide_at(statement(broken, customer=opted_out)))]
