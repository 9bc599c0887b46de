"""Invoices without a number, or with the number of another one: everything goes by id, and people read a date."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlmodel import col, select

from connector.arrangements.agreements import Attribution, set_promise
from connector.arrangements.customer_settings import find_customer
from connector.arrangements.task_list import find_tasks
from connector.db.engine import reading, writing
from connector.db.invoice_names import title_of
from connector.db.tables import InvoiceDecisionRow, InvoiceRow, OutboxEntry, SyncLogEntry
from connector.outbox.drafts import fee_number
from connector.services.customer_profile import build_profile
from connector.services.customer_timeline import customer_timeline
from connector.services.explain import explain
from connector.services.fees import find_fees
from connector.services.upcoming_actions import list_upcoming
from policies.formatting import format_date
from tests.connector.scenario import NOON, Scenario, ScenarioFactory, days

FEES = '[late_fees]\nenabled = true\nterms_agreed_on = 2025-01-01\napproval = "automatic"\n'


@pytest.fixture
def quickbooks(scenario_at: ScenarioFactory) -> Iterator[Scenario]:
    """A company on QuickBooks with one customer and no invoices yet."""
    with scenario_at(NOON, "quickbooks") as scenario:
        scenario.company.customer("Harbor Group", "ap@harbor.example")
        yield scenario


def invoice(
    scenario: Scenario, amount: str, *, number: str, issued: int, due: int, customer: str = "Harbor Group"
) -> str:
    """Add an invoice of some days from today; returns its id. Two may have one number, as in QuickBooks."""
    ledger = scenario.company.simulator
    body = ledger.add_invoice(customer, amount, number=f"T{amount}", on=days(issued), due_on=days(due))
    ledger.renumber(body["Id"], number)
    return str(body["Id"])


def emails(scenario: Scenario) -> list[Any]:
    own = scenario.app.settings.mail_from
    return [email for email in scenario.sandbox.sendgrid.emails() if own not in email.to]


def test_an_invoice_without_a_number_is_called_by_its_date(quickbooks: Scenario) -> None:
    invoice(quickbooks, "222.00", number="", issued=-20, due=-6)
    quickbooks.go_live().run()
    [email] = emails(quickbooks)
    assert "The invoice of 21 May 2026 for £222.00" in email.text
    assert "nvoice  " not in email.text + email.subject
    assert "of 21 May 2026" in email.subject
    with reading(quickbooks.app.engine) as session:
        [reason] = session.scalars(select(col(OutboxEntry.reason)).where(col(OutboxEntry.kind) == "email"))
    assert "for the invoice of 21 May 2026: £222.00" in reason or "the invoice of 21 May 2026" in reason


def test_the_note_about_an_invoice_without_a_number_names_its_date(quickbooks: Scenario) -> None:
    invoice_id = invoice(quickbooks, "222.00", number="", issued=-20, due=-6)
    quickbooks.go_live().run()
    [note] = quickbooks.company.simulator.notes(invoice_id)
    assert "about the invoice of 21 May 2026" in note


def test_two_invoices_with_one_number_are_told_apart_by_their_dates(quickbooks: Scenario) -> None:
    invoice(quickbooks, "111.00", number="1001", issued=-20, due=-6)
    invoice(quickbooks, "191.00", number="1001", issued=-19, due=-6)
    quickbooks.go_live().run()
    [email] = emails(quickbooks)
    assert "1001 of 21 May 2026 and 1001 of 22 May 2026 for £302.00" in email.text
    with reading(quickbooks.app.engine) as session:
        reasons = " ".join(session.scalars(select(col(InvoiceDecisionRow.reason))))
    assert "1001 and 1001" not in reasons


@pytest.mark.parametrize(("number", "named"), [("1001", "Invoices 1001 of"), ("", "The invoices of")])
def test_invoices_of_one_number_and_one_date_are_told_apart_by_their_amounts(
    quickbooks: Scenario, number: str, named: str
) -> None:
    for amount in ("111.00", "191.00"):
        invoice(quickbooks, amount, number=number, issued=-20, due=-6)
    quickbooks.go_live().run()
    [email] = emails(quickbooks)
    assert f"{named} 21 May 2026 (£111.00) and " in email.text
    assert "21 May 2026 (£191.00) for £302.00" in email.text


def test_a_thank_you_names_the_date_of_an_invoice_whose_number_an_open_one_has_as_well(quickbooks: Scenario) -> None:
    paid = invoice(quickbooks, "111.00", number="1001", issued=-20, due=-6)
    invoice(quickbooks, "191.00", number="1001", issued=-19, due=-5)
    quickbooks.go_live().run()
    quickbooks.company.simulator.pay(paid)
    quickbooks.run_for_days(6)
    [thanks] = [each for each in emails(quickbooks) if each.subject.startswith("Thank you")]
    assert "payment of £111.00 for invoice 1001 of 21 May 2026." in thanks.text


def test_an_email_about_one_of_two_with_one_number_is_about_that_one_alone(quickbooks: Scenario) -> None:
    invoice(quickbooks, "111.00", number="1001", issued=-20, due=-6)
    invoice(quickbooks, "191.00", number="1001", issued=-2, due=28)
    quickbooks.go_live().run()
    [email] = emails(quickbooks)
    assert "1001 of 21 May 2026 for £111.00" in email.text
    assert "302.00" not in email.text


def test_numbered_and_unnumbered_invoices_share_one_sentence(quickbooks: Scenario) -> None:
    invoice(quickbooks, "222.00", number="", issued=-20, due=-6)
    invoice(quickbooks, "80.00", number="1001", issued=-19, due=-6)
    quickbooks.go_live().run()
    [email] = emails(quickbooks)
    assert "Invoice 1001 and the one of 21 May 2026 for £302.00" in email.text


# Blanks, invisible characters, and what turns the reading direction
NUMBERS = {
    **dict.fromkeys(
        (" ", "\t", "\u00a0", "\u200b", "\u202e\u2066", "\ufeff", "\x00", "\u00ad"), "the invoice of {date}"
    ),
    "10\n42": "invoice 10 42",
    "\u202e1042\u200b": "invoice 1042",
}


def test_an_invoice_is_called_by_the_visible_characters_of_its_number_or_by_its_date(quickbooks: Scenario) -> None:
    for n, number in enumerate(NUMBERS):
        invoice_id = invoice(quickbooks, f"{222 + n}.00", number=f"x{n}", issued=-20 - n, due=-6)
        quickbooks.company.simulator.edit(invoice_id, DocNumber=number)
    quickbooks.go_live()
    expected = [title.format(date=format_date(quickbooks.days_ago(20 + n))) for n, title in enumerate(NUMBERS.values())]
    with reading(quickbooks.app.engine) as session:
        query = select(InvoiceRow).order_by(col(InvoiceRow.issued_on).desc())
        assert [title_of(session, row) for row in session.scalars(query)] == expected


def test_fees_on_invoices_without_or_with_one_number_are_separate_documents(quickbooks: Scenario) -> None:
    for amount, number in (("900.00", ""), ("800.00", ""), ("700.00", "1001"), ("600.00", "1001")):
        invoice(quickbooks, amount, number=number, issued=-60, due=-30)
    quickbooks.connect()
    quickbooks.set_policy(FEES)
    quickbooks.go_live()
    quickbooks.run_for_days(40, every=4)
    posted = [
        each for each in quickbooks.company.simulator.invoices() if str(each.get("DocNumber", "")).startswith("LF-")
    ]
    assert len({each["DocNumber"] for each in posted}) == len(posted) == 4
    done = [entry for entry in quickbooks.outbox("done") if entry.kind == "late_fee"]
    assert len({entry.reference for entry in done}) == 4


def test_a_number_of_another_customer_does_not_mix_the_two_up(quickbooks: Scenario) -> None:
    quickbooks.company.customer("Pier Ltd", "ap@pier.example")
    invoice(quickbooks, "111.00", number="1001", issued=-20, due=-6)
    invoice(quickbooks, "191.00", number="1001", issued=-20, due=-6, customer="Pier Ltd")
    quickbooks.go_live().run()
    assert sorted(
        ("111.00" in each.text, "191.00" in each.text, "of 21 May" in each.subject) for each in emails(quickbooks)
    ) == [
        (False, True, False),
        (True, False, False),
    ]


def test_a_number_that_changes_after_the_first_reminder_starts_nothing_anew(scenario: Scenario) -> None:
    scenario.company.customer("Harbor Group", "ap@harbor.example")
    number = scenario.company.invoice("Harbor Group", "300.00", due_on=days(-6))
    scenario.go_live().run()
    scenario.pass_days(1)
    if scenario.company.provider == "xero":
        scenario.company.simulator.edit(number, number="R-77", **scenario.company.company_filter)
    else:
        scenario.company.simulator.edit(number, DocNumber="R-77")
    scenario.run_for_days(12, every=4)
    subjects = [email.subject for email in emails(scenario)]
    assert len(subjects) == 2
    assert (number in subjects[0], "R-77" in subjects[1]) == (True, True)
    with reading(scenario.app.engine) as session:
        keys = session.scalars(select(col(OutboxEntry.key)).where(col(OutboxEntry.kind) == "email")).all()
    assert len({key.rsplit(":", 1)[0] for key in keys}) == 1


def test_a_very_long_number_is_shortened_in_an_email_and_not_in_the_ledger(scenario: Scenario) -> None:
    assert len(fee_number("9" * 60, "2026-06")) <= 21
    scenario.company.customer("Harbor Group", "ap@harbor.example")
    number = scenario.company.invoice("Harbor Group", "300.00", due_on=days(-6))
    if scenario.company.provider == "quickbooks":
        pytest.skip("QuickBooks has numbers of up to 21 characters")
    scenario.company.simulator.edit(number, number="N" * 200, **scenario.company.company_filter)
    scenario.go_live().run()
    [email] = emails(scenario)
    assert len(email.subject) < 160


def test_explain_and_tasks_take_two_invoices_with_one_number_apart(quickbooks: Scenario) -> None:
    first = invoice(quickbooks, "111.00", number="1001", issued=-20, due=-6)
    invoice(quickbooks, "191.00", number="1001", issued=-2, due=28)
    quickbooks.go_live()
    upcoming = explain(quickbooks.app, first, None).upcoming
    assert upcoming
    assert all(first in item.invoice_ids for item in upcoming)
    everything = list_upcoming(quickbooks.app, quickbooks.connection, 40)
    assert any(first not in item.invoice_ids for item in everything)


def test_single_lines_notes_and_lists_add_the_date_to_a_number_of_two_invoices(quickbooks: Scenario) -> None:
    """A note in the ledger, a line of the log, a task and a late fee are each about one of the two."""
    first = invoice(quickbooks, "111.00", number="1001", issued=-40, due=-26)
    invoice(quickbooks, "191.00", number="1001", issued=-2, due=28)
    quickbooks.go_live().set_policy(FEES)
    with writing(quickbooks.app.engine) as session:
        row = session.get_one(InvoiceRow, (quickbooks.connection, first))
        attribution = Attribution(by="Ann", at=quickbooks.app.now())
        set_promise(session, row, attribution, on=days(2))
    quickbooks.run_for_days(24, every=4)
    with reading(quickbooks.app.engine) as session:
        lines = [
            text
            for text in session.scalars(select(col(SyncLogEntry.text)).where(col(SyncLogEntry.invoice_id) == first))
            if text and "1001" in text
        ]
        customer = find_customer(session, "Harbor Group")
        profile = build_profile(session, customer, quickbooks.app.now())
        timeline = [event.text for event in customer_timeline(session, customer).events]
        tasks = [name for item in find_tasks(session, quickbooks.connection) for name in item.invoices]
        fees = [fee.invoice for fee in find_fees(session, quickbooks.connection)]
    notes = [note for note in quickbooks.company.simulator.notes(first) if "1001" in note]
    agreements = [each.invoice for each in profile.agreements]
    issued = [text for text in timeline if text.startswith("Invoice 1001")]
    for found in (lines, tasks, notes, fees, agreements, issued):
        assert found
        assert all("1001 of " in str(each) for each in found), found
