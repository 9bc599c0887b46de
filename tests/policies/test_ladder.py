"""The ladder: which step is due, in which order, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from policies.policy import ReminderPolicy
from policies.receivables import Deed, Discount, Segment, Size, Step
from tests.policies.books import (
    KNOWN,
    MONDAY,
    NEWCOMER,
    Book,
    answer,
    at,
    daily,
    decided,
    hourly,
    invoice,
    late,
    mail_of,
    mailed,
    statement,
    tasks_of,
)

RUNGS = [Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE]
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


def any_day() -> ReminderPolicy:
    """The default policy with a window that never closes, so that a step's day is the day it is taken."""
    return ReminderPolicy.from_toml(
        '[window]\nopens = "00:00"\ncloses = "23:59"\nweekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]\n'
    )


def mails_by_day(book: Book) -> list[tuple[int, Step]]:
    due_on = book.invoices[0].due_on
    assert due_on is not None
    return [((on - due_on).days, step) for on, step, _ in book.mails]


@pytest.mark.parametrize(("cell", "days"), TABLE.items(), ids=[" ".join(cell) for cell in TABLE])
def test_the_mails_after_the_due_date_leave_on_the_days_of_the_table(
    cell: tuple[Segment, Size], days: tuple[int, ...]
) -> None:
    segment, size = cell
    customer = replace(KNOWN, segment=segment)
    book = Book([invoice(0, size=size)], policy=any_day(), customer=customer).live(daily(MONDAY, 100))
    past_due = [(day, step) for day, step in mails_by_day(book) if step in RUNGS]
    assert past_due == list(zip(days, RUNGS, strict=True))


def test_tasks_are_made_on_the_days_of_the_table_each_once() -> None:
    customer = replace(KNOWN, segment=Segment.ESTABLISHED)
    book = Book([invoice(0, size=Size.LARGE)], policy=any_day(), customer=customer).live(hourly(MONDAY, 100))
    tasks = [((on - MONDAY).days, step) for on, step, *_ in book.done if step not in RUNGS]
    assert tasks == [
        (8, Step.CALL),
        (14, Step.TELL_OWNER),
        (27, Step.CALL_SENIOR),
        (45, Step.PROPOSE_SUSPENSION),
        (75, Step.HAND_OFF_REVIEW),
    ]


def test_before_the_due_date_it_asks_for_receipt_and_reminds_a_week_before() -> None:
    book = Book([invoice(30)], policy=any_day()).live(daily(MONDAY, 31))
    assert mails_by_day(book) == [(-16, Step.VERIFY_RECEIPT), (-7, Step.BEFORE_DUE)]


def test_a_new_customer_is_reminded_on_the_due_date() -> None:
    book = Book([invoice(30)], policy=any_day(), customer=replace(NEWCOMER)).live(daily(MONDAY, 40))
    assert mails_by_day(book)[1:] == [(-7, Step.BEFORE_DUE), (0, Step.DUE_TODAY), (5, Step.PAST_DUE)]


def test_a_strategic_customers_large_invoice_is_verified_by_telephone() -> None:
    facts = statement(invoice(23, size=Size.LARGE), customer=replace(KNOWN, segment=Segment.STRATEGIC))
    decision = decided(facts)
    assert mail_of(decision) is None
    assert [task.step for task in tasks_of(decision)] == [Step.VERIFY_RECEIPT]


@pytest.mark.parametrize("terms", [7, 10, 14])
def test_short_terms_drop_the_question_for_receipt(terms: int) -> None:
    book = Book([invoice(terms, terms=terms)], policy=any_day()).live(daily(MONDAY, terms + 1))
    assert [step for _, step in mails_by_day(book)] == [Step.BEFORE_DUE]


def test_an_invoice_due_on_receipt_gets_no_early_mail() -> None:
    book = Book([invoice(0, terms=0)], policy=any_day()).live(daily(MONDAY, 10))
    assert mails_by_day(book) == [(7, Step.PAST_DUE)]


def test_a_discount_is_named_two_days_before_it_ends() -> None:
    discount = Discount(Decimal(2), MONDAY + timedelta(days=10))
    book = Book([invoice(30, discount=discount)], policy=any_day()).live(daily(MONDAY, 14))
    assert [(on, step) for on, step, _ in book.mails] == [(MONDAY + timedelta(days=8), Step.DISCOUNT_ENDING)]


def test_nothing_is_due_between_two_steps_and_the_answer_says_until_when() -> None:
    said = answer(statement(late(10), deeds=(mailed(Step.PAST_DUE, MONDAY - timedelta(days=3)),)))
    assert said.code == "not_yet"
    assert (said.next_step, said.next_on) == (Step.SECOND_NOTICE, date(2026, 11, 30))
    assert said.why == "Nothing due until 30 Nov 2026: then the second notice."


def test_an_old_ledger_gets_one_mail_and_none_harsher_than_past_due() -> None:
    ledger = [invoice(-days, id=f"i{days}") for days in (1, 8, 40, 100, 400)]
    decision = decided(statement(*ledger))
    mail = mail_of(decision)
    assert mail is not None
    assert mail.step is Step.PAST_DUE
    assert {step for _, step in mail.taken} == {Step.PAST_DUE}
    assert len([each for each in decision.actions if type(each) is type(mail)]) == 1
    assert mail.listed == ("i400", "i100", "i40", "i8", "i1")


