"""To whom an email goes: the invoice's own addresses, every shape of list, and one mailbox of two customers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from connector.arrangements.customer_settings import SettingChanges, find_customer, update_settings
from connector.arrangements.suppressions import suppress
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import Connection, ExceptionRow, InvoiceDecisionRow
from connector.emails.inbound.events import receive_events
from connector.evaluation import exceptions
from connector.evaluation.exceptions import list_exceptions
from connector.outbox.approvals import reject
from connector.privacy.personal_data import find_subject
from connector.services.entry_email import format_email, load_email
from connector.services.explain import explain
from connector.services.upcoming_actions import list_customer_upcoming, list_upcoming
from connector.sync.mirror import mailboxes
from connector.sync.mirror.pages import load_statements
from connector.vocabulary import ConnectionMode, RunOutcome, UpcomingKind
from policies.exception_checks import ExceptionCode
from providers.sendgrid.webhook import parse_events
from tests.connector.scenario import NOON, ResumeAfter, Scenario, ScenarioFactory, days

TWINS = ("Harbor Group", "Harbor East")


@pytest.fixture
def quickbooks(scenario_at: ScenarioFactory) -> Iterator[Scenario]:
    """A company on QuickBooks with one customer, whose invoice is six days overdue."""
    with scenario_at(NOON, "quickbooks") as scenario:
        scenario.company.customer("Harbor Group", "ap@harbor.example")
        scenario.number = scenario.company.invoice("Harbor Group", "300.00", due_on=days(-6))
        yield scenario


def add_twins(scenario: Scenario) -> None:
    for name, address in zip(TWINS, ("AP@harbor.example", "ap@harbor.example"), strict=True):
        scenario.company.customer(name, address)
        scenario.company.invoice(name, "300.00", due_on=days(-6))
    scenario.go_live()


@pytest.fixture
def one_mailbox(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company with one customer entered twice, with one address and an overdue invoice each."""
    with resume_after(add_twins, scenario.company.provider) as resumed:
        yield resumed


def address_invoice(scenario: Scenario, **fields: str) -> None:
    given = {name: {"Address": text} for name, text in fields.items()}
    scenario.company.simulator.edit(scenario.number, **given)


def sent(scenario: Scenario) -> list[Any]:
    own = scenario.app.settings.mail_from
    return [email for email in scenario.sandbox.sendgrid.emails() if own not in email.to]


def update(scenario: Scenario, name: str, **changes: Any) -> None:
    with reading(scenario.app.engine) as session:
        customer = find_customer(session, name, scenario.connection).external_id
    update_settings(scenario.app, scenario.connection, customer, SettingChanges(**changes), by="a test")  # type: ignore[typeddict-item]


def reasons(scenario: Scenario) -> list[str]:
    with reading(scenario.app.engine) as session:
        return list(session.scalars(select(col(InvoiceDecisionRow.reason))))


def test_who_receives_no_reminders_gets_no_copy_of_another_customers(quickbooks: Scenario) -> None:
    quickbooks.company.customer("Dan & Co", "dan@harbor.example")
    address_invoice(quickbooks, BillEmailCc="Dan@harbor.example, eve@harbor.example", BillEmailBcc="dan@harbor.example")
    quickbooks.go_live()
    update(quickbooks, "Dan & Co", no_reminders=True)
    quickbooks.run()
    [email] = sent(quickbooks)
    assert (email.to, email.cc, email.bcc) == (("ap@harbor.example",), ("eve@harbor.example",), ())


def test_an_invoices_own_addresses_go_before_the_customers(quickbooks: Scenario) -> None:
    address_invoice(
        quickbooks,
        BillEmail="Bo Lee <bo@harbor.example>; cy@harbor.example.",
        BillEmailCc="dan@harbor.example",
        BillEmailBcc="mailto:archive@works.example",
    )
    quickbooks.go_live().run()
    [email] = sent(quickbooks)
    assert email.to == ("bo@harbor.example", "cy@harbor.example")
    assert (email.cc, email.bcc) == (("dan@harbor.example",), ("archive@works.example",))
    [entry] = [each for each in quickbooks.outbox("done") if each.kind == "email"]
    assert entry.payload["cc"] == ["dan@harbor.example"]


def test_an_address_that_a_user_set_goes_before_both(quickbooks: Scenario) -> None:
    address_invoice(quickbooks, BillEmail="bo@harbor.example", BillEmailCc="dan@harbor.example")
    quickbooks.go_live()
    update(quickbooks, "Harbor Group", emails="eve@harbor.example")
    quickbooks.run()
    assert [(email.to, email.cc) for email in sent(quickbooks)] == [(("eve@harbor.example",), ())]


