"""Emails to customers, composed and sent by whole runs against the simulated services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta

import pytest

from connector.arrangements.customer_settings import find_customer, update_settings
from connector.db.engine import reading
from connector.emails.outbound import compose
from connector.vocabulary import RunOutcome
from sandbox.sendgrid.message_store import Email
from tests.connector.scenario import Scenario

TODAY = date(2026, 6, 10)
ASHDOWN = "accounts@ashdown.example"


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.fixture
def xero_scenario(scenario_at: Callable[..., AbstractContextManager[Scenario]]) -> Iterator[Scenario]:
    """A company on one ledger: nothing here depends on which."""
    with scenario_at(datetime(2026, 6, 10, 11, tzinfo=UTC), "xero") as made:
        made.company.customer("Ashdown Ltd", ASHDOWN)
        yield made


def emails_to_ashdown(scenario: Scenario) -> list[Email]:
    return scenario.sandbox.sendgrid.emails_to(ASHDOWN)


def test_invoices_that_are_too_large_together_are_left_to_the_portal(
    scenario_at: Callable[..., AbstractContextManager[Scenario]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUEWELL_BASE_URL", "https://portal.example")
    with scenario_at(datetime(2026, 6, 10, 11, tzinfo=UTC), "xero") as made:
        made.company.customer("Ashdown Ltd", ASHDOWN)
        for _ in range(3):
            made.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
        made.go_live()
        monkeypatch.setattr(compose, "ATTACHED_BYTES_MAX", 1500)  # one simulated invoice
        made.run()
        [email] = emails_to_ashdown(made)
        assert [each.content_type for each in email.attachments] == ["application/pdf"]
        assert "The invoice is attached." in email.text
        assert "The other invoices are in the customer portal as PDF; the link is below." in email.text
        assert "https://portal.example/c/" in email.text


def run_for_days(scenario: Scenario, days: int) -> None:
    for _turn in range(0, days, 4):
        scenario.pass_days(4)
        assert scenario.run().outcome == RunOutcome.OK


def test_annual_interest_is_announced_with_its_rate_and_the_date_it_is_charged(xero_scenario: Scenario) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.set_policy(
        '[late_fees]\nenabled = true\npreset = "uk"\nterms_agreed_on = 2025-01-01\nunverified = []\n'
    )
    xero_scenario.go_live().run()
    [email] = emails_to_ashdown(xero_scenario)
    assert "interest of 11.75% per year, counted from the due date, will be charged" in email.text
    assert "per month" not in email.text
    assert "In addition, we will charge fixed compensation of £70.00 per invoice." in email.text
    assert "still unpaid on 4 July 2026" in email.text  # the end of its first month


def test_an_email_is_signed_by_the_account_owner_and_has_the_payment_instructions(xero_scenario: Scenario) -> None:
    xero_scenario.set_policy(
        '[payment_instructions]\ndefault = """\nBy cheque to Small Works Ltd\nwith the invoice number"""\n'
    )
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.go_live()
    with reading(xero_scenario.app.engine) as session:
        ashdown = find_customer(session, "Ashdown Ltd").external_id
    update_settings(
        xero_scenario.app, xero_scenario.connection, ashdown, {"owner": "Ann Lee <ann@small.example>"}, by="Ann"
    )
    xero_scenario.run()
    [email] = emails_to_ashdown(xero_scenario)
    assert email.reply_to == "ann@small.example"
    assert "Kind regards\nAnn Lee\nSmall Works Ltd" in email.text
    assert "write to ann@small.example" in email.text
    assert "How to pay:\nBy cheque to Small Works Ltd\nwith the invoice number" in email.text


def test_no_late_fee_is_announced_before_the_terms_were_agreed(xero_scenario: Scenario) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.set_policy('[late_fees]\nenabled = true\npreset = "uk"\n')
    xero_scenario.go_live().run()
    [email] = emails_to_ashdown(xero_scenario)
    assert "interest" not in email.text


def test_the_text_is_about_the_invoices_of_the_step_and_the_others_are_listed(xero_scenario: Scenario) -> None:
    overdue = xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    upcoming = xero_scenario.company.invoice("Ashdown Ltd", "80.00", due_on=ago(-6), on=ago(24))
    xero_scenario.go_live().run()
    [email] = emails_to_ashdown(xero_scenario)
    assert overdue in email.subject
    assert upcoming not in email.subject
    assert upcoming in email.text


def test_the_second_notice_and_every_later_email_has_the_statement_attached(xero_scenario: Scenario) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.company.invoice("Ashdown Ltd", "80.00", due_on=ago(-200))
    xero_scenario.go_live().run()
    run_for_days(xero_scenario, 40)
    sent = {email.categories[0].removeprefix("reminder-"): email for email in emails_to_ashdown(xero_scenario)}
    names = {step: [each.filename for each in email.attachments] for step, email in sent.items()}
    assert not any(name.startswith("statement") for name in names["past_due"])
    for step in ("second_notice", "plan_offer", "final_notice"):
        assert any(name.startswith("statement-2026-") for name in names[step]), step
        assert "A statement of all open invoices is attached." in sent[step].text
