"""Disputes, promises and payment plans: kept, broken, and what a person is given to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from policies.decisions import AnswerKind
from policies.receivables import Instalment, PaymentPlan, Size, Step
from tests.policies.books import (
    KNOWN,
    MONDAY,
    Book,
    answer,
    at,
    daily,
    decided,
    hourly,
    late,
    mail_of,
    mailed,
    statement,
    tasks_of,
)

FRIDAY = MONDAY + timedelta(days=4)


def test_a_dispute_stops_the_mails_and_goes_to_its_owner_and_comes_back_for_review() -> None:
    book = Book([late(10, disputed_on=MONDAY, dispute_why="wrong price")]).live(hourly(MONDAY, 30))
    assert book.mails == []
    assert [(on, step) for on, step, *_ in book.done] == [
        (MONDAY, Step.DISPUTE_RAISED),
        (MONDAY + timedelta(days=14), Step.DISPUTE_RAISED),
    ]


def test_a_large_dispute_is_for_the_same_day_and_reviewed_sooner() -> None:
    (large,) = tasks_of(decided(statement(late(10, disputed_on=MONDAY, size=Size.LARGE))))
    (small,) = tasks_of(decided(statement(late(10, disputed_on=MONDAY, dispute_why="wrong price"))))
    assert (large.due_on, small.due_on) == (MONDAY, MONDAY + timedelta(days=1))
    assert "INV-1 is disputed since 23 Nov 2026: wrong price." in small.why
    book = Book([late(10, disputed_on=MONDAY, size=Size.LARGE)]).live(daily(MONDAY, 10))
    assert book.done[-1][0] == MONDAY + timedelta(days=7)


def test_a_second_dispute_is_a_new_task() -> None:
    before = mailed(Step.DISPUTE_RAISED, MONDAY - timedelta(days=40), contact=False)
    assert len(tasks_of(decided(statement(late(60, disputed_on=MONDAY), deeds=(before,))))) == 1


def test_a_broken_promise_is_called_about_once_and_chasing_goes_on_where_it_stopped() -> None:
    friendly = mailed(Step.PAST_DUE, MONDAY - timedelta(days=4))
    book = Book([late(13, promised_on=FRIDAY, size=Size.LARGE)])
    book.deeds.append(friendly)
    book.live(hourly(MONDAY, 10))
    next_monday = MONDAY + timedelta(days=7)
    assert [(on, step) for on, step, *_ in book.done] == [
        (next_monday, Step.TELL_OWNER),
        (next_monday, Step.PROMISE_BROKEN),
        (next_monday, Step.SECOND_NOTICE),
    ]


def test_a_mail_asks_about_a_small_broken_promise_once_for_each_promise_and_keeps_its_distances() -> None:
    book = Book([late(12, promised_on=FRIDAY)])
    book.deeds.append(mailed(Step.PAST_DUE, MONDAY - timedelta(days=4)))
    book.live(hourly(MONDAY, 12))
    next_monday = MONDAY + timedelta(days=7)
    asked = [(next_monday, Step.PROMISE_BROKEN), (next_monday + timedelta(days=3), Step.SECOND_NOTICE)]
    assert [(on, step) for on, step, _ in book.mails] == asked
    again_on = MONDAY + timedelta(days=16)
    book.invoices = [replace(book.invoices[0], promised_on=again_on)]
    book.live(hourly(MONDAY + timedelta(days=12), 8))
    assert [(on, step) for on, step, _ in book.mails[2:]] == [(again_on + timedelta(days=1), Step.PROMISE_BROKEN)]


def test_a_harder_mail_keeps_its_own_words_though_it_lists_a_broken_promise() -> None:
    steps = (Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER)
    climbed = [mailed(step, MONDAY - timedelta(days=40 - place), "i2") for place, step in enumerate(steps)]
    promised = late(20, promised_on=MONDAY - timedelta(days=3))
    mail = mail_of(decided(statement(promised, late(60, id="i2"), deeds=tuple(climbed))))
    assert mail is not None
    assert mail.step is Step.FINAL_NOTICE
    assert dict(mail.taken)["i1"] is Step.PROMISE_BROKEN
    assert dict(mail.occasions) == {"i1": "2026-11-20"}


def test_who_gets_no_mail_is_called_about_his_broken_promise() -> None:
    promised = late(9, promised_on=MONDAY - timedelta(days=3))
    decision = decided(statement(promised, customer=replace(KNOWN, no_reminders=True)))
    assert mail_of(decision) is None
    assert "promise_broken" in {task.code for task in tasks_of(decision)}


def test_the_answer_names_the_broken_promise() -> None:
    friendly = mailed(Step.PAST_DUE, MONDAY - timedelta(days=1))
    broken = late(9, promised_on=MONDAY - timedelta(days=3), size=Size.LARGE)
    said = answer(statement(broken, deeds=(friendly,)))
    assert said.code == "promise_broken"
    assert said.why == "INV-1: EUR 100.00 was promised for 20 Nov 2026 and did not come."
    friendly = mailed(Step.PAST_DUE, MONDAY - timedelta(days=4))
    said = answer(statement(replace(broken, size=Size.SMALL), deeds=(friendly,)))
    assert (said.kind, said.code) == (AnswerKind.REMINDER, "promise_broken")
    assert "it was promised for 20 Nov 2026 and did not come; the friendly reminder was on 19 Nov 2026." in said.why


def plan(*amounts: int) -> PaymentPlan:
    weeks = [MONDAY + timedelta(weeks=count) for count in range(len(amounts))]
    parts = tuple(Instalment(on, Decimal(amount)) for on, amount in zip(weeks, amounts, strict=True))
    return PaymentPlan(MONDAY - timedelta(days=7), Decimal(sum(amounts)), parts)


def test_a_plan_holds_while_its_instalments_come() -> None:
    agreed = plan(40, 30, 30)
    first_paid = late(30, due=Decimal(60), plan=agreed)
    said = answer(statement(first_paid), now=at(MONDAY + timedelta(days=3)))
    assert (said.code, said.next_on) == ("payment_plan", MONDAY + timedelta(days=7))
    assert "EUR 30.00 is to come by 30 Nov 2026" in said.why


def test_one_missed_instalment_voids_the_plan_and_chasing_goes_on() -> None:
    unpaid = late(30, plan=plan(40, 60))
    assert answer(statement(unpaid)).code == "payment_plan"
    assert answer(statement(unpaid), now=at(MONDAY + timedelta(days=1))).code == "past_due"


def test_a_smaller_payment_than_agreed_is_a_missed_instalment() -> None:
    short = late(30, due=Decimal(61), plan=plan(40, 60))
    assert answer(statement(short), now=at(MONDAY + timedelta(days=1))).code == "past_due"


def test_a_missed_instalment_is_a_task_once_and_names_what_did_not_come() -> None:
    book = Book([late(30, plan=plan(40, 60))])
    book.deeds.append(mailed(Step.PAST_DUE, MONDAY - timedelta(days=4)))
    book.live(daily(MONDAY, 14))
    tuesday = MONDAY + timedelta(days=1)
    assert [(on, step) for on, step, *_ in book.done if step is Step.PROMISE_BROKEN] == [(tuesday, Step.PROMISE_BROKEN)]
    (task,) = tasks_of(decided(statement(late(30, plan=plan(40, 60))), now=at(tuesday)))
    assert task.code == "plan_broken"
    assert "EUR 40.00 for 23 Nov 2026 did not come in full. The payment plan is void." in task.why


def test_nobody_is_given_a_second_call_for_the_one_about_a_broken_promise() -> None:
    book = Book([late(13, promised_on=FRIDAY)])
    book.deeds.append(mailed(Step.PAST_DUE, MONDAY - timedelta(days=8)))
    book.live(daily(MONDAY, 12))
    steps = [step for _on, step, *_ in book.done]
    assert steps.count(Step.PROMISE_BROKEN) == 1
    assert Step.CALL not in steps


def test_who_wants_no_mail_is_still_called_about_a_broken_promise() -> None:
    broken = late(9, promised_on=MONDAY - timedelta(days=3))
    silent = replace(KNOWN, no_reminders=True)
    assert "promise_broken" in [task.code for task in tasks_of(decided(statement(broken, customer=silent)))]
