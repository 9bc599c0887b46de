"""Customers merged in the ledger: the survivor keeps the stricter of both sides, whichever record survives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from sqlmodel import Session, col, select

from connector.arrangements.customer_settings import (
    CustomerSettings,
    SettingChanges,
    customer_settings,
    find_customer,
    update_settings,
)
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import (
    CustomerRow,
    CustomerSetting,
    ErasedCustomer,
    InvoiceRow,
    KeyValue,
    MalformedRow,
    SyncLogEntry,
)
from connector.outbox.approvals import approve
from connector.sync.mirror import merges
from connector.sync.webhook_inbox import receive_events
from connector.vocabulary import ConnectionMode, LogKind, OutboxKind, RunOutcome
from providers.capabilities import ChangeNotification
from providers.ledger import RecordKind
from tests.connector.scenario import NOON, TODAY, ResumeAfter, Scenario, ScenarioFactory, days
from tests.connector.serving import serving

FIRST, SECOND, THIRD = "Ashdown Ltd", "Ashdown Limited", "Ashdown & Co"


def enter_twice(scenario: Scenario) -> None:
    for name in (FIRST, SECOND):
        scenario.company.customer(name, f"{name.split()[1].lower()}@ashdown.example")
        scenario.company.invoice(name, "900.00", due_on=days(21))
    scenario.go_live()


@pytest.fixture
def two_records(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company with one customer entered twice, each time with an invoice that is due in three weeks."""
    with resume_after(enter_twice, scenario.company.provider) as resumed:
        yield resumed


def set_(scenario: Scenario, name: str, **changes: object) -> None:
    customer = id_of(scenario, name)
    update_settings(scenario.app, scenario.connection, customer, SettingChanges(**changes), by="a test")  # type: ignore[typeddict-item]


def id_of(scenario: Scenario, name: str) -> str:
    with reading(scenario.app.engine) as session:
        return find_customer(session, name, scenario.connection).external_id


def settings_of(scenario: Scenario, name: str) -> CustomerSettings:
    with reading(scenario.app.engine) as session:
        return customer_settings(session, scenario.connection, find_customer(session, name).external_id)


def merge(scenario: Scenario, merged: str, survivor: str) -> None:
    scenario.pass_days(1)
    scenario.company.simulator.merge(merged, survivor, **scenario.company.company_filter)
    assert scenario.run().outcome == RunOutcome.OK


@pytest.mark.parametrize(("merged", "survivor"), [(FIRST, SECOND), (SECOND, FIRST)])
@pytest.mark.parametrize("strict", [FIRST, SECOND])
def test_every_stop_and_hold_of_either_side_holds_for_the_survivor(
    two_records: Scenario, merged: str, survivor: str, strict: str
) -> None:
    until = TODAY + timedelta(days=90)
    set_(
        two_records,
        strict,
        no_reminders=True,
        no_fees=True,
        hold_until_on=until,
        tags="key,quiet",
        withholding_percent="10",
    )
    other = FIRST if strict == SECOND else SECOND
    set_(two_records, other, hold_until_on=TODAY + timedelta(days=20), tags="east", withholding_percent="7.5")
    merge(two_records, merged, survivor)
    settings = settings_of(two_records, survivor)
    assert (settings.no_reminders, settings.no_fees, settings.hold_until_on) == (True, True, until)
    assert settings.withholding_percent == "10"
    assert set(settings.tags.split(",")) == {"key", "quiet", "east"}
    two_records.run_for_days(40, every=9)  # all on business days, when emails are sent
    assert not two_records.customer_emails()


@pytest.mark.parametrize(("merged", "survivor"), [(FIRST, SECOND), (SECOND, FIRST)])
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (date(2026, 1, 5), None, None),
        (None, date(2026, 1, 5), None),
        (date(2026, 1, 5), date(2026, 3, 9), date(2026, 3, 9)),
    ],
)
def test_late_fees_stay_agreed_only_where_both_customers_agreed(
    two_records: Scenario, merged: str, survivor: str, first: date | None, second: date | None, expected: date | None
) -> None:
    for name, agreed_on in ((FIRST, first), (SECOND, second)):
        if agreed_on:
            set_(two_records, name, fees_agreed_on=agreed_on)
    merge(two_records, merged, survivor)
    assert settings_of(two_records, survivor).fees_agreed_on == expected


