"""What mails to customers say and carry, and who gets none: through whole runs against the make-believe vendors."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from connector.arrangements.customer_settings import find_customer, update_settings
from connector.audit import sync_log
from connector.db.engine import reading
from connector.db.tables import Task

TODAY = date(2026, 6, 10)
ASHDOWN = "accounts@ashdown.example"


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.fixture
def xero_scenario(scenario_at: Any) -> Any:
    """A town on one ledger: what is said here does not depend on which."""
    with scenario_at(datetime(2026, 6, 10, 11, tzinfo=UTC), "xero") as made:
        made.company.customer("Ashdown Ltd", ASHDOWN)
        yield made


def list_tasks(scenario: Any) -> list[Task]:
    with reading(scenario.app.engine) as session:
        return list(session.scalars(select(Task)))


def log_texts(scenario: Any, kind: str) -> list[str]:
    with reading(scenario.app.engine) as session:
        return [line.text for line in sync_log.list_entries(session) if line.kind == kind]


def emails_to_ashdown(scenario: Any) -> list[Any]:
    return list(scenario.sandbox.sendgrid.emails_to(ASHDOWN))


def count_suppression_checks(scenario: Any) -> int:
    return sum("/suppression" in each.path for each in scenario.sandbox.requests.filter_by("sendgrid"))


def run_for_days(scenario: Any, days: int) -> None:
    for _day in range(days):
        scenario.pass_days(1)
        assert scenario.run().outcome == "ok"


def test_interest_by_the_year_is_announced_by_the_year_with_its_first_day(xero_scenario: Any) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.set_policy(
        '[late_fees]\nenabled = true\npreset = "uk"\nterms_agreed_on = 2025-01-01\nunchecked = []\n'
    )
    xero_scenario.go_live().run()
    [mail] = emails_to_ashdown(xero_scenario)
    assert "interest of 11.75% a year" in mail.text
    assert "per month" not in mail.text
    assert "A fixed sum of £70.00 per invoice comes with it." in mail.text
    assert "from 18 June 2026 on" in mail.text  # the 14th day late, and a week after this warning


def test_a_mail_is_signed_by_the_customers_owner_and_says_how_to_pay(xero_scenario: Any) -> None:
    xero_scenario.set_policy(
        '[payment_instructions]\ndefault = """\nIBAN DE02 1203 0000 0000 2020 51\nwith the invoice number"""\n'
    )
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.go_live()
    with reading(xero_scenario.app.engine) as session:
        ashdown = find_customer(session, "Ashdown Ltd").external_id
    update_settings(
        xero_scenario.app, xero_scenario.connection, ashdown, {"owner": "Ann Lee <ann@small.example>"}, by="Ann"
    )
    xero_scenario.run()
    [mail] = emails_to_ashdown(xero_scenario)
    assert mail.reply_to == "ann@small.example"
    assert "Kind regards\nAnn Lee\nSmall Works Ltd" in mail.text
    assert "write to ann@small.example" in mail.text
    assert "How to pay:\nIBAN DE02 1203 0000 0000 2020 51\nwith the invoice number" in mail.text


def test_no_fee_is_announced_before_the_terms_were_agreed(xero_scenario: Any) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.set_policy('[late_fees]\nenabled = true\npreset = "uk"\n')
    xero_scenario.go_live().run()
    [mail] = emails_to_ashdown(xero_scenario)
    assert "interest" not in mail.text


def test_words_are_about_the_invoices_of_the_mails_own_step_and_the_rest_is_listed(xero_scenario: Any) -> None:
    late = xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    soon = xero_scenario.company.invoice("Ashdown Ltd", "80.00", due_on=ago(-6), on=ago(24))
    xero_scenario.go_live().run()
    [mail] = emails_to_ashdown(xero_scenario)
    assert late in mail.subject
    assert soon not in mail.subject
    assert soon in mail.text


def test_the_second_notice_brings_the_statement_and_every_later_one_too(xero_scenario: Any) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.company.invoice("Ashdown Ltd", "80.00", due_on=ago(-200))
    xero_scenario.go_live().run()
    run_for_days(xero_scenario, 40)
    sent = {mail.categories[0].removeprefix("reminder-"): mail for mail in emails_to_ashdown(xero_scenario)}
    names = {step: [part.filename for part in mail.attachments] for step, mail in sent.items()}
    assert not any(name.startswith("statement") for name in names["past_due"])
    for step in ("second_notice", "plan_offer", "final_notice"):
        assert any(name.startswith("statement-2026-") for name in names[step]), step
        assert "A statement of everything that is open is attached." in sent[step].text


def test_an_address_that_gets_no_mail_leaves_a_task_and_no_mail(xero_scenario: Any) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.sandbox.sendgrid.suppress(ASHDOWN)
    xero_scenario.go_live().run()
    xero_scenario.run()
    assert emails_to_ashdown(xero_scenario) == []
    [task] = [each for each in list_tasks(xero_scenario) if each.code == "suppressed"]
    assert "its mail bounced" in task.reason
    run_for_days(xero_scenario, 3)
    assert emails_to_ashdown(xero_scenario) == []
    assert len([each for each in list_tasks(xero_scenario) if each.code == "suppressed"]) == 1


def test_one_of_two_addresses_that_gets_no_mail_is_left_out(xero_scenario: Any) -> None:
    xero_scenario.company.customer("Birch & Co")
    xero_scenario.company.invoice("Birch & Co", "1200.00", due_on=ago(6))
    xero_scenario.go_live()
    with reading(xero_scenario.app.engine) as session:
        birch = find_customer(session, "Birch & Co").external_id
    update_settings(
        xero_scenario.app,
        xero_scenario.connection,
        birch,
        {"emails": "ann@birch.example, Gone@birch.example"},
        by="Ann",
    )
    xero_scenario.sandbox.sendgrid.suppress("gone@birch.example")
    xero_scenario.run()
    [mail] = xero_scenario.sandbox.sendgrid.emails_to("ann@birch.example")
    assert mail.to == ("ann@birch.example",)


def test_an_address_is_asked_about_once_a_day_and_only_when_a_mail_leaves(xero_scenario: Any) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    result = xero_scenario.go_live().run()
    assert count_suppression_checks(xero_scenario) == 4
    assert result.numbers["calls_mail_read"] == 4  # none of the ledger's reads, which are counted and limited
    for _hour in range(3):
        xero_scenario.sandbox.clock.advance(timedelta(hours=1))
        xero_scenario.run()
    assert count_suppression_checks(xero_scenario) == 4


def test_mail_leaves_though_nobody_can_be_asked_who_gets_none(xero_scenario: Any) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.go_live()
    xero_scenario.sandbox.faults.refuse(400, service="sendgrid", path="/suppression", times=0)
    assert xero_scenario.run().outcome == "ok"
    assert len(emails_to_ashdown(xero_scenario)) == 1
    assert any("could not be asked" in text for text in log_texts(xero_scenario, "warning"))


def test_a_person_who_says_that_an_address_works_is_believed(xero_scenario: Any) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.sandbox.sendgrid.suppress(ASHDOWN)
    xero_scenario.go_live().run()
    assert emails_to_ashdown(xero_scenario) == []
    xero_scenario.sandbox.sendgrid.unsuppress(ASHDOWN)
    with reading(xero_scenario.app.engine) as session:
        ashdown = find_customer(session, "Ashdown Ltd").external_id
    update_settings(xero_scenario.app, xero_scenario.connection, ashdown, {"emails": ASHDOWN}, by="Ann")
    run_for_days(xero_scenario, 12)
    assert emails_to_ashdown(xero_scenario) != []
