"""The ladder: which step is due, in which order, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from policies.policy import ReminderPolicy
from policies.receivables import Discount, PastAction, Segment, Size, Step
from tests.policies.builders import (
    KNOWN_CUSTOMER,
    MONDAY,
    NEW_CUSTOMER,
    Simulation,
    at,
    daily,
    decide_at,
    first_decision,
    hourly,
    invoice,
    overdue_invoice,
    reminder_in,
    sent_email,
    statement,
    tasks_in,
)

LEVEL_STEPS = [Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE]
TABLE = {  # policy.md's table, past_due / second_notice / plan_offer / final_notice
    (Segment.STRATEGIC, Size.LARGE): (4, 14, 21, 45),
    (Segment.STRATEGIC, Size.MEDIUM): (5, 19, 26, 50),
    (Segment.STRATEGIC, Size.SMALL): (7, 21, 35, 60),
    (Segment.ESTABLISHED, Size.LARGE): (3, 14, 20, 35),
    (Segment.ESTABLISHED, Size.MEDIUM): (5, 19, 25, 40),
    (Segment.ESTABLISHED, Size.SMALL): (7, 17, 27, 45),
    (Segment.NEW, Size.LARGE): (3, 12, 17, 25),
    (Segment.NEW, Size.MEDIUM): (4, 15, 20, 30),
    (Segment.NEW, Size.SMALL): (5, 14, 19, 30),
}


def always_open_policy() -> ReminderPolicy:
    """The default policy with a window that never closes, so that a step's day is the day it is taken."""
    return ReminderPolicy.from_toml(
        '[send_window]\nopens = "00:00"\ncloses = "23:59"\nweekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]\n'
    )


def emails_by_day(book: Simulation) -> list[tuple[int, Step]]:
    due_on = book.invoices[0].due_on
    assert due_on is not None
    return [((on - due_on).days, step) for on, step, _ in book.emails]


@pytest.mark.parametrize(("cell", "days"), TABLE.items(), ids=[" ".join(cell) for cell in TABLE])
def test_the_mails_after_the_due_date_leave_on_the_days_of_the_table(
    cell: tuple[Segment, Size], days: tuple[int, ...]
) -> None:
    segment, size = cell
    customer = replace(KNOWN_CUSTOMER, segment=segment)
    book = Simulation([invoice(0, size=size)], policy=always_open_policy(), customer=customer).run_all(
        daily(MONDAY, 100)
    )
    past_due = [(day, step) for day, step in emails_by_day(book) if step in LEVEL_STEPS]
    assert past_due == list(zip(days, LEVEL_STEPS, strict=True))


def test_tasks_are_made_on_the_days_of_the_table_each_once() -> None:
    customer = replace(KNOWN_CUSTOMER, segment=Segment.ESTABLISHED)
    book = Simulation([invoice(0, size=Size.LARGE)], policy=always_open_policy(), customer=customer).run_all(
        hourly(MONDAY, 100)
    )
    tasks = [((on - MONDAY).days, step) for on, step, *_ in book.completed if step not in LEVEL_STEPS]
    assert tasks == [
        (8, Step.CALL),
        (14, Step.NOTIFY_OWNER),
        (27, Step.ESCALATION_CALL),
        (45, Step.PROPOSE_SUSPENSION),
        (75, Step.HAND_OFF_REVIEW),
    ]


def test_before_the_due_date_it_asks_for_receipt_and_reminds_a_week_before() -> None:
    book = Simulation([invoice(30)], policy=always_open_policy()).run_all(daily(MONDAY, 31))
    assert emails_by_day(book) == [(-16, Step.RECEIPT_CHECK), (-7, Step.BEFORE_DUE)]


def test_a_new_customer_is_reminded_on_the_due_date() -> None:
    book = Simulation([invoice(30)], policy=always_open_policy(), customer=replace(NEW_CUSTOMER)).run_all(
        daily(MONDAY, 40)
    )
    assert emails_by_day(book)[1:] == [(-7, Step.BEFORE_DUE), (0, Step.DUE_TODAY), (5, Step.PAST_DUE)]


