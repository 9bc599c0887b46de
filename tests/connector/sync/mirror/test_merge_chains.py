"""Chains of merges with everything open that a customer can have: nothing is chased wrongly or twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlmodel import col, select

from connector.arrangements import agreements
from connector.arrangements.customer_settings import SettingChanges, customer_settings, find_customer, update_settings
from connector.db.engine import reading
from connector.db.tables import Agreement, CustomerRow, InvoiceDecisionRow, InvoiceSetting, OutboxEntry, Task
from connector.emails.inbound.events import receive_events
from connector.privacy.personal_data import find_subject
from connector.services.invoices import find_invoice, record_agreement
from connector.sync.webhook_inbox import receive_events as receive_changes
from connector.vocabulary import OutboxKind, RunOutcome, TaskCode, TaskState
from policies.receivables import Instalment, Step
from providers.capabilities import ChangeNotification
from providers.delivery_events import DeliveryEvent, EventKind
from providers.mailer import RefusalCause
from tests.connector.scenario import ResumeAfter, Scenario, days

NAMES = ("Ashdown Ltd", "Ashdown Limited", "Ashdown Group")
LAST = "group@ashdown.example"


def enter_thrice(scenario: Scenario) -> None:
    """Enter a customer three times, each with two late invoices, and sync until each is to be called."""
    for name in NAMES:
        scenario.company.customer(name, f"{name.split()[1].lower()}@ashdown.example")
        for amount in ("900.00", "400.00"):
            scenario.company.invoice(name, amount, due_on=days(-12))
    scenario.go_live().run()
    scenario.pass_days(8)
    scenario.run()


@pytest.fixture
def three_records(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company with one customer entered three times, who is to be called about each."""
    with resume_after(enter_thrice, scenario.company.provider) as resumed:
        yield resumed


@pytest.fixture
def quickbooks(resume_after: ResumeAfter) -> Iterator[Scenario]:
    with resume_after(enter_thrice, "quickbooks") as resumed:
        yield resumed


def agree(scenario: Scenario, number: str, change: Callable[..., InvoiceSetting], **details: Any) -> None:
    with reading(scenario.app.engine) as session:
        invoice = find_invoice(session, number, scenario.connection)
    record_agreement(scenario.app, invoice, "Ann", change, **details)


def merge(scenario: Scenario, merged: str, survivor: str) -> None:
    scenario.pass_days(1)
    scenario.company.simulator.merge(merged, survivor, **scenario.company.company_filter)
    assert scenario.run().outcome == RunOutcome.OK


def id_of(scenario: Scenario, name: str) -> str:
    with reading(scenario.app.engine) as session:
        return find_customer(session, name, scenario.connection).external_id


def stops_of(scenario: Scenario, customer: str) -> tuple[bool, bool]:
    with reading(scenario.app.engine) as session:
        settings = customer_settings(session, scenario.connection, customer)
        return settings.no_reminders, settings.no_fees


def set_(scenario: Scenario, customer: str, changes: SettingChanges) -> None:
    update_settings(scenario.app, scenario.connection, customer, changes, by="Ann")


def tasks(scenario: Scenario, *codes: TaskCode) -> list[Task]:
    query = select(Task).where(col(Task.state) == TaskState.OPEN, col(Task.code).in_(codes))
    with reading(scenario.app.engine) as session:
        return list(session.scalars(query.order_by(col(Task.id))))


def emails(scenario: Scenario) -> list[OutboxEntry]:
    return [each for each in scenario.outbox("done") if each.kind == OutboxKind.EMAIL]


def test_at_the_end_of_a_chain_everything_agreed_holds_and_there_is_one_call(three_records: Scenario) -> None:
    scenario = three_records
    numbers, last = scenario.company.numbers, id_of(scenario, NAMES[2])
    assert len(tasks(scenario, TaskCode.CALL)) == 3
    halves = [Instalment(days(60), Decimal(450)), Instalment(days(90), Decimal(450))]
    agree(scenario, numbers[0], agreements.set_payment_plan, instalments=halves)
    agree(scenario, numbers[1], agreements.record_dispute, reason="wrong goods")
    agree(scenario, numbers[2], agreements.set_promise, on=days(60))
    agree(scenario, numbers[3], agreements.pause_reminders, until=days(60))
    sent = len(emails(scenario))
    merge(scenario, NAMES[0], NAMES[1])
    merge(scenario, NAMES[1], NAMES[2])
    scenario.run_for_days(15, every=3)
    with reading(scenario.app.engine) as session:
        ids = {each: find_invoice(session, each, scenario.connection).external_id for each in numbers}
        held = {ids[each] for each in numbers[:4]}
        decisions = {row.invoice_id: row for row in session.scalars(select(InvoiceDecisionRow))}
        whose = {row.customer_id for row in decisions.values()}
        whose |= set(session.scalars(select(col(Agreement.customer_id))))
    assert [decisions[ids[each]].code for each in numbers[:4]] == ["payment_plan", "disputed", "promised", "paused"]
    assert whose == {last}, "lists and pages of the survivor have everything"
    later = emails(scenario)[:-sent]
    assert later, "the survivor's own invoices are chased on"
    for each in later:
        assert each.payload["to"] == [LAST]
        assert held.isdisjoint(each.payload["listed"])
    steps = [step for each in later for step in map(tuple, each.payload["completed"])]
    assert len(steps) == len(set(steps))
    (call,) = tasks(scenario, TaskCode.CALL, TaskCode.ESCALATION_CALL)
    assert (call.customer_id, set(call.invoice_ids)) == (last, set(ids.values()))


