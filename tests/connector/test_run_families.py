"""Families and balances: money that is on no invoice, and parents who are written to for their sub-customers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements.customer_settings import SettingChanges, find_customer, update_settings
from connector.db.engine import reading
from connector.db.money import from_e4
from connector.db.tables import CustomerRow, ExceptionRow, InvoiceDecisionRow, InvoiceRow, Task
from connector.emails.portal_links import PortalVisitor
from connector.portal.account_statement import load_statements_of_account
from connector.services.upcoming_actions import list_upcoming
from connector.vocabulary import UpcomingKind
from providers.quickbooks.ledger import QuickBooksLedger
from tests.connector.scenario import Scenario, ScenarioFactory


@pytest.fixture
def quickbooks(scenario_at: ScenarioFactory, noon: datetime) -> Iterator[Scenario]:
    with scenario_at(noon, "quickbooks") as scenario:
        yield scenario


def add_group(
    scenario: Scenario, *subs: str, billed: bool = True, email: str = "ap@harbor.example", **facts: Any
) -> None:
    """Add Harbor Group and its sub-customers, who have no address of their own."""
    books = scenario.company.simulator
    parent = books.add_customer("Harbor Group", email=email, currency="GBP", **facts)
    for name in subs:
        add_sub(scenario, name, parent["Id"], billed=billed)


def add_sub(scenario: Scenario, name: str, parent_id: str, *, billed: bool = True, email: str = "") -> str:
    family = {"Job": True, "BillWithParent": billed, "ParentRef": {"value": parent_id}}
    return str(scenario.company.simulator.add_customer(name, email=email, currency="GBP", **family)["Id"])


def codes(scenario: Scenario) -> dict[str, str]:
    """Return the decision about each invoice by its number."""
    query = select(col(InvoiceRow.number), col(InvoiceDecisionRow.code)).join(
        InvoiceDecisionRow, col(InvoiceDecisionRow.invoice_id) == col(InvoiceRow.external_id)
    )
    with reading(scenario.app.engine) as session:
        return dict(session.execute(query).all())


def customer_texts(scenario: Scenario) -> list[str]:
    own = scenario.app.settings.mail_from
    return [email.text for email in scenario.sandbox.sendgrid.emails() if own not in email.to]


def reasons(scenario: Scenario) -> list[str]:
    with reading(scenario.app.engine) as session:
        return list(session.scalars(select(col(InvoiceDecisionRow.reason))))


def apply_tasks(scenario: Scenario) -> list[str]:
    with reading(scenario.app.engine) as session:
        return list(session.scalars(select(col(Task.reason)).where(col(Task.code) == "apply_credit")))


def found_exceptions(scenario: Scenario) -> list[str]:
    with reading(scenario.app.engine) as session:
        return sorted(session.scalars(select(col(ExceptionRow.code))))


def set_for(scenario: Scenario, name: str, changes: SettingChanges) -> None:
    with reading(scenario.app.engine) as session:
        customer_id = session.scalars(select(col(CustomerRow.external_id)).where(col(CustomerRow.name) == name)).one()
    update_settings(scenario.app, scenario.connection, customer_id, changes, by="Ann")


def test_a_deposit_booked_past_the_invoice_holds_it_and_the_bookkeeper_is_told(quickbooks: Scenario) -> None:
    company = quickbooks.company
    company.customer("Ashdown Ltd")
    number = company.invoice("Ashdown Ltd", "300.00", due_on=quickbooks.days_ago(6))
    company.simulator.book_on_no_invoice("Ashdown Ltd", "300.00")
    quickbooks.go_live().run()
    assert quickbooks.customer_emails() == []
    assert codes(quickbooks) == {number: "unapplied_credit"}
    assert "a deposit or journal entry" in reasons(quickbooks)[0]
    (task,) = apply_tasks(quickbooks)
    assert task.startswith("Apply GBP 300.00 of unapplied credit (a deposit or journal entry: ")
    assert found_exceptions(quickbooks) == ["balance_below_invoices"]


def test_a_deposit_of_a_part_is_deducted_from_what_is_asked_for(quickbooks: Scenario) -> None:
    company = quickbooks.company
    company.customer("Ashdown Ltd")
    company.invoice("Ashdown Ltd", "300.00", due_on=quickbooks.days_ago(6))
    company.simulator.book_on_no_invoice("Ashdown Ltd", "100.00")
    quickbooks.go_live().run()
    (email,) = customer_texts(quickbooks)
    assert "£200.00" in email
    assert "part payment" not in email  # a journal entry may be no money at all


def test_a_payment_of_one_invoice_makes_a_credit_note_on_another_no_part_payment(quickbooks: Scenario) -> None:
    company = quickbooks.company
    company.customer("Ashdown Ltd")
    for amount in ("300.00", "500.00"):
        company.invoice("Ashdown Ltd", amount, due_on=quickbooks.days_ago(6))
    company.simulator.pay_unapplied("Ashdown Ltd", "300.00")
    company.credit("Ashdown Ltd", "100.00")
    quickbooks.go_live().run()
    (email,) = customer_texts(quickbooks)
    assert "£400.00" in email
    assert "part payment" not in email


def test_known_credit_is_not_counted_twice_and_a_higher_balance_is_no_credit(quickbooks: Scenario) -> None:
    company = quickbooks.company
    for name, balance in (("Ashdown Ltd", "0.00"), ("Bexley Ltd", "-500.00")):
        company.customer(name)
        company.invoice(name, "300.00", due_on=quickbooks.days_ago(6))
        company.simulator.book_on_no_invoice(name, balance)
    company.credit("Ashdown Ltd", "100.00")
    quickbooks.go_live().run()
    assert sorted("£200.00" in text for text in customer_texts(quickbooks)) == [False, True]
    assert found_exceptions(quickbooks) == ["balance_above_invoices"]  # Bexley's, and none of Ashdown's


def exception_reasons(scenario: Scenario) -> list[str]:
    with reading(scenario.app.engine) as session:
        return sorted(session.scalars(select(col(ExceptionRow.reason))))


def test_a_chargeback_by_journal_entry_is_an_exception_and_holds_nothing(quickbooks: Scenario) -> None:
    company = quickbooks.company
    for name in ("Ashdown Ltd", "Bexley Ltd"):
        company.customer(name)
        number = company.invoice(name, "300.00", due_on=quickbooks.days_ago(6))
    company.pay(number)  # Bexley's only one
    quickbooks.go_live()
    for name in ("Ashdown Ltd", "Bexley Ltd"):
        company.simulator.book_on_no_invoice(name, "-120.00")
    quickbooks.run()
    ashdown, bexley = exception_reasons(quickbooks)
    assert ashdown.startswith(
        "The accounting system's own balance of Ashdown Ltd is GBP 120.00 above the open invoices"
    )
    assert "Bexley Ltd is GBP 120.00 above" in bexley
    assert any("£300.00 was due" in text for text in customer_texts(quickbooks))
    for name in ("Ashdown Ltd", "Bexley Ltd"):
        company.simulator.book_on_no_invoice(name, "120.00")
    quickbooks.run()
    assert exception_reasons(quickbooks) == []


def test_what_a_family_owes_on_no_invoice_stands_at_its_head(quickbooks: Scenario) -> None:
    add_group(quickbooks, "Harbor East", "Harbor West")
    quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(6))
    quickbooks.company.simulator.book_on_no_invoice("Harbor West", "-50.00")
    quickbooks.go_live()
    (reason,) = exception_reasons(quickbooks)
    assert "own balance of Harbor Group is GBP 50.00 above the open invoices" in reason


def test_a_deposit_that_is_seen_right_before_sending_stops_the_email(quickbooks: Scenario) -> None:
    company = quickbooks.company
    company.customer("Ashdown Ltd")
    company.invoice("Ashdown Ltd", "300.00", due_on=quickbooks.days_ago(6))
    quickbooks.go_live()
    original = QuickBooksLedger.reload_documents

    def deposit_first(self: QuickBooksLedger, *arguments: Any) -> Any:
        company.simulator.book_on_no_invoice("Ashdown Ltd", "300.00")
        return original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuickBooksLedger, "reload_documents", deposit_first)
        quickbooks.run()
    assert quickbooks.customer_emails() == []


def test_a_contact_balance_in_xero_below_the_invoices_holds_them(scenario_at: ScenarioFactory, noon: datetime) -> None:
    with scenario_at(noon, "xero") as scenario:
        company = scenario.company
        company.customer("Ashdown Ltd")
        number = company.invoice("Ashdown Ltd", "300.00", due_on=scenario.days_ago(6))
        company.simulator.set_outstanding("Ashdown Ltd", "0.00", **company.company_filter)
        scenario.go_live().run()
        assert codes(scenario) == {number: "unapplied_credit"}
        assert scenario.customer_emails() == []


def test_a_balance_in_xero_that_was_read_before_the_invoice_says_nothing(
    scenario_at: ScenarioFactory, noon: datetime
) -> None:
    with scenario_at(noon, "xero") as scenario:
        company = scenario.company
        company.customer("Ashdown Ltd")
        company.simulator.set_outstanding("Ashdown Ltd", "0.00", **company.company_filter)
        scenario.go_live()
        scenario.pass_days(1)
        company.invoice("Ashdown Ltd", "300.00", due_on=scenario.days_ago(8), on=scenario.days_ago(50))
        company.simulator.set_outstanding("Ashdown Ltd", "300.00", **company.company_filter)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("connector.sync.reconcile.is_due", lambda *_: False)
            scenario.run_for_days(12, every=3)
        assert scenario.customer_emails() != []


def test_money_on_the_parent_covers_what_a_sub_customer_owes(quickbooks: Scenario) -> None:
    add_group(quickbooks, "Harbor East")
    number = quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(6))
    quickbooks.company.simulator.pay_unapplied("Harbor Group", "300.00")
    quickbooks.go_live().run()
    assert codes(quickbooks) == {number: "unapplied_credit"}
    assert quickbooks.customer_emails() == []
    assert len(apply_tasks(quickbooks)) == 1


@pytest.mark.parametrize("is_booked_past", [False, True])
def test_the_task_to_apply_credit_names_the_relative_whose_credit_it_is(
    quickbooks: Scenario, is_booked_past: bool
) -> None:
    add_group(quickbooks, "Harbor East", billed=False)
    quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(6))
    if is_booked_past:
        quickbooks.company.simulator.book_on_no_invoice("Harbor Group", "300.00")
    else:
        quickbooks.company.simulator.pay_unapplied("Harbor Group", "300.00")
    quickbooks.go_live().run()
    [text] = apply_tasks(quickbooks)
    assert ("Harbor Group's balance in the accounting system" if is_booked_past else ", on Harbor Group") in text


def test_money_of_one_sub_customer_covers_what_another_owes_once(quickbooks: Scenario) -> None:
    add_group(quickbooks, "Harbor East", "Harbor West", "Harbor North", billed=False)
    books = quickbooks.company.simulator
    old = quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(9))
    young = quickbooks.company.invoice("Harbor West", "300.00", due_on=quickbooks.days_ago(8))
    books.pay_unapplied("Harbor North", "300.00")
    quickbooks.go_live().run()
    assert codes(quickbooks) == {old: "unapplied_credit", young: "past_due"}


def test_a_journal_entry_on_the_parent_counts_for_the_family(quickbooks: Scenario) -> None:
    add_group(quickbooks, "Harbor East", billed=False)
    number = quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(6))
    quickbooks.company.simulator.book_on_no_invoice("Harbor Group", "300.00")
    quickbooks.go_live().run()
    assert codes(quickbooks) == {number: "unapplied_credit"}
    with reading(quickbooks.app.engine) as session:
        (reason,) = session.scalars(select(col(ExceptionRow.reason)))
    assert "own balance of the family of Harbor East is GBP 300.00 below the open invoices" in reason


def test_what_the_parent_lends_is_on_no_statement_of_a_sub_customers_account(quickbooks: Scenario) -> None:
    add_group(quickbooks, "Harbor East", billed=False)
    quickbooks.company.invoice("Harbor East", "400.00", due_on=quickbooks.days_ago(6))
    quickbooks.company.simulator.book_on_no_invoice("Harbor Group", "300.00")
    quickbooks.go_live().run()
    with reading(quickbooks.app.engine) as session:
        east = find_customer(session, "Harbor East").external_id
        visitor = PortalVisitor(quickbooks.connection, east, expired=False)
        [account] = load_statements_of_account(
            session, visitor, quickbooks.days_ago(90), quickbooks.today, quickbooks.app.now()
        )
    assert from_e4(account.closing_e4) == Decimal("400.00")


def test_a_family_billed_with_its_parent_gets_one_email(quickbooks: Scenario) -> None:
    add_group(quickbooks, "Harbor East", "Harbor West")
    for name in ("Harbor East", "Harbor West"):
        quickbooks.company.invoice(name, "300.00", due_on=quickbooks.days_ago(8))
    quickbooks.company.invoice("Harbor Group", "50.00", due_on=quickbooks.days_ago(8))
    quickbooks.go_live().run()
    ((to, _subject),) = quickbooks.customer_emails()
    assert to == ("ap@harbor.example",)
    (email,) = customer_texts(quickbooks)
    assert "£650.00" in email
    quickbooks.run_for_days(3)
    assert len(quickbooks.customer_emails()) == 1


def test_three_levels_are_written_to_at_the_top(quickbooks: Scenario) -> None:
    parent = quickbooks.company.simulator.add_customer("Harbor Group", email="ap@harbor.example", currency="GBP")["Id"]
    east = add_sub(quickbooks, "Harbor East", parent, email="east@harbor.example")
    add_sub(quickbooks, "Pier 7", east)
    quickbooks.company.invoice("Pier 7", "300.00", due_on=quickbooks.days_ago(8))
    quickbooks.go_live().run()
    assert [to for to, _ in quickbooks.customer_emails()] == [("ap@harbor.example",)]


def test_a_sub_customer_billed_themselves_without_an_address_is_written_to_at_the_parents(quickbooks: Scenario) -> None:
    add_group(quickbooks, "Harbor East", billed=False)
    quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(8))
    quickbooks.go_live().run()
    assert [to for to, _ in quickbooks.customer_emails()] == [("ap@harbor.example",)]
    assert found_exceptions(quickbooks) == []


def test_sub_customers_with_the_parents_address_get_one_email_at_a_time(quickbooks: Scenario) -> None:
    """Three are written to at one address, which a family shares as strangers do."""
    add_group(quickbooks, "Harbor East", "Harbor West", billed=False)
    for name in ("Harbor Group", "Harbor East", "Harbor West"):
        quickbooks.company.invoice(name, "300.00", due_on=quickbooks.days_ago(6))
    quickbooks.go_live()
    planned = list_upcoming(quickbooks.app, quickbooks.connection, 9)
    quickbooks.run()
    assert len(customer_texts(quickbooks)) == 1
    quickbooks.run_for_days(9)
    emails = [item.on for item in planned if item.kind == UpcomingKind.EMAIL]
    assert [on for on, _step in quickbooks.sent_steps()] == emails
    assert len(emails) == len(set(emails)) == 3
    assert "probable_duplicate" not in found_exceptions(quickbooks)


def test_an_inactive_parent_is_not_billed_for_its_sub_customers(quickbooks: Scenario) -> None:
    parent = quickbooks.company.simulator.add_customer("Harbor Group", email="ap@harbor.example", currency="GBP")["Id"]
    add_sub(quickbooks, "Harbor East", parent, email="east@harbor.example")
    quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(8))
    quickbooks.company.simulator.edit_customer("Harbor Group", Active=False)
    quickbooks.go_live().run()
    assert [to for to, _ in quickbooks.customer_emails()] == [("east@harbor.example",)]


def test_an_inactive_parent_gives_nobody_its_address(quickbooks: Scenario) -> None:
    add_group(quickbooks, "Harbor East", billed=False)
    quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(8))
    quickbooks.company.simulator.edit_customer("Harbor Group", Active=False)
    quickbooks.go_live().run()
    assert quickbooks.customer_emails() == []
    assert "missing_email_address" in found_exceptions(quickbooks)


def test_a_parent_that_was_merged_is_written_to_as_the_survivor(quickbooks: Scenario) -> None:
    add_group(quickbooks, "Harbor East")
    books = quickbooks.company.simulator
    books.add_customer("Harbor Holding", email="pay@holding.example", currency="GBP")
    quickbooks.company.invoice("Harbor Group", "50.00", due_on=quickbooks.days_ago(-30))
    quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(-1))
    quickbooks.go_live()
    books.merge("Harbor Group", "Harbor Holding")
    quickbooks.run_for_days(12, every=4)
    assert {to for to, _ in quickbooks.customer_emails()} == {("pay@holding.example",)}


@pytest.mark.parametrize("booked_on", ["Harbor Group", "Harbor East"])
def test_a_debt_on_no_invoice_is_named_where_the_head_of_the_family_gets_no_statement(
    quickbooks: Scenario, booked_on: str
) -> None:
    add_group(quickbooks, "Harbor East", billed=False)
    quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(8))
    quickbooks.company.simulator.book_on_no_invoice(booked_on, "-120.00")
    quickbooks.go_live().run()
    assert found_exceptions(quickbooks) == ["balance_above_invoices"]
    with reading(quickbooks.app.engine) as session:
        [reason] = session.scalars(select(col(ExceptionRow.reason)))
    assert "own balance of Harbor Group is GBP 120.00 above the open invoices" in reason


@pytest.mark.parametrize("on_hold", ["Harbor Group", "Harbor East"])
@pytest.mark.parametrize("setting", ["hold_until_on", "no_reminders"])
def test_a_hold_of_the_parent_or_of_the_sub_customer_counts(quickbooks: Scenario, on_hold: str, setting: str) -> None:
    add_group(quickbooks, "Harbor East")
    number = quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(8))
    quickbooks.go_live()
    changes: SettingChanges = (
        {"no_reminders": True} if setting == "no_reminders" else {"hold_until_on": quickbooks.days_ago(-20)}
    )
    set_for(quickbooks, on_hold, changes)
    quickbooks.run()
    assert quickbooks.customer_emails() == []
    assert codes(quickbooks)[number] == ("opted_out" if setting == "no_reminders" else "paused")


def test_a_late_fee_is_posted_to_the_sub_customer_and_only_where_both_agree(quickbooks: Scenario) -> None:
    add_group(quickbooks, "Harbor East")
    quickbooks.company.invoice("Harbor East", "1000.00", due_on=quickbooks.days_ago(40))
    quickbooks.go_live().set_policy(
        '[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2026-01-31\nrate = 1\n'
    )
    quickbooks.run_for_days(12, every=4)
    books = quickbooks.company.simulator
    (fee,) = [each for each in books.invoices() if each["DocNumber"].startswith("LF-")]
    assert fee["CustomerRef"]["name"].endswith("Harbor East")
    assert Decimal(str(fee["Balance"])) == Decimal(10)


def test_nobody_is_chased_whose_parent_cannot_be_read_and_is_the_one_to_write_to(quickbooks: Scenario) -> None:
    books = quickbooks.company.simulator
    add_group(quickbooks)
    parent_id = books.customer("Harbor Group")["Id"]
    for name, billed in (("Harbor East", True), ("Harbor West", False)):
        add_sub(quickbooks, name, parent_id, billed=billed, email=f"{name[7:].lower()}@harbor.example")
        quickbooks.company.invoice(name, "300.00", due_on=quickbooks.days_ago(6))
    books.poison(entity="Customer", external_id=parent_id)
    quickbooks.go_live().run()
    assert [to for to, _subject in quickbooks.customer_emails()] == [("west@harbor.example",)]
    assert any("the record of the parent that the customer is billed with" in each for each in reasons(quickbooks))
    books.heal()
    books.edit_customer("Harbor Group", CompanyName="Harbor")
    quickbooks.pass_days(1)
    quickbooks.run()
    assert [to for to, _subject in quickbooks.customer_emails()][1:] == [("ap@harbor.example",)]


def test_no_reminders_of_a_parent_stay_off_when_the_parent_becomes_inactive(quickbooks: Scenario) -> None:
    books = quickbooks.company.simulator
    add_group(quickbooks)
    parent_id = books.customer("Harbor Group")["Id"]
    add_sub(quickbooks, "Harbor East", parent_id, email="east@harbor.example")
    number = quickbooks.company.invoice("Harbor East", "300.00", due_on=quickbooks.days_ago(6))
    quickbooks.go_live()
    set_for(quickbooks, "Harbor Group", SettingChanges(no_reminders=True))
    books.deactivate("Harbor Group")
    quickbooks.run()
    assert quickbooks.customer_emails() == []
    assert codes(quickbooks) == {number: "opted_out"}
