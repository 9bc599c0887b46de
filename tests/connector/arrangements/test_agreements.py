"""Agreements about an invoice over a series of runs: they hold, are kept, broken or ended, and chasing resumes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements import agreements, customer_settings, tasks
from connector.arrangements.agreement_list import list_agreements
from connector.arrangements.agreements import INSTALMENT_INTERVALS
from connector.arrangements.customer_settings import SettingChanges
from connector.arrangements.task_list import find_tasks
from connector.arrangements.tasks import Contact, TaskOutcome
from connector.connections import account_owners, registry
from connector.db.engine import reading, writing
from connector.db.tables import (
    Agreement,
    Connection,
    CustomerSetting,
    InvoiceDecisionRow,
    InvoiceSetting,
    SyncLogEntry,
    Task,
)
from connector.runtime import lease
from connector.services.invoices import ActiveAgreements, InvoiceAgreements, find_invoice, record_agreement
from connector.vocabulary import LogKind, OutboxKind, TaskCode, TaskState
from policies.receivables import Instalment, Step
from tests.connector.scenario import Scenario, days

ANN = "Ann Lee <ann@small.example>"


@pytest.fixture
def late_customer(late_customer: Scenario) -> Scenario:
    """A live company with one customer who is six days late, and whose owner is Ann."""
    account_owners.set_default_owner(late_customer.app, late_customer.connection, ANN, by="Ann")
    return late_customer


def change_invoice(scenario: Scenario, change: Callable[..., InvoiceSetting], **details: Any) -> InvoiceAgreements:
    with reading(scenario.app.engine) as session:
        invoice = find_invoice(session, scenario.number, scenario.connection)
    return record_agreement(scenario.app, invoice, "Ann", change, **details)


def decision_code(scenario: Scenario) -> str:
    with reading(scenario.app.engine) as session:
        invoice = find_invoice(session, scenario.number, scenario.connection)
        row = session.get_one(InvoiceDecisionRow, (scenario.connection, invoice.external_id))
        return row.code


def open_tasks(scenario: Scenario) -> list[tuple[str, str]]:
    with reading(scenario.app.engine) as session:
        return [(task.code, task.owner) for task in find_tasks(session, scenario.connection)]


def run_for_days(scenario: Scenario, count: int, every: int = 4) -> None:
    """Advance some days, with a run every few of them; how often does not matter."""
    while count > 0:
        scenario.run()
        scenario.pass_days(min(every, count))
        count -= every


def sent_steps(scenario: Scenario) -> list[str]:
    return [entry.step for entry in reversed(scenario.outbox("done")) if entry.kind == "email"]


def agreement_states(scenario: Scenario) -> list[tuple[str, str]]:
    with reading(scenario.app.engine) as session:
        return [(row.kind, row.state) for row in session.scalars(select(Agreement).order_by(Agreement.id))]  # type: ignore[arg-type]


def test_a_dispute_stops_chasing_and_chasing_resumes_once_it_is_resolved(
    late_customer: Scenario,
) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.record_dispute, reason="wrong price")
    run_for_days(late_customer, 20)
    assert decision_code(late_customer) == "disputed"
    assert len(sent_steps(late_customer)) == 1
    assert ("dispute_raised", ANN) in open_tasks(late_customer)
    change_invoice(late_customer, agreements.resolve_dispute, outcome="they were right, and we sent a credit")
    assert "dispute_raised" not in [code for code, _owner in open_tasks(late_customer)]
    late_customer.run()
    assert sent_steps(late_customer) == ["past_due", "second_notice"]
    assert agreement_states(late_customer) == [("dispute", "resolved")]


def test_a_second_dispute_creates_a_second_task(late_customer: Scenario) -> None:
    for _time in range(2):
        change_invoice(late_customer, agreements.record_dispute, reason="again")
        late_customer.run()
        change_invoice(late_customer, agreements.resolve_dispute)
        late_customer.pass_days(1)
    with reading(late_customer.app.engine) as session:
        assert [each.code for each in find_tasks(session, states=[TaskState.DONE])] == ["dispute_raised"] * 2


def test_a_broken_promise_creates_a_task_and_chasing_resumes(late_customer: Scenario) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(12), reason="on the phone")
    run_for_days(late_customer, 12)
    assert decision_code(late_customer) == "promised"
    assert len(sent_steps(late_customer)) == 1
    run_for_days(late_customer, 3)  # the promised Monday, and a business day more
    late_customer.run()
    assert ("promise_broken", ANN) in open_tasks(late_customer)
    assert agreement_states(late_customer) == [("promise", "broken")]
    assert sent_steps(late_customer) == ["past_due", "second_notice"]


def test_a_policy_can_ask_by_email_about_a_broken_promise_once(late_customer: Scenario) -> None:
    late_customer.set_policy("[promise_broken]\nby_call = []\n")
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(2), reason="on the phone")
    run_for_days(late_customer, 5)
    late_customer.run()
    assert sent_steps(late_customer) == ["past_due", "promise_broken"]
    assert agreement_states(late_customer) == [("promise", "broken")]
    [_first, email] = late_customer.sandbox.sendgrid.emails_to("accounts@ashdown.example")
    assert f"Invoice {late_customer.number}: payment promised for 12 June 2026" == email.subject
    run_for_days(late_customer, 3)
    assert sent_steps(late_customer) == ["past_due", "promise_broken"]


def test_a_kept_promise_creates_no_task(late_customer: Scenario) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(9))
    late_customer.pass_days(8)
    late_customer.company.pay(late_customer.number)
    late_customer.run()
    assert agreement_states(late_customer) == [("promise", "kept")]
    assert open_tasks(late_customer) == []
    assert set(sent_steps(late_customer)[1:]) <= {"thank_you"}


def test_a_promise_is_judged_by_the_payment_date_not_by_the_sync(late_customer: Scenario) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(2))
    late_customer.pass_days(9)  # no run in between: they paid a week after the promised date
    late_customer.company.pay(late_customer.number)
    late_customer.run()
    assert agreement_states(late_customer) == [("promise", "broken")]


def test_a_promise_of_a_part_is_kept_by_that_part_and_the_rest_is_chased_on(late_customer: Scenario) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(9), amount=Decimal(500))
    late_customer.pass_days(2)
    late_customer.company.credit_invoice(late_customer.number, "500.00")  # no money: it keeps nothing
    late_customer.run()
    assert decision_code(late_customer) == "promised"
    late_customer.pass_days(6)
    late_customer.company.pay(late_customer.number, "500.00")
    late_customer.run()
    assert agreement_states(late_customer) == [("promise", "kept")]
    assert decision_code(late_customer) != "promised"
    run_for_days(late_customer, 7)
    late_customer.run()
    assert sent_steps(late_customer) == ["past_due", "second_notice"]


def test_a_broken_promise_of_a_part_names_that_part(late_customer: Scenario) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(2), amount=Decimal(500))
    run_for_days(late_customer, 1)
    late_customer.company.pay(late_customer.number, "499.99")
    run_for_days(late_customer, 4)
    late_customer.run()
    assert agreement_states(late_customer) == [("promise", "broken")]
    with reading(late_customer.app.engine) as session:
        [task] = [each for each in find_tasks(session) if each.code == "promise_broken"]
    assert "500.00 was promised" in task.text


def test_an_email_about_a_broken_promise_of_a_part_names_that_part(late_customer: Scenario) -> None:
    late_customer.set_policy("[promise_broken]\nby_call = []\n")
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(2), amount=Decimal(500))
    run_for_days(late_customer, 7, every=1)
    [_first, email] = late_customer.sandbox.sendgrid.emails_to("accounts@ashdown.example")
    assert "you would pay £500.00 towards" in " ".join(email.text.split())
    assert "£1,200.00 is still outstanding in total" in " ".join(email.text.split())
    found = [each for each in late_customer.outbox("done") if each.step == Step.PROMISE_BROKEN]
    (entry,) = [each for each in found if each.kind == OutboxKind.EMAIL]
    assert "500.00 was promised for" in entry.reason


def test_a_credit_neither_keeps_nor_breaks_a_promise(late_customer: Scenario) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(2))
    late_customer.pass_days(9)
    late_customer.company.credit_invoice(late_customer.number, "1200.00")
    late_customer.run()
    assert agreement_states(late_customer) == [("promise", "ended")]


def two_instalments(scenario: Scenario) -> list[Instalment]:
    with reading(scenario.app.engine) as session:
        return agreements.equal_instalments(
            find_invoice(session, scenario.number, scenario.connection), 2, days(7), INSTALMENT_INTERVALS["two-weeks"]
        )


def test_a_payment_plan_holds_while_its_instalments_are_paid(late_customer: Scenario) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_payment_plan, instalments=two_instalments(late_customer))
    run_for_days(late_customer, 7)
    late_customer.company.pay(late_customer.number, "600.00")
    run_for_days(late_customer, 13)
    assert decision_code(late_customer) == "payment_plan"
    late_customer.company.pay(late_customer.number)
    late_customer.run()
    assert agreement_states(late_customer) == [("payment_plan", "kept")]
    assert open_tasks(late_customer) == []


def test_what_an_invoice_was_raised_by_is_chased_from_then_on_once_the_plan_is_over(late_customer: Scenario) -> None:
    """Nobody could know of the 50.00 before: no second notice, no days counted from the old due date."""
    late_customer.run()
    change_invoice(late_customer, agreements.set_payment_plan, instalments=two_instalments(late_customer))
    run_for_days(late_customer, 7)
    late_customer.company.pay(late_customer.number, "600.00")
    run_for_days(late_customer, 13)
    late_customer.company.change_total(late_customer.number, "1250.00")
    late_customer.company.pay(late_customer.number, "600.00")
    raised_on = late_customer.today
    late_customer.run()
    assert sent_steps(late_customer) == ["past_due"], "of the whole, three weeks ago"
    run_for_days(late_customer, 9, every=1)
    assert sent_steps(late_customer) == ["past_due", "past_due"]
    text = late_customer.sandbox.sendgrid.emails_to("accounts@ashdown.example")[-1].text.replace("\xa0", " ")
    assert f"counted from {raised_on.day} {raised_on:%b %Y}" in text
    assert "50.00" in text


def test_a_missed_instalment_ends_the_plan_and_chasing_resumes(late_customer: Scenario) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_payment_plan, instalments=two_instalments(late_customer))
    run_for_days(late_customer, 9)
    late_customer.run()
    assert agreement_states(late_customer) == [("payment_plan", "broken")]
    assert ("plan_broken", ANN) in open_tasks(late_customer)
    late_customer.company.pay(late_customer.number, "600.00")  # paid late: the plan has ended all the same
    run_for_days(late_customer, 14)
    assert decision_code(late_customer) != "payment_plan"
    assert "second_notice" in sent_steps(late_customer)


def test_a_pause_ends_on_its_date(late_customer: Scenario) -> None:
    change_invoice(late_customer, agreements.pause_reminders, until=days(6), reason="the owner is in hospital")
    run_for_days(late_customer, 6)
    assert sent_steps(late_customer) == []
    late_customer.run()
    assert len(sent_steps(late_customer)) == 1
    assert agreement_states(late_customer) == [("pause", "ended")]
    assert change_invoice(late_customer, agreements.resume_reminders).active_agreements == ActiveAgreements()


def test_a_customer_on_hold_is_chased_again_from_the_date_on(late_customer: Scenario) -> None:
    change_customer(late_customer, {"hold_until_on": days(5)})
    run_for_days(late_customer, 5)
    assert sent_steps(late_customer) == []
    late_customer.run()
    assert len(sent_steps(late_customer)) == 1


def test_a_paused_company_resumes_on_its_date(late_customer: Scenario) -> None:
    registry.pause(late_customer.app, late_customer.connection, reason="year end", until_on=days(2), by="Ann")
    for _day in range(2):
        with reading(late_customer.app.engine) as session:
            assert lease.list_due(session, late_customer.app.now() + timedelta(hours=1), 9) == []
        late_customer.run()  # nothing is sent even where a user asks for a sync
        late_customer.pass_days(1)
    assert sent_steps(late_customer) == []
    with reading(late_customer.app.engine) as session:
        assert lease.list_due(session, late_customer.app.now() + timedelta(hours=1), 9) == [late_customer.connection]
    late_customer.run()
    assert len(sent_steps(late_customer)) == 1
    with reading(late_customer.app.engine) as session:
        assert session.get_one(Connection, late_customer.connection).pause_reason == ""


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_a_paused_company_resumes_when_the_date_starts_at_in_its_time_zone(zone: str) -> None:
    starts_at = datetime(2026, 1, 15, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    row = Connection(
        short_name="a",
        provider="xero",
        external_id="1",
        name="A",
        created_at=starts_at,
        time_zone=zone,
        pause_reason="year end",
        paused_until_on=date(2026, 1, 15),
    )
    assert registry.is_paused(row, starts_at - timedelta(minutes=1))
    assert not registry.is_paused(row, starts_at)


def test_a_customer_without_emails_gets_one_call_task(late_customer: Scenario) -> None:
    change_customer(late_customer, {"no_reminders": True})
    run_for_days(late_customer, 12)
    assert sent_steps(late_customer) == []
    assert open_tasks(late_customer) == [("opted_out", ANN)]


def test_a_task_belongs_to_the_customers_own_owner(late_customer: Scenario) -> None:
    change_customer(late_customer, {"no_reminders": True, "owner": "Bo <bo@small.example>"})
    late_customer.run()
    assert open_tasks(late_customer) == [("opted_out", "Bo <bo@small.example>")]


def test_a_task_outcome_applies_from_the_next_run(late_customer: Scenario) -> None:
    change_customer(late_customer, {"no_reminders": True})
    late_customer.run()
    with reading(late_customer.app.engine) as session:
        [task] = find_tasks(session, late_customer.connection)
    tasks.record_task_outcome(
        late_customer.app, task.id, TaskOutcome(promised_on=days(9), note="Mr Ash, nice"), by="Ann"
    )
    assert open_tasks(late_customer) == []
    late_customer.run()
    assert decision_code(late_customer) == "promised"
    with reading(late_customer.app.engine) as session:
        [ended] = find_tasks(session, states=[TaskState.DONE])
        [promise] = list_agreements(session, find_invoice(session, late_customer.number))
    assert ended.outcome == "promised to pay by 19 Jun 2026; Mr Ash, nice"
    assert (promise.until_on, promise.recorded_by) == (days(9), "Ann")


def test_a_task_outcome_can_be_a_dispute_a_contact_or_a_retry(late_customer: Scenario) -> None:
    change_customer(late_customer, {"no_reminders": True})
    late_customer.run()
    with reading(late_customer.app.engine) as session:
        [task] = find_tasks(session, late_customer.connection)
    again = tasks.record_task_outcome(late_customer.app, task.id, TaskOutcome(retry_on=days(2)), by="Ann")
    assert (again.state, again.due_on) == (TaskState.OPEN, days(2))
    outcome = TaskOutcome(disputed="too much", contact=Contact("Mr Ash", "ash@ashdown.example"))
    tasks.record_task_outcome(late_customer.app, task.id, outcome, by="Ann")
    late_customer.run()
    assert decision_code(late_customer) == "disputed"
    with reading(late_customer.app.engine) as session:
        [setting] = session.scalars(select(CustomerSetting))
    assert setting.emails == "ash@ashdown.example"
    with pytest.raises(tasks.TaskError, match="is already completed"):
        tasks.complete(late_customer.app, [task.id], by="Ann", note="called")


def test_a_task_about_a_paid_invoice_is_cancelled(late_customer: Scenario) -> None:
    change_customer(late_customer, {"no_reminders": True})
    late_customer.run()
    late_customer.company.pay(late_customer.number)
    late_customer.pass_days(1)
    late_customer.run()
    assert open_tasks(late_customer) == []
    with reading(late_customer.app.engine) as session:
        [task] = find_tasks(session, states=[TaskState.CANCELLED])
    assert task.outcome == "no balance is due any more"


def test_a_task_is_open_again_when_the_payment_is_deleted(late_customer: Scenario) -> None:
    change_customer(late_customer, {"no_reminders": True})
    late_customer.run()
    before = open_tasks(late_customer)
    late_customer.company.pay(late_customer.number)
    late_customer.pass_days(1)
    late_customer.run()
    assert open_tasks(late_customer) == []
    late_customer.company.delete_payment(late_customer.number)
    late_customer.run()
    assert len(before) == 1
    assert open_tasks(late_customer) == before
    with reading(late_customer.app.engine) as session:
        query = select(SyncLogEntry).where(col(SyncLogEntry.kind) == LogKind.TASK_REOPENED)
        [entry] = session.scalars(query)
    assert entry.text.startswith(f"Task {json.loads(entry.facts)['task']} is open again: ")
    assert entry.run_id is not None


@pytest.mark.parametrize(
    ("time_zone", "created_at", "is_cancelled"),
    [
        ("Pacific/Auckland", datetime(2026, 6, 10, 13, 0, tzinfo=UTC), False),  # one in the morning of 11 June
        ("America/Los_Angeles", datetime(2026, 6, 11, 2, 0, tzinfo=UTC), True),  # the evening of 10 June
    ],
)
def test_whether_a_task_was_created_after_the_due_date_is_a_matter_of_the_companys_dates(
    late_customer: Scenario, time_zone: str, created_at: datetime, *, is_cancelled: bool
) -> None:
    late_customer.company.move_due(late_customer.number, days(0))
    late_customer.run()
    with writing(late_customer.app.engine) as session:
        connection = session.get_one(Connection, late_customer.connection)
        connection.time_zone = time_zone
        invoice = find_invoice(session, late_customer.number, late_customer.connection)
        call = Task(
            connection_id=late_customer.connection,
            key=time_zone,
            code=TaskCode.CALL,
            step=Step.CALL,
            customer_id=invoice.customer_id,
            invoice_ids=[invoice.external_id],
            due_on=days(1),
            reason="Call",
            created_at=created_at,
        )
        session.add(call)
        session.flush()
        cancelled = tasks.cancel_obsolete(session, connection, at=created_at + timedelta(hours=1))
        assert [task.key for task in cancelled] == ([time_zone] if is_cancelled else [])


@pytest.mark.parametrize(
    ("change", "details"),
    [
        (agreements.set_promise, {"on": days(-1)}),
        (agreements.pause_reminders, {"until": days(0)}),
        (agreements.set_payment_plan, {"instalments": [Instalment(days(3), Decimal(1))]}),
        (
            agreements.set_payment_plan,
            {"instalments": [Instalment(days(3), Decimal(600)), Instalment(days(3), Decimal(600))]},
        ),
        (
            agreements.set_payment_plan,
            {"instalments": [Instalment(days(3), Decimal(1300)), Instalment(days(4), Decimal(-100))]},
        ),
        *(
            (agreements.set_payment_plan, {"instalments": [Instalment(days(3), Decimal(amount))]})
            for amount in ("NaN", "1e99", "0.00001")
        ),
    ],
)
def test_impossible_agreements_are_rejected(
    late_customer: Scenario, change: Callable[..., InvoiceSetting], details: dict[str, Any]
) -> None:
    with pytest.raises(agreements.AgreementError):
        change_invoice(late_customer, change, **details)
    assert agreement_states(late_customer) == []


def change_customer(scenario: Scenario, changes: SettingChanges) -> None:
    with reading(scenario.app.engine) as session:
        invoice = find_invoice(session, scenario.number, scenario.connection)
    customer_settings.update_settings(scenario.app, scenario.connection, invoice.customer_id, changes, by="Ann")
