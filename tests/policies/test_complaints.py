"""What users of similar systems complain about: each complaint that a decision can cause is a test here."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from policies.decide import decide
from policies.decisions import DecisionKind
from policies.policy import PolicyError, ReminderPolicy
from policies.receivables import BalanceChange, Credit, CreditKind, InvoiceStatus, PastAction, Step
from tests.policies.builders import (
    COMPANY,
    KNOWN_CUSTOMER,
    MONDAY,
    NO_HOLIDAYS,
    Simulation,
    at,
    daily,
    decide_at,
    every_five_minutes,
    fees_in,
    first_decision,
    hourly,
    invoice,
    overdue_invoice,
    paid_invoice,
    reminder_in,
    sent_email,
    statement,
)

FEES = ReminderPolicy.from_toml(
    '[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2026-01-31\nkind = "percent"\nrate = 1\n'
)


def test_complaint_22_copies_of_a_reminder_because_the_job_ran_more_than_once_a_day() -> None:
    simulation = Simulation([overdue_invoice(6)]).run_all(every_five_minutes(MONDAY, 3))
    assert [(on, step) for on, step, _ in simulation.emails] == [(MONDAY + timedelta(days=1), Step.PAST_DUE)]


def test_complaint_a_fee_every_hour() -> None:
    simulation = Simulation([overdue_invoice(5)], policy=FEES).run_all(hourly(MONDAY, 45))
    assert Counter(step for _, step, *_ in simulation.completed)[Step.LATE_FEE] == 1


def test_complaint_reminded_of_paid_invoices_because_the_payment_was_not_applied_yet() -> None:
    payment = Credit("p1", CreditKind.PAYMENT, "c1", "EUR", Decimal(100), MONDAY)
    decision = decide_at(statement(overdue_invoice(10), credits=(payment,)))
    assert reminder_in(decision) is None
    assert decision.invoice_decisions[0].code == "unapplied_credit"


def test_complaint_a_manual_send_followed_by_an_automatic_one() -> None:
    sent_manually = sent_email(Step.PAST_DUE, MONDAY)
    assert (
        reminder_in(decide_at(statement(overdue_invoice(10), past_actions=(sent_manually,)), now=at(MONDAY, 16)))
        is None
    )


def test_complaint_one_malformed_invoice_stops_the_others() -> None:
    malformed = invoice(0, id="malformed", due_on=None)
    decision = decide_at(statement(malformed, overdue_invoice(10)))
    assert {each.invoice_id: each.code for each in decision.invoice_decisions} == {
        "malformed": "no_due_date",
        "i1": "past_due",
    }


def test_complaint_an_email_to_a_blocked_address_is_queued_for_ever() -> None:
    simulation = Simulation(
        [overdue_invoice(1)], customer=replace(KNOWN_CUSTOMER, suppression_reason="on the blocklist")
    ).run_all(daily(MONDAY, 80))
    manual_steps = [
        step for _, step, *_ in simulation.completed if step not in (Step.NOTIFY_OWNER, Step.HAND_OFF_REVIEW)
    ]
    assert (simulation.emails, manual_steps) == ([], [Step.PAST_DUE])


@pytest.mark.parametrize(("due_in", "step"), [(7, Step.BEFORE_DUE), (16, Step.RECEIPT_CHECK), (-7, Step.PAST_DUE)])
@pytest.mark.parametrize("missed", [0, 1, 2, 3])
def test_complaint_a_step_due_on_one_day_only_is_lost_after_a_missed_run(due_in: int, step: Step, missed: int) -> None:
    simulation = Simulation([invoice(due_in)]).run_all(daily(MONDAY + timedelta(days=missed), 1))
    assert [step for _, step, _ in simulation.emails] == [step]


def test_complaint_an_offset_with_the_opposite_sign_from_its_description() -> None:
    for document in ("[before_due]\nnew = 7", "[past_due]\nnew = -3", "[receipt_check]\nnew = -7"):
        with pytest.raises(PolicyError, match="line 2"):
            ReminderPolicy.from_toml(document)
    before = Simulation([invoice(8)]).run_all(daily(MONDAY, 1))
    after = Simulation([invoice(7)]).run_all(daily(MONDAY, 1))
    assert ([step for _, step, _ in before.emails], [step for _, step, _ in after.emails]) == ([], [Step.BEFORE_DUE])


def test_complaint_emails_at_one_in_the_morning() -> None:
    auckland = replace(KNOWN_CUSTOMER, time_zone="Pacific/Auckland", country="NZ")
    simulation = Simulation([overdue_invoice(7), overdue_invoice(8, id="i2")], customer=auckland).run_all(
        hourly(MONDAY, 60)
    )
    hours = {instant.astimezone(ZoneInfo("Pacific/Auckland")).hour for instant in simulation.sent_times}
    assert simulation.sent_times
    assert hours <= set(range(8, 18))


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_complaint_a_due_date_a_day_early(zone: str) -> None:
    company = replace(COMPANY, time_zone=zone)
    time_zone = ZoneInfo(zone)
    last_minute = datetime(2026, 11, 23, 23, 59, tzinfo=time_zone).astimezone(UTC)
    due_today = statement(invoice(0), company=company)
    outcome = [first_decision(due_today, now=now).next_on for now in (last_minute, last_minute + timedelta(minutes=1))]
    assert outcome == [date(2026, 11, 30)] * 2
    assert "23 Nov 2026, 7 days ago" in first_decision(due_today, now=last_minute + timedelta(days=7)).reason


def test_complaint_one_email_per_invoice() -> None:
    ledger = [overdue_invoice(days, id=f"i{days}") for days in range(7, 30)]
    decision = decide_at(statement(*ledger))
    email = reminder_in(decision)
    assert email is not None
    assert len(email.completed) == len(email.listed) == 23
    assert sum(type(action) is type(email) for action in decision.actions) == 1


def test_complaint_currencies_mixed() -> None:
    decision = decide_at(statement(overdue_invoice(11, id="e")), statement(overdue_invoice(10, id="d", currency="USD")))
    email = reminder_in(decision)
    assert email is not None
    assert (email.currency, email.listed) == ("EUR", ("e",))
    assert "USD" not in email.reason


def test_complaint_a_fee_on_a_fee() -> None:
    warned = (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=20)), sent_email(Step.PAST_DUE, MONDAY, "fee"))
    decision = decide_at(
        statement(overdue_invoice(60), overdue_invoice(40, id="fee", fee_of="i1"), past_actions=warned), policy=FEES
    )
    assert [fee.invoice_id for fee in fees_in(decision)] == ["i1"]


def test_complaint_interest_on_the_full_sum_after_a_part_payment() -> None:
    warned = (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=20)),)
    rules = ReminderPolicy.from_toml(
        '[late_fees]\nenabled = true\nterms_agreed_on = 2026-01-31\nkind = "percent_per_month"\nrate = 1\n'
    )
    part_paid = overdue_invoice(
        31, total="1000", due=Decimal(400), balance_changes=(BalanceChange(MONDAY - timedelta(days=31), Decimal(-600)),)
    )
    (fee,) = fees_in(decide_at(statement(part_paid, past_actions=warned), policy=rules))
    assert fee.amount == Decimal("4.00")


def test_complaint_no_way_to_leave_out_one_disputed_invoice() -> None:
    decision = decide_at(statement(overdue_invoice(30, id="disputed", disputed_on=MONDAY), overdue_invoice(10)))
    email = reminder_in(decision)
    assert email is not None
    assert email.listed == ("i1",)


def test_complaint_nobody_knows_why_nothing_was_sent() -> None:
    ledger = (
        paid_invoice(MONDAY - timedelta(days=20), id="paid"),
        invoice(20, id="young"),
        overdue_invoice(3, id="late"),
        overdue_invoice(40, id="void", status=InvoiceStatus.VOIDED),
        overdue_invoice(40, id="draft", status=InvoiceStatus.DRAFT),
    )
    decisions = decide_at(statement(*ledger)).invoice_decisions
    assert [each.invoice_id for each in decisions] == [each.id for each in ledger]
    assert all(each.reason.endswith(".") for each in decisions)
    held = [each.invoice_id for each in decisions if each.kind is DecisionKind.HOLD]
    assert held == ["draft"]  # the others are settled, or between two steps


def test_complaint_the_same_email_again_and_again() -> None:
    simulation = Simulation([overdue_invoice(1)]).run_all(hourly(MONDAY, 150))
    steps = [step for _, step, _ in simulation.emails]
    assert len(steps) == len(set(steps))


def test_a_reversed_payment_does_not_repeat_old_steps() -> None:
    done = (
        sent_email(Step.PAST_DUE, MONDAY - timedelta(days=40)),
        sent_email(Step.SECOND_NOTICE, MONDAY - timedelta(days=30)),
    )
    (outcome,) = decide_at(statement(overdue_invoice(60), past_actions=done)).invoice_decisions
    assert outcome.code == "plan_offer"


def test_an_email_with_unconfirmed_delivery_is_not_sent_again() -> None:
    unconfirmed = PastAction(
        Step.PAST_DUE, "i1", at(MONDAY - timedelta(days=9)), MONDAY - timedelta(days=9), "m", unconfirmed=True
    )
    decision = decide(
        [statement(overdue_invoice(14), past_actions=(unconfirmed,))], ReminderPolicy.default(), at(MONDAY), NO_HOLIDAYS
    )
    assert decision.invoice_decisions[0].code == "not_due_yet"