def test_an_address_is_in_one_list_of_recipients_only(quickbooks: Scenario) -> None:
    address_invoice(
        quickbooks,
        BillEmail="bo@harbor.example",
        BillEmailCc="BO@harbor.example, dan@harbor.example",
        BillEmailBcc="Dan@Harbor.example",
    )
    quickbooks.go_live().run()
    [email] = sent(quickbooks)
    assert (email.to, email.cc, email.bcc) == (("bo@harbor.example",), ("dan@harbor.example",), ())


def test_a_suppressed_copy_does_not_hold_up_the_email(quickbooks: Scenario) -> None:
    address_invoice(quickbooks, BillEmail="bo@harbor.example", BillEmailCc="dan@harbor.example")
    quickbooks.go_live()
    with writing(quickbooks.app.engine) as session:
        suppress(session, "dan@harbor.example", "email to it bounced", quickbooks.app.now())
    quickbooks.run()
    assert [(email.to, email.cc) for email in sent(quickbooks)] == [(("bo@harbor.example",), ())]


def test_where_the_invoices_own_address_is_suppressed_the_customers_is_used(quickbooks: Scenario) -> None:
    address_invoice(quickbooks, BillEmail="bo@harbor.example")
    quickbooks.go_live()
    with writing(quickbooks.app.engine) as session:
        suppress(session, "bo@harbor.example", "email to it bounced", quickbooks.app.now())
    quickbooks.run()
    assert [email.to for email in sent(quickbooks)] == [("ap@harbor.example",)]


def test_a_hundred_copies_are_cut_to_what_mail_servers_take(quickbooks: Scenario) -> None:
    many = "; ".join(f"p{number}@harbor.example" for number in range(120))
    address_invoice(quickbooks, BillEmail="bo@harbor.example", BillEmailCc=many)
    quickbooks.go_live().run()
    [email] = sent(quickbooks)
    assert (email.to, len(email.cc)) == (("bo@harbor.example",), 49)


def test_of_three_addresses_the_invalid_one_is_named_and_the_others_get_the_email(scenario: Scenario) -> None:
    scenario.company.customer("Harbor Group", "Ann <ap@harbor.example>; bo@harbor; cy@harbor.example")
    scenario.company.invoice("Harbor Group", "300.00", due_on=days(-6))
    scenario.go_live().run()
    assert [email.to for email in sent(scenario)] == [("ap@harbor.example", "cy@harbor.example")]
    found = [each.reason for each in list_exceptions(scenario.app, scenario.connection)]
    assert any("'bo@harbor'" in reason and "not a valid email address" in reason for reason in found)


def test_where_the_only_address_is_invalid_nothing_says_that_emails_go_to_others(scenario: Scenario) -> None:
    scenario.company.customer("Harbor Group", "ap@harbor")
    scenario.company.invoice("Harbor Group", "300.00", due_on=days(-6))
    scenario.go_live().run()
    assert sent(scenario) == []
    found = [each.reason for each in list_exceptions(scenario.app, scenario.connection)]
    assert found
    assert all(reason.endswith("is not a valid email address; no email is sent.") for reason in found)


def test_deleted_is_cut_from_the_name_of_an_inactive_customer(quickbooks: Scenario) -> None:
    quickbooks.company.simulator.deactivate("Harbor Group")
    quickbooks.go_live().run()
    [email] = sent(quickbooks)
    assert "(deleted)" not in email.subject + email.text + email.html
    with reading(quickbooks.app.engine) as session:
        assert find_customer(session, "Harbor Group").name == "Harbor Group"


def test_two_customers_with_one_mailbox_get_one_email_at_a_time(one_mailbox: Scenario) -> None:
    one_mailbox.run()
    assert len(sent(one_mailbox)) == 1
    assert any("One email a day to one address" in each for each in reasons(one_mailbox))
    one_mailbox.pass_days(1)
    one_mailbox.run()
    assert len(sent(one_mailbox)) == 1
    one_mailbox.run_for_days(7)
    first, second = sent(one_mailbox)[:2]
    named = [[number for number in one_mailbox.company.numbers if number in each.text] for each in (first, second)]
    assert sorted(named) == [[number] for number in sorted(one_mailbox.company.numbers)]
    assert second.at.date() - first.at.date() == timedelta(days=5)  # three days later is a Saturday


