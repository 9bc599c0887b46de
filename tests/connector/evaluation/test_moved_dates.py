"""Due dates that move, and invoices that are entered, approved or sent long after their date."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import InvoiceDecisionRow, InvoiceRow, Task
from connector.outbox import approvals
from connector.vocabulary import ConnectionMode, OutboxKind, TaskCode, TaskState
from tests.connector.scenario import ResumeAfter, Scenario, add_late_customer, days

FEES = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""


def reason_of(scenario: Scenario, number: str) -> str:
    """Return the reason of the decision about an invoice."""
    query = select(InvoiceDecisionRow).join(InvoiceRow, col(InvoiceRow.external_id) == InvoiceDecisionRow.invoice_id)
    with reading(scenario.app.engine) as session:
        return session.scalars(query.where(col(InvoiceRow.number) == number)).one().reason


def fee_amounts(scenario: Scenario) -> list[tuple[date, Any]]:
    """Return the day and the amount of every late fee posted, oldest first."""
    entries = [entry for entry in scenario.outbox("done") if entry.kind == OutboxKind.LATE_FEE]
    return [(entry.ended_at.date(), entry.payload["amount"]) for entry in reversed(entries) if entry.ended_at]


def test_after_a_due_date_is_moved_out_reminders_start_again(reminded_customer: Scenario) -> None:
    assert [step for _on, step in reminded_customer.sent_steps()] == ["past_due"]
    reminded_customer.pass_days(1)
    reminded_customer.company.move_due(reminded_customer.number, days(30))
    reminded_customer.run_for_days(21, every=7)
    reminded_customer.run_for_days(2)  # the day of the email before the new due date, and the day before
    reminded_customer.run_for_days(6, every=3)
    reminded_customer.run_for_days(6)  # the new due date, and what follows it
    reminded_customer.run_for_days(12, every=4)
    steps = reminded_customer.sent_steps()[1:]
    assert [step for _on, step in steps[:4]] == ["before_due", "due_today", "past_due", "second_notice"]
    assert steps[0][0] == days(23)
    assert days(33) <= steps[2][0] <= days(35)


def test_a_due_date_moved_out_and_back_continues_where_it_stopped(reminded_customer: Scenario) -> None:
    reminded_customer.pass_days(1)
    reminded_customer.company.move_due(reminded_customer.number, days(30))
    reminded_customer.run()
    reminded_customer.pass_days(1)
    reminded_customer.company.move_due(reminded_customer.number, days(-6))
    reminded_customer.run_for_days(15, every=7)
    assert [step for _on, step in reminded_customer.sent_steps()] == ["past_due", "second_notice", "plan_offer"]


def test_an_overdue_invoice_that_gets_an_even_earlier_due_date_continues_where_it_was(late_customer: Scenario) -> None:
    late_customer.run_for_days(12, every=3)
    late_customer.company.move_due(late_customer.number, days(-9))
    late_customer.run_for_days(8, every=3)
    assert [step for _on, step in late_customer.sent_steps()] == ["past_due", "second_notice", "plan_offer"]
    assert "Days count from 4 Jun 2026" in reason_of(late_customer, late_customer.number)


def open_tasks(scenario: Scenario) -> list[TaskCode]:
    query = select(Task).where(col(Task.state) == TaskState.OPEN).order_by(col(Task.id))
    with reading(scenario.app.engine) as session:
        return [TaskCode(task.code) for task in session.scalars(query)]


def test_a_call_is_cancelled_when_the_due_date_moves_out_and_open_again_when_it_moves_back(
    late_customer: Scenario,
) -> None:
    late_customer.run_for_days(6)
    assert open_tasks(late_customer) == [TaskCode.CALL]
    late_customer.company.move_due(late_customer.number, days(30))
    late_customer.run_for_days(1)
    assert open_tasks(late_customer) == [], "nobody calls about an invoice that is not late"
    late_customer.company.move_due(late_customer.number, days(-6))
    late_customer.run()
    assert open_tasks(late_customer) == [TaskCode.CALL]


def test_a_proposed_waiver_is_cancelled_when_the_due_date_moves_back(late_customer: Scenario) -> None:
    late_customer.set_policy(FEES)
    late_customer.run_for_days(10, every=4)
    assert len(fee_amounts(late_customer)) == 1
    for due_on, expected in ((days(30), [TaskCode.PROPOSE_WAIVER]), (days(-6), [TaskCode.CALL])):
        late_customer.company.move_due(late_customer.number, due_on)
        late_customer.run_for_days(1, weekends=True)
        assert open_tasks(late_customer) == expected


def test_an_email_that_awaits_approval_is_cancelled_when_its_due_date_moves(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    scenario.go_live()
    set_mode(scenario.app, scenario.connection, ConnectionMode.APPROVE)
    scenario.run()
    (entry,) = scenario.outbox("awaiting_approval")
    with writing(scenario.app.engine) as session:
        approvals.approve(session, [entry.id or 0], by="ann@example.com", at=scenario.app.now())
    scenario.company.move_due(number, days(30))
    scenario.run()
    assert scenario.customer_emails() == []
    assert [entry.step for entry in scenario.outbox() if entry.kind == OutboxKind.EMAIL] == ["receipt_check"]


def test_a_due_date_moved_forward_counts_from_the_day_it_was_moved(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    number = scenario.company.invoice("Ashdown Ltd", "1200.00", on=days(-30), due_on=days(30))
    scenario.go_live()
    scenario.set_policy(FEES)
    scenario.pass_days(1)
    scenario.company.move_due(number, days(-20))
    scenario.run()
    assert scenario.customer_emails() == []
    assert "Days count from 11 Jun 2026" in reason_of(scenario, number)
    scenario.run_for_days(7)
    scenario.run_for_days(6, every=3)
    scenario.run_for_days(3)  # the day of the fee, and the day before
    scenario.run_for_days(29, every=10)
    (first_on, first), *_more = scenario.sent_steps()
    assert first == "past_due"
    assert days(4) <= first_on <= days(7)
    assert [on for on, _amount in fee_amounts(scenario)] == [days(15)]  # the 14th day from then


def test_an_invoice_entered_late_counts_from_the_day_it_was_entered(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.go_live()
    scenario.set_policy(f'{FEES}kind = "percent_per_month"\n')
    scenario.pass_days(1)
    number = scenario.company.invoice("Ashdown Ltd", "1200.00", on=days(-60), due_on=days(-30))
    scenario.run()
    assert scenario.customer_emails() == []
    assert "Days count from 11 Jun 2026" in reason_of(scenario, number)
    scenario.run_for_days(8)
    scenario.run_for_days(20, every=4)
    scenario.run_for_days(4, weekends=True)  # the day of the fee, and the days before
    scenario.run_for_days(13, every=6)
    first_on, first = scenario.sent_steps()[0]
    assert first == "past_due"
    assert days(4) <= first_on <= days(8)
    assert fee_amounts(scenario) == [(days(31), "12.00")]  # a month from 11 June on, none for the time before


def test_an_email_about_an_invoice_entered_late_counts_no_days_before(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.go_live()
    scenario.set_policy(f'{FEES}kind = "annual"\nrate = 12\n')
    scenario.pass_days(1)
    scenario.company.invoice("Ashdown Ltd", "1200.00", on=days(-60), due_on=days(-30))
    scenario.run_for_days(8)
    [(first_on, _step)] = scenario.sent_steps()
    [email] = scenario.sandbox.sendgrid.emails_to("accounts@ashdown.example")
    assert f", {(first_on - days(1)).days} days overdue, counted from 11 Jun" in email.text, "the sum is explained"
    assert "interest of 12% per year, counted from 11 June 2026, will be charged" in email.text


def test_an_old_ledger_that_is_connected_late_counts_from_its_due_dates(reminded_customer: Scenario) -> None:
    assert [step for _on, step in reminded_customer.sent_steps()] == ["past_due"]


def test_an_invoice_first_seen_after_an_outage_counts_from_its_due_date(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.company.invoice("Ashdown Ltd", "50.00", due_on=days(200), on=days(0))
    scenario.go_live()
    scenario.pass_days(2)
    number = scenario.company.invoice("Ashdown Ltd", "1200.00", on=days(2), due_on=days(16))
    scenario.pass_days(26)  # nothing runs meanwhile
    scenario.run()
    assert [step for _on, step in scenario.sent_steps()] == ["past_due"]
    assert "Days count" not in reason_of(scenario, number)


def test_a_draft_that_is_approved_late_counts_from_its_approval(scenario_at: Any, noon: Any) -> None:
    with scenario_at(noon, "xero") as scenario:
        company = scenario.company
        company.customer("Ashdown Ltd")
        number = company.invoice("Ashdown Ltd", "1200.00", on=days(-60), due_on=days(-30))
        company.simulator.edit(number, status="DRAFT", sent=False, **company.company_filter)
        scenario.go_live()
        scenario.pass_days(1)
        company.simulator.edit(number, status="AUTHORISED", sent=True, **company.company_filter)
        scenario.run()
        assert scenario.customer_emails() == []
        scenario.run_for_days(10, every=3)
        assert [step for _on, step in scenario.sent_steps()] == ["past_due"]


@pytest.mark.parametrize("was_contacted", [False, True])
def test_an_invoice_counts_from_the_day_it_was_first_sent(late_customer: Scenario, was_contacted: bool) -> None:
    company = late_customer.company
    if was_contacted:
        late_customer.run()
    _set_sent(company, late_customer.number, sent=False)
    late_customer.run()
    late_customer.pass_days(10)
    _set_sent(company, late_customer.number, sent=True)
    late_customer.run()
    steps = [step for _on, step in late_customer.sent_steps()]
    assert steps == (["past_due"] if was_contacted else [])
    late_customer.run_for_days(8, every=3)
    second = "second_notice" if was_contacted else "past_due"
    assert [step for _on, step in late_customer.sent_steps()][-1] == second


def _set_sent(company: Any, number: str, *, sent: bool) -> None:
    if company.provider == "xero":
        company.simulator.edit(number, sent=sent, **company.company_filter)
    else:
        company.simulator.edit(number, EmailStatus="EmailSent" if sent else "NeedToSend")


def charge(scenario: Scenario, kind: str, day_count: int) -> None:
    add_late_customer(scenario)
    scenario.set_policy(f'{FEES}kind = "{kind}"\n')
    scenario.run_for_days(8, every=4)
    scenario.run_for_days(max(day_count - 12, 0), every=4)
    scenario.run_for_days(min(day_count - 8, 4), weekends=True)  # the fee is charged on its day
    assert len(fee_amounts(scenario)) == 1


CHARGE = {
    (kind, day_count): partial(charge, kind=kind, day_count=day_count)
    for kind, day_count in (("percent", 10), ("percent", 20), ("percent_per_month", 26))
}


@pytest.mark.parametrize(
    ("kind", "day_count", "due_on", "is_wrong"),
    [
        ("percent", 10, days(5), True),  # the fee of day 8 came three days later: too soon for a warning
        ("percent", 20, days(-5), False),
        ("percent_per_month", 26, days(4), True),  # the month that was charged is not over
        ("percent_per_month", 26, days(-5), False),  # it ended a day later, and is over by now
    ],
)
def test_a_fee_is_to_be_waived_where_the_moved_due_date_leaves_no_time_for_it(
    scenario: Scenario, resume_after: ResumeAfter, kind: str, day_count: int, due_on: date, *, is_wrong: bool
) -> None:
    with resume_after(CHARGE[kind, day_count], scenario.company.provider) as charged:
        charged.company.move_due(charged.number, due_on)
        charged.run()
        assert (TaskCode.PROPOSE_WAIVER in open_tasks(charged)) is is_wrong


def test_after_a_due_date_is_moved_out_the_fee_for_the_old_one_is_to_be_waived(late_customer: Scenario) -> None:
    late_customer.set_policy(FEES)
    late_customer.run_for_days(20, every=4)
    assert len(fee_amounts(late_customer)) == 1
    late_customer.company.move_due(late_customer.number, days(60))
    late_customer.run()
    with reading(late_customer.app.engine) as session:
        reasons = [task.reason for task in session.scalars(select(Task)) if task.code == TaskCode.PROPOSE_WAIVER]
    assert len(reasons) == 1
    assert f", the due date of invoice {late_customer.number} was moved to 9 Aug 2026." in reasons[0]
    late_customer.run_for_days(20, every=5)
    assert len(fee_amounts(late_customer)) == 1


@pytest.mark.parametrize(
    ("kind", "day_count", "due_on"), [("percent", 10, days(40)), ("percent_per_month", 26, days(4))]
)
def test_a_fee_for_an_earlier_due_date_is_to_be_waived_although_the_invoice_is_paid(
    scenario: Scenario, resume_after: ResumeAfter, kind: str, day_count: int, due_on: date
) -> None:
    with resume_after(CHARGE[kind, day_count], scenario.company.provider) as charged:
        charged.company.move_due(charged.number, due_on)
        charged.run()
        charged.pass_days(2)
        charged.company.pay(charged.number)  # in time now, or before the month is over
        charged.run()
        charged.pass_days(40)
        charged.run()
        assert TaskCode.PROPOSE_WAIVER in open_tasks(charged)
        assert TaskCode.UNPAID_FEE not in open_tasks(charged)