def test_what_is_set_after_a_merge_is_not_undone_by_it(two_records: Scenario) -> None:
    set_(two_records, FIRST, no_reminders=True)
    first = id_of(two_records, FIRST)
    merge(two_records, FIRST, SECOND)
    assert settings_of(two_records, SECOND).no_reminders
    set_(two_records, SECOND, no_reminders=False, fees_agreed_on=TODAY)
    two_records.pass_days(1)
    if two_records.company.provider == "xero":
        two_records.company.simulator.edit_contact(FIRST, first_name="Ann", **two_records.company.company_filter)
    else:
        two_records.company.simulator.edit_customer(first, GivenName="Ann")
    two_records.run()
    settings = settings_of(two_records, SECOND)
    assert (settings.no_reminders, settings.fees_agreed_on) == (False, TODAY)


def test_a_chain_of_merges_carries_every_stop_to_its_end(two_records: Scenario) -> None:
    two_records.company.customer(THIRD, "co@ashdown.example")
    two_records.company.invoice(THIRD, "100.00", due_on=days(21))
    two_records.run()
    set_(two_records, FIRST, no_reminders=True)
    set_(two_records, SECOND, no_fees=True)
    merge(two_records, FIRST, SECOND)
    merge(two_records, SECOND, THIRD)
    settings = settings_of(two_records, THIRD)
    assert (settings.no_reminders, settings.no_fees) == (True, True)


def test_an_email_awaiting_approval_needs_it_again_for_the_customer_it_now_goes_to(two_records: Scenario) -> None:
    set_mode(two_records.app, two_records.connection, ConnectionMode.APPROVE)
    two_records.pass_days(25)
    two_records.run()
    entry = next(each for each in two_records.outbox("awaiting_approval") if each.kind == OutboxKind.EMAIL)
    with writing(two_records.app.engine) as session:
        approve(session, [entry.id or 0], by="Ann", at=two_records.app.now())
    set_(two_records, SECOND, no_reminders=True)
    two_records.company.simulator.merge(FIRST, SECOND, **two_records.company.company_filter)
    two_records.run()
    assert not two_records.customer_emails()


def test_the_languages_of_merged_customers_are_not_mixed(two_records: Scenario) -> None:
    set_(two_records, FIRST, language="fr", emails="compta@ashdown.example", contact_name="Aude")
    set_(two_records, SECOND, language="de")
    merge(two_records, FIRST, SECOND)
    settings = settings_of(two_records, SECOND)
    assert (settings.language, settings.emails, settings.contact_name) == ("de", "compta@ashdown.example", "Aude")


def test_a_merge_is_logged_with_what_it_keeps(two_records: Scenario) -> None:
    set_(two_records, FIRST, no_reminders=True)
    merge(two_records, FIRST, SECOND)
    with reading(two_records.app.engine) as session:
        texts = session.scalars(
            select(col(SyncLogEntry.text)).where(col(SyncLogEntry.kind) == LogKind.CUSTOMER_UPDATED)
        ).all()
    [text] = [each for each in texts if "merged" in each]
    assert f"merged into {SECOND} in the accounting system" in text
    assert text.endswith("The stricter setting of both applies from now on: no email reminders: yes.")


def test_one_corrected_invoice_is_not_a_merge(two_records: Scenario) -> None:
    """A bookkeeper who moves an invoice to the right customer says nothing about the customer it came from."""
    two_records.company.invoice(FIRST, "50.00", due_on=days(21))
    two_records.run()
    set_(two_records, FIRST, no_reminders=True)
    target = id_of(two_records, SECOND)
    number = two_records.company.numbers[-1]
    two_records.pass_days(1)
    if two_records.company.provider == "xero":
        contact = two_records.company.simulator.contact(SECOND, **two_records.company.company_filter)
        two_records.company.simulator.edit(number, contact=contact, **two_records.company.company_filter)
    else:
        two_records.company.simulator.edit(number, CustomerRef={"value": target})
    two_records.run()
    with reading(two_records.app.engine) as session:
        assert _owner(session, number) == target
        assert session.get(CustomerSetting, (two_records.connection, target)) is None


def _owner(session: Session, number: str) -> str:
    return session.scalars(select(col(InvoiceRow.customer_id)).where(col(InvoiceRow.number) == number)).one()


def test_a_customer_that_was_merged_is_known_as_such_on_both_ledgers(two_records: Scenario) -> None:
    first, second = id_of(two_records, FIRST), id_of(two_records, SECOND)
    merge(two_records, FIRST, SECOND)
    with reading(two_records.app.engine) as session:
        merges = session.execute(select(col(CustomerRow.external_id), col(CustomerRow.merged_into)))
        assert set(merges) == {(first, second), (second, None)}


