"""Telephone numbers come from both ledgers, are erased with the customer, and a customer has one call task."""

from __future__ import annotations

from typing import Any, cast

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements.customer_settings import find_customer
from connector.db.engine import reading
from connector.db.tables import CustomerRow, Task
from connector.privacy.erase import erase
from connector.privacy.export import build_document
from connector.vocabulary import TaskState
from providers.phones import PhoneKind, join_phones, split_phones, tel_uri
from sandbox.xero.documents import ContactPerson, ContactPhone
from tests.connector.scenario import days


def test_numbers_and_persons_come_from_the_ledger_and_a_customer_is_called_once(scenario: Any) -> None:
    company = scenario.company
    if company.provider == "xero":
        phones = (
            ContactPhone("DEFAULT", "7946 0018", "20", "44"), ContactPhone("FAX", "7946 0019"),
            ContactPhone("MOBILE", "07700 900123"),
        )  # fmt: skip
        company.simulator.add_contact(
            "Ashdown Ltd", email="ap@ashdown.example", country="United Kingdom", phones=phones,
            persons=(ContactPerson("Jo", "Fox", "jo@ashdown.example", False),), **company.company_filter,
        )  # fmt: skip
        expected = [("phone", "+44 20 7946 0018"), ("mobile", "07700 900123")]
    else:
        numbers = {"PrimaryPhone": "020 7946 0018", "Mobile": "07700 900123", "AlternatePhone": "ask for Jo"}
        fields = {name: {"FreeFormNumber": number} for name, number in numbers.items()}
        company.simulator.add_customer("Ashdown Ltd", email="ap@ashdown.example", currency="GBP", **fields)
        expected = [("phone", "020 7946 0018"), ("mobile", "07700 900123")]
    company.invoice("Ashdown Ltd", "9000.00", due_on=days(-13))
    company.invoice("Ashdown Ltd", "800.00", due_on=days(-4))
    scenario.go_live()
    with reading(scenario.app.engine) as session:
        customer = find_customer(session, "Ashdown Ltd")
    assert [(each.kind, each.number) for each in split_phones(customer.phones)] == expected
    if company.provider == "xero":
        assert customer.contacts == "Jo Fox <jo@ashdown.example>"

    scenario.run_for_days(25, every=4)
    with reading(scenario.app.engine) as session:
        calls = session.scalars(select(Task).where(col(Task.code).in_(["call", "escalation_call"]))).all()
    assert sum(task.state == TaskState.OPEN for task in calls) == 1
    assert len(next(task for task in calls if task.state == TaskState.OPEN).invoice_ids) == 2

    here = (scenario.connection, customer.external_id)
    document = build_document(scenario.app, *here, by="ann")
    assert "07700 900123" in cast("list[dict[str, str]]", document["customer"])[0]["phones"]
    erase(scenario.app, *here, by="ann")
    scenario.run()
    with reading(scenario.app.engine) as session:
        row = session.get_one(CustomerRow, here)
        assert (row.phones, row.contacts) == ("", "")


@pytest.mark.parametrize(
    ("number", "country", "link"),
    [
        ("+44 (0)20 7946 0018", "", "tel:+442079460018"),
        ("0044 20 7946 0018", "FR", "tel:+442079460018"),
        ("020 7946 0018", "GB", "tel:+442079460018"),
        ("(503) 555-0100 x12", "US", "tel:+15035550100;ext=12"),
        ("503-555-0100 Local 212", "CA", "tel:+15035550100;ext=212"),
        ("+81 03-1234-5678", "US", "tel:+81312345678"),
        ("1-503-555-0100", "US", "tel:+15035550100"),
        ("011 44 20 7946 0018", "US", "tel:+442079460018"),
        ("1-800-FLOWERS", "US", "tel:+18003569377"),
        ("06 12345678", "IT", "tel:+390612345678"),
        ("030 23125 0", "DE", "tel:+49302312 50".replace(" ", "")),
        ("0123 456", "", "tel:0123456"),
        ("ask for Jo", "GB", ""),
        ("12", "GB", ""),
        ("+44 20 7946 0018 / +44 20 7946 0019", "GB", ""),
    ],
)
def test_a_number_is_dialled_as_its_country_does(number: str, country: str, link: str) -> None:
    assert tel_uri(number, country) == link


def test_each_number_is_kept_once_as_it_was_typed() -> None:
    joined = join_phones(
        [
            (PhoneKind.PHONE, "020 7946\n0018"),
            (PhoneKind.MOBILE, "020-79460018"),
            (PhoneKind.OTHER, "n/a"),
            (PhoneKind.DIRECT, None),
        ]
    )
    assert [tuple(each) for each in split_phones(joined)] == [("phone", "020 7946 0018")]
