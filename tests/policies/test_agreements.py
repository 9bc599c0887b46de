"""Disputes, promises and payment plans: kept, broken, and what a person is given to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from connector.vocabulary import TaskCode
from policies.decisions import DecisionKind
from policies.receivables import Instalment, PaymentPlan, Size, Step
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


def test_a_dispute_stops_the_mails_and_goes_to_its_owner_and_comes_back_for_review() -> None:
    book = Simulation([overdue_invoice(10, disputed_on=MONDAY, dispute_reason="wrong price")]).run_all(
        hourly(MONDAY, 30)
    )
    assert book.emails == []
    assert [(on, step) for on, step, *_ in book.completed] == [
        (MONDAY, Step.DISPUTE_RAISED),
        (MONDAY + timedelta(days=14), Step.DISPUTE_RAISED),
    ]


def test_a_large_dispute_is_for_the_same_day_and_reviewed_sooner() -> None:
    (large,) = tasks_in(decide_at(statement(overdue_invoice(10, disputed_on=MONDAY, size=Size.LARGE))))
    (small,) = tasks_in(decide_at(statement(overdue_invoice(10, disputed_on=MONDAY, dispute_reason="wrong price"))))
    assert (large.due_on, small.due_on) == (MONDAY, MONDAY + timedelta(days=1))
    assert "INV-1 is disputed since 23 Nov 2026: wrong price." in small.reason
    book = Simulation([overdue_invoice(10, disputed_on=MONDAY, size=Size.LARGE)]).run_all(daily(MONDAY, 10))
    assert book.completed[-1][0] == MONDAY + timedelta(days=7)


def test_a_second_dispute_is_a_new_task() -> None:
    before = sent_email(Step.DISPUTE_RAISED, MONDAY - timedelta(days=40), is_contact=False)
    assert len(tasks_in(decide_at(statement(overdue_invoice(60, disputed_on=MONDAY), past_actions=(before,))))) == 1


def test_a_broken_promise_is_called_about_once_and_chasing_goes_on_where_it_stopped() -> None:
    friendly = sent_email(Step.PAST_DUE, MONDAY - timedelta(days=4))
    book = Simulation([overdue_invoice(13, promised_on=FRIDAY, size=Size.LARGE)])
    book.past_actions.append(friendly)
    book.run_all(hourly(MONDAY, 10))
    next_monday = MONDAY + timedelta(days=7)
    assert [(on, step) for on, step, *_ in book.completed] == [
        (next_monday, Step.NOTIFY_OWNER),
        (next_monday, Step.PROMISE_BROKEN),
        (next_monday, Step.SECOND_NOTICE),
    ]


def test_a_mail_asks_about_a_small_broken_promise_once_for_each_promise_and_keeps_its_distances() -> None:
    book = Simulation([overdue_invoice(12, promised_on=FRIDAY)])
    book.past_actions.append(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=4)))
    book.run_all(hourly(MONDAY, 12))
    next_monday = MONDAY + timedelta(days=7)
    asked = [(next_monday, Step.PROMISE_BROKEN), (next_monday + timedelta(days=3), Step.SECOND_NOTICE)]
    assert [(on, step) for on, step, _ in book.emails] == asked
    again_on = MONDAY + timedelta(days=16)
    book.invoices = [replace(book.invoices[0], promised_on=again_on)]
    book.run_all(hourly(MONDAY + timedelta(days=12), 8))
    assert [(on, step) for on, step, _ in book.emails[2:]] == [(again_on + timedelta(days=1), Step.PROMISE_BROKEN)]


def test_a_harder_mail_keeps_its_own_words_though_it_lists_a_broken_promise() -> None:
    steps = (Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER)
    climbed = [sent_email(step, MONDAY - timedelta(days=40 - place), "i2") for place, step in enumerate(steps)]
    promised = overdue_invoice(20, promised_on=MONDAY - timedelta(days=3))
    mail = reminder_in(decide_at(statement(promised, overdue_invoice(60, id="i2"), past_actions=tuple(climbed))))
    assert mail is not None
    assert mail.step is Step.FINAL_NOTICE
    assert dict(mail.completed)["i1"] is Step.PROMISE_BROKEN
    assert dict(mail.recurrence_keys) == {"i1": "2026-11-20"}


def test_who_gets_no_mail_is_called_about_his_broken_promise() -> None:
    promised = overdue_invoice(9, promised_on=MONDAY - timedelta(days=3))
    decision = decide_at(statement(promised, customer=replace(KNOWN_CUSTOMER, no_reminders=True)))
    assert reminder_in(decision) is None
    assert "promise_broken" in {task.code for task in tasks_in(decision)}


def test_the_answer_names_the_broken_promise() -> None:
    friendly = sent_email(Step.PAST_DUE, MONDAY - timedelta(days=1))
    broken = overdue_invoice(9, promised_on=MONDAY - timedelta(days=3), size=Size.LARGE)
    said = first_decision(statement(broken, past_actions=(friendly,)))
    assert said.code == "promise_broken"
    assert said.reason == "INV-1: EUR 100.00 was promised for 20 Nov 2026 and did not come."
    friendly = sent_email(Step.PAST_DUE, MONDAY - timedelta(days=4))
    said = first_decision(statement(replace(broken, size_percentile=0), past_actions=(friendly,)))
    assert (said.kind, said.code) == (DecisionKind.REMINDER, "promise_broken")
    assert "it was promised for 20 Nov 2026 and did not come; the friendly reminder was on 19 Nov 2026." in said.reason


def plan(*amounts: int) -> PaymentPlan:
    weeks = [MONDAY + timedelta(weeks=count) for count in range(len(amounts))]
    parts = tuple(Instalment(on, Decimal(amount)) for on, amount in zip(weeks, amounts, strict=True))
    return PaymentPlan(MONDAY - timedelta(days=7), Decimal(sum(amounts)), parts)


def test_a_plan_holds_while_its_instalments_come() -> None:
    agreed = plan(40, 30, 30)
    first_paid = overdue_invoice(30, due=Decimal(60), payment_plan=agreed)
    said = first_decision(statement(first_paid), now=at(MONDAY + timedelta(days=3)))
    assert (said.code, said.next_on) == ("payment_plan", MONDAY + timedelta(days=7))
    assert "EUR 30.00 is to come by 30 Nov 2026" in said.reason


def test_one_missed_instalment_voids_the_plan_and_chasing_goes_on() -> None:
    unpaid = overdue_invoice(30, payment_plan=plan(40, 60))
    assert first_decision(statement(unpaid)).code == "payment_plan"
    assert first_decision(statement(unpaid), now=at(MONDAY + timedelta(days=1))).code == "past_due"


def test_a_smaller_payment_than_agreed_is_a_missed_instalment() -> None:
    short = overdue_invoice(30, due=Decimal(61), payment_plan=plan(40, 60))
    assert first_decision(statement(short), now=at(MONDAY + timedelta(days=1))).code == "past_due"


def test_a_missed_instalment_is_a_task_once_and_names_what_did_not_come() -> None:
    book = Simulation([overdue_invoice(30, payment_plan=plan(40, 60))])
    book.past_actions.append(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=4)))
    book.run_all(daily(MONDAY, 14))
    tuesday = MONDAY + timedelta(days=1)
    assert [(on, step) for on, step, *_ in book.completed if step is Step.PROMISE_BROKEN] == [
        (tuesday, Step.PROMISE_BROKEN)
    ]
    (task,) = tasks_in(decide_at(statement(overdue_invoice(30, payment_plan=plan(40, 60))), now=at(tuesday)))
    assert task.code == TaskCode.PLAN_BROKEN
    assert "EUR 40.00 for 23 Nov 2026 did not come in full. The payment plan is void." in task.reason


def test_nobody_is_given_a_second_call_for_the_one_about_a_broken_promise() -> None:
    book = Simulation([overdue_invoice(13, promised_on=FRIDAY)])
    book.past_actions.append(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=8)))
    book.run_all(daily(MONDAY, 12))
    steps = [step for _on, step, *_ in book.completed]
    assert steps.count(Step.PROMISE_BROKEN) == 1
    assert Step.CALL not in steps


def test_who_wants_no_mail_is_still_called_about_a_broken_promise() -> None:
    broken = overdue_invoice(9, promised_on=MONDAY - timedelta(days=3))
    silent = replace(KNOWN_CUSTOMER, no_reminders=True)
    assert "promise_broken" in [task.code for task in tasks_in(decide_at(statement(broken, customer=silent)))]
