"""What mails to customers say and carry, and who gets none: through whole runs against the make-believe vendors."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from connector import sync_log
from connector.database import reading
from connector.people.customers import find_customer, set_customer
from connector.tables import Task

TODAY = date(2026, 6, 10)
ASHDOWN = "accounts@ashdown.example"


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.fixture
def xero(town_at: Any) -> Any:
    """A town on one ledger: what is said here does not depend on which."""
    with town_at(datetime(2026, 6, 10, 11, tzinfo=UTC), "xero") as made:
        made.books.customer("Ashdown Ltd", ASHDOWN)
        yield made


def tasks(town: Any) -> list[Task]:
    with reading(town.installation.engine) as session:
        return list(session.scalars(select(Task)))


def log(town: Any, kind: str) -> list[str]:
    with reading(town.installation.engine) as session:
        return [line.text for line in sync_log.entries(session) if line.kind == kind]


def mails(town: Any) -> list[Any]:
    return list(town.sandbox.sendgrid.mails_to(ASHDOWN))


def asked(town: Any) -> int:
    return sum("/suppression" in each.path for each in town.sandbox.requests.of("sendgrid"))


def go_on(town: Any, days: int) -> None:
    for _day in range(days):
        town.pass_days(1)
        assert town.run().outcome == "ok"


def test_interest_by_the_year_is_announced_by_the_year_with_its_first_day(xero: Any) -> None:
    xero.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero.policy('[late_fees]\nenabled = true\npreset = "uk"\nterms_agreed_on = 2025-01-01\nunchecked = []\n')
    xero.live().run()
    [mail] = mails(xero)
    assert "interest of 11.75% a year" in mail.text
    assert "per month" not in mail.text
    assert "A fixed sum of £70.00 per invoice comes with it." in mail.text
    assert "from 18 June 2026 on" in mail.text  # the 14th day late, and a week after this warning


def test_a_mail_is_signed_by_the_customers_owner_and_says_how_to_pay(xero: Any) -> None:
    xero.policy('[ways_to_pay]\ndefault = """\nIBAN DE02 1203 0000 0000 2020 51\nwith the invoice number"""\n')
    xero.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero.live()
    with reading(xero.installation.engine) as session:
        ashdown = find_customer(session, "Ashdown Ltd").external_id
    set_customer(xero.installation, xero.connection, ashdown, {"owner": "Ann Lee <ann@small.example>"}, by="Ann")
    xero.run()
    [mail] = mails(xero)
    assert mail.reply_to == "ann@small.example"
    assert "Kind regards\nAnn Lee\nSmall Works Ltd" in mail.text
    assert "write to ann@small.example" in mail.text
    assert "How to pay:\nIBAN DE02 1203 0000 0000 2020 51\nwith the invoice number" in mail.text


def test_no_fee_is_announced_before_the_terms_were_agreed(xero: Any) -> None:
    xero.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero.policy('[late_fees]\nenabled = true\npreset = "uk"\n')
    xero.live().run()
    [mail] = mails(xero)
    assert "interest" not in mail.text


def test_words_are_about_the_invoices_of_the_mails_own_step_and_the_rest_is_listed(xero: Any) -> None:
    late = xero.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    soon = xero.books.invoice("Ashdown Ltd", "80.00", due_on=ago(-6), on=ago(24))
    xero.live().run()
    [mail] = mails(xero)
    assert late in mail.subject
    assert soon not in mail.subject
    assert soon in mail.text


def test_the_second_notice_brings_the_statement_and_every_later_one_too(xero: Any) -> None:
    xero.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero.books.invoice("Ashdown Ltd", "80.00", due_on=ago(-200))
    xero.live().run()
    go_on(xero, 40)
    sent = {mail.categories[0].removeprefix("reminder-"): mail for mail in mails(xero)}
    names = {step: [part.filename for part in mail.attachments] for step, mail in sent.items()}
    assert not any(name.startswith("statement") for name in names["past_due"])
    for step in ("second_notice", "plan_offer", "final_notice"):
        assert any(name.startswith("statement-2026-") for name in names[step]), step
        assert "A statement of everything that is open is attached." in sent[step].text


def test_an_address_that_gets_no_mail_leaves_a_task_and_no_mail(xero: Any) -> None:
    xero.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero.sandbox.sendgrid.suppress(ASHDOWN)
    xero.live().run()
    xero.run()
    assert mails(xero) == []
    [task] = [each for each in tasks(xero) if each.code == "suppressed"]
    assert "its mail bounced" in task.why
    go_on(xero, 3)
    assert mails(xero) == []
    assert len([each for each in tasks(xero) if each.code == "suppressed"]) == 1


def test_one_of_two_addresses_that_gets_no_mail_is_left_out(xero: Any) -> None:
    xero.books.customer("Birch & Co")
    xero.books.invoice("Birch & Co", "1200.00", due_on=ago(6))
    xero.live()
    with reading(xero.installation.engine) as session:
        birch = find_customer(session, "Birch & Co").external_id
    set_customer(
        xero.installation, xero.connection, birch, {"emails": "ann@birch.example, Gone@birch.example"}, by="Ann"
    )
    xero.sandbox.sendgrid.suppress("gone@birch.example")
    xero.run()
    [mail] = xero.sandbox.sendgrid.mails_to("ann@birch.example")
    assert mail.to == ("ann@birch.example",)


def test_an_address_is_asked_about_once_a_day_and_only_when_a_mail_leaves(xero: Any) -> None:
    xero.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    result = xero.live().run()
    assert asked(xero) == 4
    assert result.numbers["calls_mail_read"] == 4  # none of the ledger's reads, which are counted and limited
    for _hour in range(3):
        xero.sandbox.clock.advance(timedelta(hours=1))
        xero.run()
    assert asked(xero) == 4


def test_mail_leaves_though_nobody_can_be_asked_who_gets_none(xero: Any) -> None:
    xero.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero.live()
    xero.sandbox.faults.refuse(400, vendor="sendgrid", path="/suppression", times=0)
    assert xero.run().outcome == "ok"
    assert len(mails(xero)) == 1
    assert any("could not be asked" in text for text in log(xero, "warning"))


def test_a_person_who_says_that_an_address_works_is_believed(xero: Any) -> None:
    xero.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero.sandbox.sendgrid.suppress(ASHDOWN)
    xero.live().run()
    assert mails(xero) == []
    xero.sandbox.sendgrid.unsuppress(ASHDOWN)
    with reading(xero.installation.engine) as session:
        ashdown = find_customer(session, "Ashdown Ltd").external_id
    set_customer(xero.installation, xero.connection, ashdown, {"emails": ASHDOWN}, by="Ann")
    go_on(xero, 12)
    assert mails(xero) != []