def test_after_the_first_mail_to_an_old_ledger_the_next_rungs_keep_their_gaps() -> None:
    book = Book([late(200)], policy=any_day()).live(daily(MONDAY, 60))
    days = [(on - MONDAY).days for on, _, _ in book.mails]
    assert [step for _, step, _ in book.mails] == RUNGS
    assert days == [0, 10, 20, 38]  # 7, 17, 27, 45 in the table


def test_no_suspension_is_proposed_before_its_notice_even_when_very_late() -> None:
    book = Book([late(200)], policy=any_day()).live(daily(MONDAY, 90))
    done = {step: (on - MONDAY).days for on, step, *_ in book.done}
    assert done[Step.PROPOSE_SUSPENSION] - done[Step.FINAL_NOTICE] == 15


def test_the_final_notice_names_the_day_of_the_proposal() -> None:
    deeds = tuple(
        mailed(step, MONDAY - timedelta(days=ago))
        for step, ago in [(Step.PAST_DUE, 40), (Step.SECOND_NOTICE, 30), (Step.PLAN_OFFER, 20)]
    )
    mail = mail_of(decided(statement(late(50), deeds=deeds)))
    assert mail is not None
    assert (mail.step, mail.suspension_on) == (Step.FINAL_NOTICE, MONDAY + timedelta(days=15))


def test_only_the_most_advanced_overdue_task_is_made() -> None:
    deeds = (
        mailed(Step.PAST_DUE, MONDAY - timedelta(days=80)),
        mailed(Step.SECOND_NOTICE, MONDAY - timedelta(days=70)),
        mailed(Step.PLAN_OFFER, MONDAY - timedelta(days=60)),
        mailed(Step.FINAL_NOTICE, MONDAY - timedelta(days=40)),
    )
    late_one = late(100, size=Size.LARGE)
    decision = decided(statement(late_one, deeds=deeds))
    assert [task.step for task in tasks_of(decision)] == [Step.HAND_OFF_REVIEW]
    made = Deed(Step.HAND_OFF_REVIEW, "i1", at(MONDAY), MONDAY, contact=False)
    assert tasks_of(decided(statement(late_one, deeds=(*deeds, made)))) == []


def test_when_every_step_was_taken_the_answer_says_so() -> None:
    steps = [*RUNGS, Step.PROPOSE_SUSPENSION, Step.HAND_OFF_REVIEW, Step.TELL_OWNER, Step.CALL]
    deeds = tuple(mailed(step, MONDAY - timedelta(days=100 - place)) for place, step in enumerate(steps))
    assert answer(statement(late(200), deeds=deeds)).code == "all_taken"


def test_one_mail_takes_each_invoices_own_step_and_the_hardest_sets_the_text() -> None:
    facts = statement(
        late(8, id="friendly"),
        late(30, id="second"),
        invoice(7, id="soon"),
        invoice(20, id="later"),
        deeds=(mailed(Step.PAST_DUE, MONDAY - timedelta(days=20), "second"),),
    )
    mail = mail_of(decided(facts))
    assert mail is not None
    assert mail.step is Step.SECOND_NOTICE
    assert mail.taken == (
        ("second", Step.SECOND_NOTICE),
        ("friendly", Step.PAST_DUE),
        ("soon", Step.BEFORE_DUE),
    )
    assert mail.listed == ("second", "friendly", "soon")


def test_a_late_fee_invoice_is_listed_with_its_parent() -> None:
    facts = statement(late(8, id="parent"), late(1, id="fee", fee_of="parent"), late(1, id="other", fee_of="gone"))
    mail = mail_of(decided(facts))
    assert mail is not None
    assert mail.listed == ("parent", "fee")
    assert mail.taken == (("parent", Step.PAST_DUE),)


def test_after_an_outage_only_the_step_that_is_right_today_goes_out() -> None:
    book = Book([invoice(10)], policy=any_day())
    book.live(daily(MONDAY, 4))
    book.live(daily(MONDAY + timedelta(days=60), 1))
    assert [step for _, step, _ in book.mails][-1] is Step.PAST_DUE
    assert len([on for on, _, _ in book.mails if on >= MONDAY + timedelta(days=60)]) == 1


def test_an_early_step_is_never_sent_late() -> None:
    assert answer(statement(late(1))).code == "not_yet"
    assert mail_of(decided(statement(late(1), customer=NEWCOMER))) is None


def test_due_today_is_not_planned_for_a_day_on_which_it_would_be_untrue() -> None:
    decision = decided(statement(invoice(0), customer=NEWCOMER), now=at(MONDAY, 19))
    assert mail_of(decision) is None


def test_a_moved_due_date_moves_what_comes_next() -> None:
    moved = invoice(20)
    said = answer(statement(moved, deeds=(mailed(Step.PAST_DUE, MONDAY - timedelta(days=5)),)))
    assert (said.code, said.next_on) == ("not_yet", MONDAY + timedelta(days=13))
