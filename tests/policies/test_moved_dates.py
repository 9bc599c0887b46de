"""Steps, warnings and fees after a due date has moved, and of invoices that nobody could know of before."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from policies.decisions import HoldCode
from policies.policy import ReminderPolicy
from policies.receivables import PastAction, Step
from tests.policies.builders import (
    KNOWN_CUSTOMER,
    MONDAY,
    Simulation,
    at,
    daily,
    decide_at,
    fees_in,
    first_decision,
    invoice,
    overdue_invoice,
    reminder_in,
    sent_email,
    statement,
    tasks_in,
)

FEES = ReminderPolicy.from_toml("[late_fees]\nenabled = true\nterms_agreed_on = 2025-01-01\n")


def ago(days: int) -> date:
    return MONDAY - timedelta(days=days)


def test_a_reminder_before_the_due_date_in_force_does_not_count() -> None:
    moved = overdue_invoice(8)
    before, after = (sent_email(Step.PAST_DUE, ago(days)) for days in (12, 1))
    assert reminder_in(decide_at(statement(moved, past_actions=(before,)))).step is Step.PAST_DUE  # type: ignore[union-attr]
    decision = first_decision(statement(moved, past_actions=(before, after)))
    assert (decision.next_step, decision.code) == (Step.SECOND_NOTICE, HoldCode.NOT_DUE_YET)


def test_a_repeated_step_has_a_key_of_its_own_and_a_first_one_has_none() -> None:
    moved = overdue_invoice(8, id="a")
    other = overdue_invoice(8, id="b")
    before = sent_email(Step.PAST_DUE, ago(12), invoice_id="a")
    reminder = reminder_in(decide_at(statement(moved, other, past_actions=(before,))))
    assert reminder is not None
    assert reminder.recurrence_keys == (("a", ago(8).isoformat()),)


def test_a_warning_before_the_due_date_in_force_warns_of_no_fee() -> None:
    moved = overdue_invoice(22)
    before, after = (sent_email(Step.PAST_DUE, ago(days)) for days in (30, 7))
    assert fees_in(decide_at(statement(moved, past_actions=(before,)), policy=FEES)) == []
    assert len(fees_in(decide_at(statement(moved, past_actions=(before, after)), policy=FEES))) == 1


def test_a_call_about_an_earlier_due_date_is_made_again() -> None:
    moved = overdue_invoice(20, total="9000.00", size="medium")
    past = (
        PastAction(Step.CALL, "i1", at(ago(40)), ago(40), is_contact=False),
        sent_email(Step.PAST_DUE, ago(12)),
        sent_email(Step.SECOND_NOTICE, ago(1)),
    )
    (task,) = tasks_in(decide_at(statement(moved, past_actions=past)))
    assert (task.step, task.recurrence_key) == (Step.CALL, ago(20).isoformat())
    again = PastAction(Step.CALL, "i1", at(MONDAY), MONDAY, is_contact=False, recurrence_key=task.recurrence_key)
    assert tasks_in(decide_at(statement(moved, past_actions=(*past, again)))) == []


def test_after_a_reminder_nobody_is_asked_whether_the_invoice_arrived() -> None:
    moved = invoice(20, terms=90)
    before = sent_email(Step.PAST_DUE, ago(12))
    assert reminder_in(decide_at(statement(invoice(20, terms=90)))).step is Step.RECEIPT_CHECK  # type: ignore[union-attr]
    assert reminder_in(decide_at(statement(moved, past_actions=(before,)))) is None


def test_a_new_due_date_is_announced_although_the_old_one_was() -> None:
    announced = sent_email(Step.BEFORE_DUE, ago(20))
    moved = invoice(5, due_changed_on=ago(15))
    assert reminder_in(decide_at(statement(moved, past_actions=(announced,)))) is not None
    same = invoice(5, due_changed_on=ago(25))
    assert reminder_in(decide_at(statement(same, past_actions=(announced,)))) is None


def test_days_count_from_when_the_customer_could_know_of_the_invoice() -> None:
    entered = overdue_invoice(40, known_on=MONDAY)
    decision = first_decision(statement(entered))
    assert (decision.code, decision.next_step, decision.next_on) == (
        HoldCode.NOT_DUE_YET,
        Step.PAST_DUE,
        MONDAY + timedelta(days=7),
    )
    assert "Days count from 23 Nov 2026: before, the customer could not know of this due date." in decision.reason
    simulation = Simulation([entered]).run_all(daily(MONDAY, 30))
    assert [((on - MONDAY).days, step) for on, step, _ids in simulation.emails][:2] == [
        (7, Step.PAST_DUE),
        (17, Step.SECOND_NOTICE),
    ]


def test_an_invoice_entered_before_its_due_date_counts_from_its_due_date() -> None:
    entered = overdue_invoice(7, known_on=ago(20))
    assert reminder_in(decide_at(statement(entered))).step is Step.PAST_DUE  # type: ignore[union-attr]
    assert "Days count" not in first_decision(statement(entered)).reason


def test_an_email_step_handed_over_as_a_task_is_handed_over_again() -> None:
    moved = overdue_invoice(8)
    customer = replace(KNOWN_CUSTOMER, emails=())
    before = PastAction(Step.PAST_DUE, "i1", at(ago(12)), ago(12), is_contact=False)
    (task,) = tasks_in(decide_at(statement(moved, customer=customer, past_actions=(before,))))
    assert (task.step, task.recurrence_key) == (Step.PAST_DUE, ago(8).isoformat())


def test_the_reason_names_no_receipt_check_that_was_never_sent() -> None:
    """What was sent about the earlier due date shows that the invoice has arrived, and is no step of the new one."""
    moved = overdue_invoice(8, due_changed_on=MONDAY - timedelta(days=20))
    sent = sent_email(Step.PAST_DUE, MONDAY - timedelta(days=30))
    assert "last step" not in first_decision(statement(moved, past_actions=(sent,))).reason
    checked = sent_email(Step.RECEIPT_CHECK, MONDAY - timedelta(days=29))
    outcome = first_decision(statement(moved, past_actions=(sent, checked)))
    assert "last step: receipt check on 25 Oct 2026" in outcome.reason