def test_a_strategic_customers_large_invoice_is_verified_by_telephone() -> None:
    facts = statement(invoice(23, size=Size.LARGE), customer=replace(KNOWN_CUSTOMER, segment=Segment.STRATEGIC))
    decision = decide_at(facts)
    assert reminder_in(decision) is None
    assert [task.step for task in tasks_in(decision)] == [Step.RECEIPT_CHECK]


@pytest.mark.parametrize("terms", [7, 10, 14])
def test_short_terms_drop_the_question_for_receipt(terms: int) -> None:
    book = Simulation([invoice(terms, terms=terms)], policy=always_open_policy()).run_all(daily(MONDAY, terms + 1))
    assert [step for _, step in emails_by_day(book)] == [Step.BEFORE_DUE]


def test_an_invoice_due_on_receipt_gets_no_early_mail() -> None:
    book = Simulation([invoice(0, terms=0)], policy=always_open_policy()).run_all(daily(MONDAY, 10))
    assert emails_by_day(book) == [(7, Step.PAST_DUE)]


def test_a_discount_is_named_two_days_before_it_ends() -> None:
    discount = Discount(Decimal(2), MONDAY + timedelta(days=10))
    book = Simulation([invoice(30, discount=discount)], policy=always_open_policy()).run_all(daily(MONDAY, 14))
    assert [(on, step) for on, step, _ in book.emails] == [(MONDAY + timedelta(days=8), Step.DISCOUNT_ENDING)]


def test_nothing_is_due_between_two_steps_and_the_answer_says_until_when() -> None:
    said = first_decision(
        statement(overdue_invoice(10), past_actions=(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=3)),))
    )
    assert said.code == "not_due_yet"
    assert (said.next_step, said.next_on) == (Step.SECOND_NOTICE, date(2026, 11, 30))
    assert said.reason == "Nothing due until 30 Nov 2026: then the second notice."


def test_an_old_ledger_gets_one_mail_and_none_harsher_than_past_due() -> None:
    ledger = [invoice(-days, id=f"i{days}") for days in (1, 8, 40, 100, 400)]
    decision = decide_at(statement(*ledger))
    mail = reminder_in(decision)
    assert mail is not None
    assert mail.step is Step.PAST_DUE
    assert {step for _, step in mail.completed} == {Step.PAST_DUE}
    assert len([each for each in decision.actions if type(each) is type(mail)]) == 1
    assert mail.listed == ("i400", "i100", "i40", "i8", "i1")


def test_after_the_first_mail_to_an_old_ledger_the_next_rungs_keep_their_gaps() -> None:
    book = Simulation([overdue_invoice(200)], policy=always_open_policy()).run_all(daily(MONDAY, 60))
    days = [(on - MONDAY).days for on, _, _ in book.emails]
    assert [step for _, step, _ in book.emails] == LEVEL_STEPS
    assert days == [0, 10, 20, 38]  # 7, 17, 27, 45 in the table


def test_no_suspension_is_proposed_before_its_notice_even_when_very_late() -> None:
    book = Simulation([overdue_invoice(200)], policy=always_open_policy()).run_all(daily(MONDAY, 90))
    done = {step: (on - MONDAY).days for on, step, *_ in book.completed}
    assert done[Step.PROPOSE_SUSPENSION] - done[Step.FINAL_NOTICE] == 15


def test_the_final_notice_names_the_day_of_the_proposal() -> None:
    past_actions = tuple(
        sent_email(step, MONDAY - timedelta(days=ago))
        for step, ago in [(Step.PAST_DUE, 40), (Step.SECOND_NOTICE, 30), (Step.PLAN_OFFER, 20)]
    )
    mail = reminder_in(decide_at(statement(overdue_invoice(50), past_actions=past_actions)))
    assert mail is not None
    assert (mail.step, mail.suspension_on) == (Step.FINAL_NOTICE, MONDAY + timedelta(days=15))