def test_what_is_planned_for_one_mailbox_is_what_is_sent_to_it(one_mailbox: Scenario) -> None:
    """Preview and sync follow one rule: one email a day to one address, in the same order and with the same gaps."""
    planned = list_upcoming(one_mailbox.app, one_mailbox.connection, 29)
    with reading(one_mailbox.app.engine) as session:
        connection = session.get_one(Connection, one_mailbox.connection)
        of_each = [
            item
            for name in TWINS
            for item in list_customer_upcoming(
                session, connection, find_customer(session, name).external_id, one_mailbox.app.now(), 29
            )
        ]
    assert sorted(item.id for item in of_each) == sorted(item.id for item in planned)
    emails = sorted((item.on, item.step) for item in planned if item.kind == UpcomingKind.EMAIL)
    one_mailbox.run_for_days(30)
    assert len(emails) == len({on for on, _step in emails}) >= 4
    assert one_mailbox.sent_steps() == emails


def test_who_shares_a_mailbox_is_checked_again_only_when_an_address_changes(
    one_mailbox: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[set[str]] = []

    def record(*args: Any, customer_ids: set[str], **options: Any) -> Any:
        scanned.append(customer_ids)
        return load_statements(*args, customer_ids=customer_ids, **options)

    one_mailbox.pass_days(2)
    one_mailbox.company.customer("Larch Ltd", "ap@larch.example")
    one_mailbox.run()
    one_mailbox.pass_days(2)
    monkeypatch.setattr(exceptions, "load_statements", record)
    one_mailbox.company.invoice("Larch Ltd", "20.00", due_on=days(30))
    one_mailbox.run()
    one_mailbox.pass_days(2)
    one_mailbox.company.simulator.set_email(TWINS[1], "east@harbor.example", **one_mailbox.company.company_filter)
    one_mailbox.run()
    with reading(one_mailbox.app.engine) as session:
        ids = [find_customer(session, name, one_mailbox.connection).external_id for name in (*TWINS, "Larch Ltd")]
    assert scanned[0] == {ids[2]}
    assert set(ids[:2]) <= scanned[1]


@pytest.mark.parametrize("stopped", TWINS)
def test_a_stop_of_one_is_a_stop_of_both(one_mailbox: Scenario, stopped: str) -> None:
    update(one_mailbox, stopped, no_reminders=True)
    one_mailbox.run_for_days(8, every=2)
    assert not sent(one_mailbox)
    assert any(f"{stopped}, at the same email address, receives none" in each for each in reasons(one_mailbox))


@pytest.mark.parametrize("paused", TWINS)
def test_a_pause_of_one_is_a_pause_of_both(one_mailbox: Scenario, paused: str) -> None:
    update(one_mailbox, paused, hold_until_on=days(20))
    one_mailbox.run_for_days(8, every=2)
    assert not sent(one_mailbox)
    assert any(f"so are those of {paused}" in each for each in reasons(one_mailbox))


def test_two_customers_with_one_mailbox_are_a_probable_duplicate_until_one_address_changes(
    one_mailbox: Scenario,
) -> None:
    def duplicates() -> list[ExceptionRow]:
        assert one_mailbox.run().outcome == RunOutcome.OK
        with reading(one_mailbox.app.engine) as session:
            return list(
                session.scalars(select(ExceptionRow).where(col(ExceptionRow.code) == ExceptionCode.PROBABLE_DUPLICATE))
            )

    found = duplicates()
    assert [(each.invoice_id, TWINS[0] in each.reason, TWINS[1] in each.reason) for each in found] == [
        ("", True, True)
    ] * 2
    one_mailbox.pass_days(2)
    one_mailbox.company.simulator.set_email(TWINS[1], "east@harbor.example", **one_mailbox.company.company_filter)
    assert not duplicates()
    one_mailbox.run_for_days(4)
    assert {email.to for email in sent(one_mailbox)} == {("AP@harbor.example",), ("east@harbor.example",)}


def test_an_address_of_too_many_customers_is_a_probable_placeholder_and_explain_says_so(
    one_mailbox: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailboxes, "SHARING_MAX", 1)
    number = one_mailbox.company.numbers[0]
    one_mailbox.company.move_due(number, days(-5))
    assert one_mailbox.run().outcome == RunOutcome.OK
    [found] = list_exceptions(one_mailbox.app, one_mailbox.connection)
    assert (found.code, found.customer_id) == (ExceptionCode.PROBABLE_PLACEHOLDER, "")
    assert found.reason.startswith("ap@harbor.example is the email address of 2 customers: probably a placeholder.")
    assert explain(one_mailbox.app, number, None).exceptions == [found.reason]
    monkeypatch.setattr(mailboxes, "SHARING_MAX", 2)
    one_mailbox.company.move_due(number, days(-4))
    one_mailbox.run()
    codes = {each.code for each in list_exceptions(one_mailbox.app, one_mailbox.connection)}
    assert codes == {ExceptionCode.PROBABLE_DUPLICATE}


def test_a_rejected_email_gives_its_mailbox_to_the_other_customer(one_mailbox: Scenario) -> None:
    set_mode(one_mailbox.app, one_mailbox.connection, ConnectionMode.APPROVE)
    one_mailbox.run()
    [first] = [each for each in one_mailbox.outbox("awaiting_approval") if each.kind == "email"]
    with writing(one_mailbox.app.engine) as session:
        reject(session, [first.id or 0], by="Ann", at=one_mailbox.app.now())
    one_mailbox.run()
    [second] = [each for each in one_mailbox.outbox("awaiting_approval") if each.kind == "email"]
    assert second.customer_id != first.customer_id


COPIES = """
[copies]
cc = ["owner"]
bcc = ["sales_rep"]
second_contact_from = "past_due"
"""


def add_late_customer(scenario: Scenario) -> None:
    scenario.company.customer("Harbor Group", "ap@harbor.example")
    scenario.number = scenario.company.invoice("Harbor Group", "300.00", due_on=days(-6))
    scenario.go_live()
    own = {"owner": "Ann Lee <ann@works.example>", "sales_rep": "sam@works.example"}
    update(scenario, "Harbor Group", **own, second_contact="Ben Hall <ben@harbor.example>")


@pytest.fixture
def with_contacts(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company with an overdue customer who has an account owner, a sales rep and a second contact."""
    with resume_after(add_late_customer, scenario.company.provider) as resumed:
        yield resumed


def test_your_own_people_and_a_second_contact_get_copies(with_contacts: Scenario) -> None:
    with_contacts.set_policy(COPIES)
    with_contacts.run()
    [email] = sent(with_contacts)
    assert email.to == ("ap@harbor.example",)
    assert (email.cc, email.bcc) == (("ben@harbor.example", "ann@works.example"), ("sam@works.example",))
    [entry] = [each for each in with_contacts.outbox("done") if each.kind == "email"]
    shown = load_email(with_contacts.app, entry)
    to_reason = {"xero": "Customer's address", "quickbooks": "Address on the invoice"}[with_contacts.company.provider]
    assert [(each.field, each.address, each.reason) for each in shown.recipients] == [
        ("to", "ap@harbor.example", to_reason),
        ("cc", "ben@harbor.example", "Second contact"),
        ("cc", "ann@works.example", "Account owner"),
        ("bcc", "sam@works.example", "Sales rep"),
    ]
    assert "Cc:        ben@harbor.example (second contact), ann@works.example (account owner)" in format_email(shown)
    explained = explain(with_contacts.app, with_contacts.number, None).recipients
    assert [each.reason for each in explained] == [
        to_reason,
        "Second contact, from the step first reminder on",
        "Account owner",
        "Sales rep",
    ]
    with reading(with_contacts.app.engine) as session:  # nobody of your own is erased with a customer
        subject = find_subject(session, find_customer(session, "Harbor Group"))
    assert subject.addresses == ("ap@harbor.example", "ben@harbor.example")


def test_by_default_nobody_gets_a_copy_and_nothing_is_recorded(with_contacts: Scenario) -> None:
    with_contacts.run()
    [email] = sent(with_contacts)
    assert (email.cc, email.bcc, email.tracked) == ((), (), frozenset())
    assert "recorded" not in email.text


def test_a_second_contact_who_unsubscribed_gets_nothing(with_contacts: Scenario) -> None:
    with_contacts.set_policy(COPIES)
    with writing(with_contacts.app.engine) as session:
        suppress(session, "ben@harbor.example", "its owner unsubscribed", with_contacts.app.now())
    with_contacts.run()
    assert [(email.to, email.cc) for email in sent(with_contacts)] == [(("ap@harbor.example",), ("ann@works.example",))]


def test_opens_and_clicks_are_recorded_where_wanted(with_contacts: Scenario) -> None:
    with_contacts.set_policy("[tracking]\nopens = true\nclicks = true\n")
    with_contacts.run()
    [email] = sent(with_contacts)
    assert email.tracked == {"open", "click"}
    assert "Whether this email is opened and its links are clicked is recorded." in email.text
    with_contacts.sandbox.sendgrid.store.read("ap@harbor.example")
    body, _headers = with_contacts.sandbox.sendgrid.webhook.sign(with_contacts.sandbox.sendgrid.store.events, 0)
    receive_events(with_contacts.app, parse_events(body, with_contacts.app.now()))
    [entry] = [each for each in with_contacts.outbox("done") if each.kind == "email"]
    assert [each.kind for each in load_email(with_contacts.app, entry).events][-1] == "open"