def test_a_customer_who_was_erased_gets_no_reminders_under_another_name(two_records: Scenario) -> None:
    first = id_of(two_records, FIRST)
    with writing(two_records.app.engine) as session:
        erased = ErasedCustomer(
            connection_id=two_records.connection, customer_id=first, erased_at=two_records.app.now(), erased_by="Ann"
        )
        session.add(erased)
    merge(two_records, FIRST, SECOND)
    assert settings_of(two_records, SECOND).no_reminders


@pytest.fixture
def quickbooks(scenario_at: ScenarioFactory) -> Iterator[Scenario]:
    """A live company on QuickBooks: of a customer entered twice only the second record has an invoice."""
    with scenario_at(NOON, "quickbooks") as scenario:
        for name in (FIRST, SECOND):
            scenario.company.customer(name, f"{name.split()[1].lower()}@ashdown.example")
        scenario.number = scenario.company.invoice(SECOND, "900.00", due_on=days(-6))
        yield scenario.go_live()


def merge_with_webhook(scenario: Scenario, merged: str, survivor: str) -> None:
    """Merge two customers in the simulated QuickBooks, and receive what its webhook says of it."""
    service = scenario.sandbox.quickbooks
    with serving(scenario.app) as port:
        service.register_webhook(f"http://localhost:{port}/webhooks/quickbooks")
        merge_only(scenario, merged, survivor)
        assert service.post_webhooks() == 200


def merge_only(scenario: Scenario, merged: str, survivor: str) -> None:
    scenario.pass_days(1)
    scenario.company.simulator.merge(merged, survivor)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_customer_without_invoices_that_was_merged_is_known_by_the_webhook(
    quickbooks: Scenario, legacy: bool
) -> None:
    quickbooks.sandbox.quickbooks.legacy_webhooks = legacy
    first, second = id_of(quickbooks, FIRST), id_of(quickbooks, SECOND)
    set_(quickbooks, FIRST, no_reminders=True, no_fees=True)
    merge_with_webhook(quickbooks, FIRST, SECOND)
    assert quickbooks.run().outcome == RunOutcome.OK
    settings = settings_of(quickbooks, SECOND)
    assert (settings.no_reminders, settings.no_fees) == (True, True)
    with reading(quickbooks.app.engine) as session:
        assert session.get_one(CustomerRow, (quickbooks.connection, first)).merged_into == second
    set_(quickbooks, SECOND, no_reminders=False)
    quickbooks.pass_days(1)
    quickbooks.run()
    assert not settings_of(quickbooks, SECOND).no_reminders, "the merge is combined once"


def test_of_what_cannot_be_read_a_merged_customers_own_record_stays_theirs(quickbooks: Scenario) -> None:
    first, second = id_of(quickbooks, FIRST), id_of(quickbooks, SECOND)
    with writing(quickbooks.app.engine) as session:
        for kind, record in ((RecordKind.CUSTOMER, first), (RecordKind.PAYMENT, "p9")):
            session.add(
                MalformedRow(
                    connection_id=quickbooks.connection, kind=kind, external_id=record, customer_id=first, reason="odd",
                    raw=b"{}", seen_at=quickbooks.app.now(),
                )
            )  # fmt: skip
        session.flush()
        merges._move(session, quickbooks.connection, first, second)
        whose = {row.kind: row.customer_id for row in session.exec(select(MalformedRow))}
    assert whose == {RecordKind.CUSTOMER: first, RecordKind.PAYMENT: second}


def test_a_merged_customer_who_is_made_active_again_is_not_merged_at_each_sync(quickbooks: Scenario) -> None:
    first, second = id_of(quickbooks, FIRST), id_of(quickbooks, SECOND)
    set_(quickbooks, FIRST, no_reminders=True)
    event = ChangeNotification("e1", quickbooks.company.external_id, second, True, first)
    receive_events(quickbooks.app, "quickbooks", [event])
    quickbooks.run()
    assert settings_of(quickbooks, SECOND).no_reminders
    quickbooks.pass_days(1)
    quickbooks.company.simulator.edit_customer(FIRST, Active=True, Notes="restored")
    quickbooks.run()
    set_(quickbooks, SECOND, no_reminders=False)
    quickbooks.pass_days(1)
    quickbooks.run()
    assert not settings_of(quickbooks, SECOND).no_reminders
    with reading(quickbooks.app.engine) as session:
        assert session.get_one(CustomerRow, (quickbooks.connection, first)).merged_into is None