def test_only_the_most_advanced_overdue_task_is_made() -> None:
    past_actions = (
        sent_email(Step.PAST_DUE, MONDAY - timedelta(days=80)),
        sent_email(Step.SECOND_NOTICE, MONDAY - timedelta(days=70)),
        sent_email(Step.PLAN_OFFER, MONDAY - timedelta(days=60)),
        sent_email(Step.FINAL_NOTICE, MONDAY - timedelta(days=40)),
    )
    late_one = overdue_invoice(100, size=Size.LARGE)
    decision = decide_at(statement(late_one, past_actions=past_actions))
    assert [task.step for task in tasks_in(decision)] == [Step.HAND_OFF_REVIEW]
    made = PastAction(Step.HAND_OFF_REVIEW, "i1", at(MONDAY), MONDAY, is_contact=False)
    assert tasks_in(decide_at(statement(late_one, past_actions=(*past_actions, made)))) == []


def test_when_every_step_was_taken_the_answer_says_so() -> None:
    steps = [*LEVEL_STEPS, Step.PROPOSE_SUSPENSION, Step.HAND_OFF_REVIEW, Step.NOTIFY_OWNER, Step.CALL]
    past_actions = tuple(sent_email(step, MONDAY - timedelta(days=100 - place)) for place, step in enumerate(steps))
    assert first_decision(statement(overdue_invoice(200), past_actions=past_actions)).code == "all_steps_completed"


def test_one_mail_takes_each_invoices_own_step_and_the_hardest_sets_the_text() -> None:
    facts = statement(
        overdue_invoice(8, id="friendly"),
        overdue_invoice(30, id="second"),
        invoice(7, id="soon"),
        invoice(20, id="later"),
        past_actions=(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=20), "second"),),
    )
    mail = reminder_in(decide_at(facts))
    assert mail is not None
    assert mail.step is Step.SECOND_NOTICE
    assert mail.completed == (
        ("second", Step.SECOND_NOTICE),
        ("friendly", Step.PAST_DUE),
        ("soon", Step.BEFORE_DUE),
    )
    assert mail.listed == ("second", "friendly", "soon")


def test_a_late_fee_invoice_is_listed_with_its_parent() -> None:
    facts = statement(
        overdue_invoice(8, id="parent"),
        overdue_invoice(1, id="fee", fee_of="parent"),
        overdue_invoice(1, id="other", fee_of="gone"),
    )
    mail = reminder_in(decide_at(facts))
    assert mail is not None
    assert mail.listed == ("parent", "fee")
    assert mail.completed == (("parent", Step.PAST_DUE),)


def test_after_an_outage_only_the_step_that_is_right_today_goes_out() -> None:
    book = Simulation([invoice(10)], policy=always_open_policy())
    book.run_all(daily(MONDAY, 4))
    book.run_all(daily(MONDAY + timedelta(days=60), 1))
    assert [step for _, step, _ in book.emails][-1] is Step.PAST_DUE
    assert len([on for on, _, _ in book.emails if on >= MONDAY + timedelta(days=60)]) == 1


def test_an_early_step_is_never_sent_late() -> None:
    assert first_decision(statement(overdue_invoice(1))).code == "not_due_yet"
    assert reminder_in(decide_at(statement(overdue_invoice(1), customer=NEW_CUSTOMER))) is None


def test_due_today_is_not_planned_for_a_day_on_which_it_would_be_untrue() -> None:
    decision = decide_at(statement(invoice(0), customer=NEW_CUSTOMER), now=at(MONDAY, 19))
    assert reminder_in(decision) is None


def test_a_moved_due_date_moves_what_comes_next() -> None:
    moved = invoice(20)
    said = first_decision(statement(moved, past_actions=(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=5)),)))
    assert (said.code, said.next_on) == ("not_due_yet", MONDAY + timedelta(days=13))
