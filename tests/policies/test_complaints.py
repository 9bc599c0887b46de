"""What people complain of in systems like this one: each complaint that a decision can cause is a test here."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from policies.decide import decide
from policies.decisions import AnswerKind
from policies.policy import PolicyError, ReminderPolicy
from policies.receivables import BalanceChange, Credit, CreditKind, Deed, InvoiceStatus, Step
from tests.policies.books import (
    COMPANY,
    KNOWN,
    MONDAY,
    NO_HOLIDAYS,
    Book,
    answer,
    at,
    daily,
    decided,
    every_five_minutes,
    fees_of,
    hourly,
    invoice,
    late,
    mail_of,
    mailed,
    paid,
    statement,
)

FEES = ReminderPolicy.from_toml(
    '[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2026-01-31\nkind = "percent"\nrate = 1\n'
)


def test_complaint_22_copies_of_a_reminder_because_the_job_ran_more_than_once_a_day() -> None:
    book = Book([late(6)]).live(every_five_minutes(MONDAY, 3))
    assert [(on, step) for on, step, _ in book.mails] == [(MONDAY + timedelta(days=1), Step.PAST_DUE)]


def test_complaint_a_fee_every_hour() -> None:
    book = Book([late(5)], policy=FEES).live(hourly(MONDAY, 45))
    assert Counter(step for _, step, *_ in book.done)[Step.LATE_FEE] == 1


def test_complaint_reminded_of_paid_invoices_because_the_payment_was_not_yet_allocated() -> None:
    money = Credit("p1", CreditKind.PAYMENT, "c1", "EUR", Decimal(100), MONDAY)
    decision = decided(statement(late(10), credits=(money,)))
    assert mail_of(decision) is None
    assert decision.answers[0].code == "unapplied_credit"


def test_complaint_a_manual_send_followed_by_an_automatic_one() -> None:
    by_hand = mailed(Step.PAST_DUE, MONDAY)
    assert mail_of(decided(statement(late(10), deeds=(by_hand,)), now=at(MONDAY, 16))) is None


def test_complaint_one_odd_invoice_stopping_the_others() -> None:
    odd = invoice(0, id="odd", due_on=None)
    decision = decided(statement(odd, late(10)))
    assert {each.invoice_id: each.code for each in decision.answers} == {"odd": "no_due_date", "i1": "past_due"}


def test_complaint_a_blacklisted_address_queued_for_ever() -> None:
    book = Book([late(1)], customer=replace(KNOWN, suppressed_why="on the blocklist")).live(daily(MONDAY, 80))
    by_person = [step for _, step, *_ in book.done if step not in (Step.TELL_OWNER, Step.HAND_OFF_REVIEW)]
    assert (book.mails, by_person) == ([], [Step.PAST_DUE])


@pytest.mark.parametrize(("due_in", "step"), [(7, Step.BEFORE_DUE), (16, Step.VERIFY_RECEIPT), (-7, Step.PAST_DUE)])
@pytest.mark.parametrize("missed", [0, 1, 2, 3])
def test_complaint_a_step_of_the_exact_day_is_lost_after_a_missed_run(due_in: int, step: Step, missed: int) -> None:
    book = Book([invoice(due_in)]).live(daily(MONDAY + timedelta(days=missed), 1))
    assert [step for _, step, _ in book.mails] == [step]


def test_complaint_an_offset_with_the_opposite_sign_from_its_description() -> None:
    for document in ("[before_due]\nnew = 7", "[past_due]\nnew = -3", "[verify_receipt]\nnew = -7"):
        with pytest.raises(PolicyError, match="line 2"):
            ReminderPolicy.from_toml(document)
    before = Book([invoice(8)]).live(daily(MONDAY, 1))
    after = Book([invoice(7)]).live(daily(MONDAY, 1))
    assert ([step for _, step, _ in before.mails], [step for _, step, _ in after.mails]) == ([], [Step.BEFORE_DUE])


def test_complaint_mail_at_one_in_the_night() -> None:
    auckland = replace(KNOWN, time_zone="Pacific/Auckland", country="NZ")
    book = Book([late(7), late(8, id="i2")], customer=auckland).live(hourly(MONDAY, 60))
    hours = {moment.astimezone(ZoneInfo("Pacific/Auckland")).hour for moment in book.left_at}
    assert book.left_at
    assert hours <= set(range(8, 18))


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_complaint_a_due_date_a_day_early(zone: str) -> None:
    company = replace(COMPANY, time_zone=zone)
    there = ZoneInfo(zone)
    last_minute = datetime(2026, 11, 23, 23, 59, tzinfo=there).astimezone(UTC)
    due_today = statement(invoice(0), company=company)
    said = [answer(due_today, now=now).next_on for now in (last_minute, last_minute + timedelta(minutes=1))]
    assert said == [date(2026, 11, 30)] * 2
    assert "23 Nov 2026, 7 days ago" in answer(due_today, now=last_minute + timedelta(days=7)).why


def test_complaint_one_mail_per_invoice() -> None:
    ledger = [late(days, id=f"i{days}") for days in range(7, 30)]
    decision = decided(statement(*ledger))
    mail = mail_of(decision)
    assert mail is not None
    assert len(mail.taken) == len(mail.listed) == 23
    assert sum(type(action) is type(mail) for action in decision.actions) == 1


def test_complaint_currencies_mixed() -> None:
    decision = decided(statement(late(11, id="e")), statement(late(10, id="d", currency="USD")))
    mail = mail_of(decision)
    assert mail is not None
    assert (mail.currency, mail.listed) == ("EUR", ("e",))
    assert "USD" not in mail.why


def test_complaint_a_fee_on_a_fee() -> None:
    warned = (mailed(Step.PAST_DUE, MONDAY - timedelta(days=20)), mailed(Step.PAST_DUE, MONDAY, "fee"))
    decision = decided(statement(late(60), late(40, id="fee", fee_of="i1"), deeds=warned), policy=FEES)
    assert [fee.invoice_id for fee in fees_of(decision)] == ["i1"]


def test_complaint_interest_on_the_full_sum_after_a_part_payment() -> None:
    warned = (mailed(Step.PAST_DUE, MONDAY - timedelta(days=20)),)
    rules = ReminderPolicy.from_toml(
        '[late_fees]\nenabled = true\nterms_agreed_on = 2026-01-31\nkind = "percent_per_month"\nrate = 1\n'
    )
    part_paid = late(
        31, total="1000", due=Decimal(400), changes=(BalanceChange(MONDAY - timedelta(days=31), Decimal(-600)),)
    )
    (fee,) = fees_of(decided(statement(part_paid, deeds=warned), policy=rules))
    assert fee.amount == Decimal("4.00")


def test_complaint_no_way_to_leave_out_one_disputed_invoice() -> None:
    decision = decided(statement(late(30, id="disputed", disputed_on=MONDAY), late(10)))
    mail = mail_of(decision)
    assert mail is not None
    assert mail.listed == ("i1",)


def test_complaint_nobody_can_tell_why_nothing_was_sent() -> None:
    ledger = (
        paid(MONDAY - timedelta(days=20), id="paid"),
        invoice(20, id="young"),
        late(3, id="late"),
        late(40, id="void", status=InvoiceStatus.VOIDED),
        late(40, id="draft", status=InvoiceStatus.DRAFT),
    )
    answers = decided(statement(*ledger)).answers
    assert [each.invoice_id for each in answers] == [each.id for each in ledger]
    assert all(each.kind is AnswerKind.HOLD and each.why.endswith(".") for each in answers)


def test_complaint_the_same_form_mail_again_and_again() -> None:
    book = Book([late(1)]).live(hourly(MONDAY, 150))
    steps = [step for _, step, _ in book.mails]
    assert len(steps) == len(set(steps))


def test_a_payment_taken_back_does_not_replay_old_steps() -> None:
    done = (mailed(Step.PAST_DUE, MONDAY - timedelta(days=40)), mailed(Step.SECOND_NOTICE, MONDAY - timedelta(days=30)))
    (said,) = decided(statement(late(60), deeds=done)).answers
    assert said.code == "plan_offer"


def test_a_doubtful_mail_is_not_sent_again() -> None:
    doubt = Deed(Step.PAST_DUE, "i1", at(MONDAY - timedelta(days=9)), MONDAY - timedelta(days=9), "m", uncertain=True)
    decision = decide([statement(late(14), deeds=(doubt,))], ReminderPolicy.default(), at(MONDAY), NO_HOLIDAYS)
    assert decision.answers[0].code == "not_yet"