@pytest.mark.parametrize("later", [False, True], ids=["at once", "one after the other"])
def test_a_chain_that_is_announced_in_the_wrong_order_carries_every_stop(quickbooks: Scenario, later: bool) -> None:
    quickbooks.company.customer(THIRD, "co@ashdown.example")
    quickbooks.run()
    ids = {name: id_of(quickbooks, name) for name in (FIRST, SECOND, THIRD)}
    set_(quickbooks, FIRST, no_reminders=True, hold_until_on=days(60))
    set_(quickbooks, SECOND, no_fees=True, withholding_percent="10")
    for number, (merged, survivor) in enumerate(((SECOND, THIRD), (FIRST, SECOND))):
        event = ChangeNotification(f"e{number}", quickbooks.company.external_id, ids[survivor], True, ids[merged])
        receive_events(quickbooks.app, "quickbooks", [event])
        if later:
            quickbooks.run()
    quickbooks.run()
    settings = settings_of(quickbooks, THIRD)
    assert (settings.no_reminders, settings.no_fees, settings.hold_until_on) == (True, True, days(60))
    assert settings.withholding_percent == "10"
    with reading(quickbooks.app.engine) as session:
        assert _owner(session, quickbooks.number) == ids[THIRD]


def test_a_merge_that_is_announced_before_its_survivor_is_read_waits_for_it(quickbooks: Scenario) -> None:
    set_(quickbooks, FIRST, no_reminders=True)
    event = ChangeNotification("early", quickbooks.company.external_id, "99", True, id_of(quickbooks, FIRST))
    receive_events(quickbooks.app, "quickbooks", [event])
    quickbooks.run()
    assert not settings_of(quickbooks, SECOND).no_reminders
    with reading(quickbooks.app.engine) as session:
        first = session.get_one(CustomerRow, (quickbooks.connection, id_of(quickbooks, FIRST)))
        assert first.merged_into is None


def test_a_customer_of_whom_only_a_payment_moved_was_merged_as_well(quickbooks: Scenario) -> None:
    quickbooks.company.simulator.pay_unapplied(FIRST, "40.00")
    quickbooks.run()
    set_(quickbooks, FIRST, no_reminders=True)
    merge(quickbooks, FIRST, SECOND)
    assert settings_of(quickbooks, SECOND).no_reminders


def test_moves_that_were_no_merge_are_forgotten(two_records: Scenario) -> None:
    """The customer is made inactive a year after its only invoice was moved: that is no merge."""
    first, second = id_of(two_records, FIRST), id_of(two_records, SECOND)
    set_(two_records, FIRST, no_reminders=True)
    number = two_records.company.numbers[0]
    simulator, where = two_records.company.simulator, two_records.company.company_filter
    two_records.pass_days(1)
    if where:
        simulator.edit(number, contact=simulator.contact(SECOND, **where), **where)
    else:
        simulator.edit(number, CustomerRef={"value": second})
    two_records.run()
    with reading(two_records.app.engine) as session:
        assert list(session.get_one(KeyValue, (two_records.connection, "customer_moves")).value) == [first]
    two_records.run_for_days(121, every=40)
    with reading(two_records.app.engine) as session:
        assert session.get(KeyValue, (two_records.connection, "customer_moves")) is None


@pytest.mark.parametrize(
    ("own", "survivors", "expected"),
    [
        ("", "limited@ashdown.example", "limited@ashdown.example"),
        ("boss@ashdown.example", "limited@ashdown.example", "boss@ashdown.example"),
        ("", "", "ltd@ashdown.example"),
    ],
)
def test_an_invoice_of_a_merged_customer_goes_to_the_survivor_unless_it_has_an_address_of_its_own(
    quickbooks: Scenario, own: str, survivors: str, expected: str
) -> None:
    """QuickBooks copies a customer's address onto each invoice, and a merge leaves the copy there."""
    company = quickbooks.company
    company.pay(quickbooks.number)
    company.simulator.edit_customer(SECOND, PrimaryEmailAddr={"Address": survivors} if survivors else None)
    number = company.invoice(FIRST, "700.00", due_on=days(21))
    if own:
        company.simulator.edit(number, BillEmail={"Address": own})
    quickbooks.run()
    before = len(quickbooks.customer_emails())
    merge_only(quickbooks, FIRST, SECOND)
    quickbooks.run_for_days(30, every=5)
    assert company.simulator.find(number)["BillEmail"]["Address"] == (own or "ltd@ashdown.example")
    assert {to for to, _subject in quickbooks.customer_emails()[before:]} == {(expected,)}