def test_an_email_to_a_merged_customer_that_comes_back_is_sent_to_the_survivor(three_records: Scenario) -> None:
    scenario = three_records
    first = next(each for each in emails(scenario) if each.payload["to"] == ["ltd@ashdown.example"])
    for name in NAMES[:2]:
        merge(scenario, name, NAMES[2])
    bounce = DeliveryEvent(
        id="b1", key=first.key, kind=EventKind.BOUNCE, address="ltd@ashdown.example", at=scenario.app.now(),
        reason="no such user", suppresses_address=True, refusal=RefusalCause.ADDRESS,
    )  # fmt: skip
    receive_events(scenario.app, [bounce])
    (task,) = tasks(scenario, TaskCode.UNDELIVERED)
    assert task.customer_id == id_of(scenario, NAMES[2]), "it is found at the customer there is"
    scenario.run_for_days(8, every=2)
    again = [each for each in emails(scenario) if first.invoice_id in dict(each.payload["completed"])]
    assert [dict(each.payload["completed"])[first.invoice_id] for each in again][-1] == Step.PAST_DUE
    assert again[0].payload["to"] == [LAST]


def test_the_personal_data_of_a_survivor_include_the_whole_chain(quickbooks: Scenario) -> None:
    merge(quickbooks, NAMES[0], NAMES[1])
    merge(quickbooks, NAMES[1], NAMES[2])
    with reading(quickbooks.app.engine) as session:
        subject = find_subject(session, find_customer(session, NAMES[2], quickbooks.connection))
    assert len(subject.ids) == len(NAMES)


def test_what_was_stopped_during_a_merge_stays_stopped_when_it_is_undone(quickbooks: Scenario) -> None:
    first, second = id_of(quickbooks, NAMES[0]), id_of(quickbooks, NAMES[1])
    merge(quickbooks, NAMES[0], NAMES[1])
    set_(quickbooks, second, {"no_reminders": True, "owner": "Ann <ann@small.example>"})
    merge(quickbooks, NAMES[1], NAMES[2])
    quickbooks.pass_days(1)
    quickbooks.company.simulator.edit_customer(first, Active=True)
    quickbooks.run()
    assert stops_of(quickbooks, first) == (True, False)
    set_(quickbooks, first, {"no_reminders": False})
    quickbooks.pass_days(1)
    quickbooks.run()
    assert stops_of(quickbooks, first) == (False, False), "it is combined once"


def test_a_chain_that_the_ledger_shortens_is_no_second_merge(quickbooks: Scenario) -> None:
    """First into Second, and Second into Group; then the ledger says that First was merged into Group."""
    first, last = id_of(quickbooks, NAMES[0]), id_of(quickbooks, NAMES[2])
    merge(quickbooks, NAMES[0], NAMES[1])
    merge(quickbooks, NAMES[1], NAMES[2])
    set_(quickbooks, first, {"no_fees": True})  # as if it had been so before the merge, and was lifted since
    event = ChangeNotification("e1", quickbooks.company.external_id, last, True, first)
    receive_changes(quickbooks.app, "quickbooks", [event])
    quickbooks.pass_days(1)
    quickbooks.run()
    assert stops_of(quickbooks, last) == (False, False)
    with reading(quickbooks.app.engine) as session:
        assert session.get_one(CustomerRow, (quickbooks.connection, first)).merged_into == last


def test_an_invoice_that_moves_alone_takes_its_agreement_and_its_call_along(three_records: Scenario) -> None:
    scenario = three_records
    company, number = scenario.company, scenario.company.numbers[0]
    target = id_of(scenario, NAMES[2])
    scenario.pass_days(1)
    if company.provider == "xero":
        contact = company.simulator.contact(NAMES[2], **company.company_filter)
        company.simulator.edit(number, contact=contact, **company.company_filter)
    else:
        company.simulator.edit(number, CustomerRef={"value": target})
    agree(scenario, number, agreements.set_promise, on=days(60))
    scenario.run()
    with reading(scenario.app.engine) as session:
        moved = find_invoice(session, number, scenario.connection).external_id
        assert {row.customer_id for row in session.scalars(select(Agreement))} == {target}
    scenario.run()
    calls = {task.customer_id: set(task.invoice_ids) for task in tasks(scenario, TaskCode.CALL)}
    assert moved not in calls[id_of(scenario, NAMES[0])], "nobody is called about somebody else's invoice"
    assert len(calls) == 3
