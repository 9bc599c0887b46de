"""Mapping of Xero's JSON to our records; malformed records are set aside by name."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from policies.receivables import CreditKind
from providers.ledger import ApplicationRecord, ChangePage
from providers.xero.mapping import read_page
from providers.xero.schemas import Stream
from providers.xero.time_zones import time_zone
from providers.xero.values import parse_date

UPDATED = "/Date(1763726400000+0000)/"
AT = datetime(2025, 11, 21, 12, 0, tzinfo=UTC)
INVOICE = {
    "Type": "ACCREC",
    "InvoiceID": "i1",
    "InvoiceNumber": "INV-1",
    "Contact": {"ContactID": "c1", "Name": "Acme"},
    "DateString": "2025-10-01T00:00:00",
    "DueDateString": "2025-10-31T00:00:00",
    "Status": "AUTHORISED",
    "Total": 120.5,
    "AmountDue": 20.1,
    "CurrencyCode": "GBP",
    "UpdatedDateUTC": UPDATED,
}
CREDIT = {
    "Type": "ACCRECCREDIT",
    "CreditNoteID": "n1",
    "CreditNoteNumber": "CN-1",
    "Contact": {"ContactID": "c1"},
    "DateString": "2025-11-01T00:00:00",
    "Status": "AUTHORISED",
    "Total": 50,
    "RemainingCredit": 20,
    "CurrencyCode": "GBP",
    "UpdatedDateUTC": UPDATED,
}


def read(stream: Stream, *records: dict[str, Any] | str) -> ChangePage:
    names = {Stream.INVOICES: "Invoices", Stream.CREDIT_NOTES: "CreditNotes", Stream.CONTACTS: "Contacts"}
    body = ",".join(one if isinstance(one, str) else json.dumps(one) for one in records)
    page = ChangePage(cursor="")
    read_page(stream, f'{{"{names[stream]}":[{body}]}}'.encode(), page)
    return page


def invoice(**fields: Any) -> ChangePage:
    return read(Stream.INVOICES, {**INVOICE, **fields})


def test_invoice_is_mapped_with_exact_amounts() -> None:
    lines = [{"Description": "Work", "LineAmount": 100.10, "ItemCode": "W", "Quantity": 1.0}, {}]
    page = invoice(LineItems=lines, Reference="PO 7", SentToContact=True, ExpectedPaymentDate="/Date(1764547200000)/")
    (one,) = page.invoices
    assert (one.external_id, one.number, one.customer_id, one.currency) == ("i1", "INV-1", "c1", "GBP")
    assert (one.issued_on, one.due_on) == (date(2025, 10, 1), date(2025, 10, 31))
    assert (one.total, one.due) == (Decimal("120.5"), Decimal("20.1"))
    assert (one.status, one.sent_to_customer, one.reference) == ("open", True, "PO 7")
    assert (one.promised_on, one.updated_at) == (date(2025, 12, 1), AT)
    assert json.loads(one.lines) == [["Work", "100.1", "W"], ["", "0", ""]]


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        ("DRAFT", "draft"),
        ("SUBMITTED", "draft"),
        ("AUTHORISED", "open"),
        ("PAID", "paid"),
        ("VOIDED", "voided"),
        ("DELETED", "deleted"),
    ],
)
def test_every_status_is_mapped(status: str, ours: str) -> None:
    assert invoice(Status=status).invoices[0].status == ours


def test_bills_are_ignored() -> None:
    page = invoice(Type="ACCPAY")
    assert (page.invoices, page.malformed) == ([], [])


def test_invoice_lists_its_payments_and_parts_of_one_credit_are_added_up() -> None:
    page = invoice(
        Payments=[
            {"PaymentID": "p1", "Date": "/Date(1761004800000+0000)/", "Amount": 50},
            {"PaymentID": "p0", "Date": "/Date(1761004800000+0000)/", "Amount": 5, "Status": "DELETED"},
        ],
        CreditNotes=[{"CreditNoteID": "n1", "AppliedAmount": 20, "Date": "/Date(1761004800000+0000)/"}],
        Overpayments=[
            {"OverpaymentID": "o1", "AppliedAmount": 10, "Date": "/Date(1761004800000+0000)/"},
            {"OverpaymentID": "o1", "AppliedAmount": 5.4, "Date": "/Date(1761091200000+0000)/"},
        ],
        Prepayments=[{"PrepaymentID": "r1", "AppliedAmount": 15}],
    )
    assert [(one.external_id, one.total, one.unapplied) for one in page.payments] == [("p1", Decimal(50), Decimal(0))]
    on = date(2025, 10, 21)
    assert page.applications == [
        ApplicationRecord(CreditKind.PAYMENT, "p1", "i1", on, Decimal(50)),
        ApplicationRecord(CreditKind.CREDIT_NOTE, "n1", "i1", on, Decimal(20)),
        ApplicationRecord(CreditKind.OVERPAYMENT, "o1", "i1", on + timedelta(days=1), Decimal("15.4")),
        ApplicationRecord(CreditKind.PREPAYMENT, "r1", "i1", date(2025, 10, 1), Decimal(15)),
    ]
    assert page.replaced_invoice_ids == ["i1"]


def test_invoice_that_lost_its_payments_has_none() -> None:
    page = invoice(Payments=[], CreditNotes=None)
    assert (page.applications, page.replaced_invoice_ids) == ([], ["i1"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2018-12-30T00:00:00", date(2018, 12, 30)),
        ("2018-12-30", date(2018, 12, 30)),
        ("/Date(1546128000000+0000)/", date(2018, 12, 30)),
        ("/Date(1546128000000)/", date(2018, 12, 30)),
        ("/Date(1546081200000+1300)/", date(2018, 12, 30)),
        ("/Date(1546146000000-0500)/", date(2018, 12, 30)),
        ("/Date(347155200000+0000)/", date(1981, 1, 1)),
    ],
)
def test_dates_stay_the_same(text: str, expected: date) -> None:
    assert parse_date("Date", text) == expected


def test_date_string_takes_precedence_over_the_milliseconds() -> None:
    page = invoice(Date="/Date(1546081200000+0000)/", DueDateString=None, DueDate="/Date(1546128000000+0000)/")
    assert (page.invoices[0].issued_on, page.invoices[0].due_on) == (date(2025, 10, 1), date(2018, 12, 30))


@pytest.mark.parametrize("fields", [{"DueDateString": None}, {"DueDateString": "", "DueDate": "/Date(0+0000)/"}])
def test_due_date_can_be_missing(fields: dict[str, Any]) -> None:
    assert invoice(**fields).invoices[0].due_on is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"Status": "OPEN"}, "Status"),
        ({"Total": "a lot"}, "Total is not a number (number INV-1)"),
        ({"Total": "NaN"}, "Total"),
        ({"Total": 1e308}, "Total"),
        ({"AmountDue": 1e14}, "AmountDue"),
        ({"AmountDue": None}, "AmountDue is empty (number INV-1)"),
        ({"DateString": "yesterday"}, "Date"),
        ({"DateString": None}, "Date"),
        ({"DueDateString": None, "DueDate": "/Date(99999999999999999999+0000)/"}, "DueDate"),
        ({"UpdatedDateUTC": "soon"}, "UpdatedDateUTC"),
        ({"Contact": None}, "Contact is empty"),
        ({"Contact": {}}, "Contact.ContactID is missing (number INV-1)"),
        ({"Contact": [5]}, "Contact is a list, not a record"),
        ({"Payments": [{"Amount": 5}]}, "Payments[0].PaymentID is missing"),
        ({"Payments": [{"PaymentID": "p", "Amount": 5, "Date": "?"}]}, "Payments.Date"),
        ({"CurrencyCode": 5}, "CurrencyCode"),
    ],
)
def test_malformed_record_is_set_aside_with_its_name_and_the_page_goes_on(fields: dict[str, Any], named: str) -> None:
    page = read(Stream.INVOICES, INVOICE, {**INVOICE, "InvoiceID": "odd", **fields}, {**INVOICE, "InvoiceID": "i3"})
    assert [one.external_id for one in page.invoices] == ["i1", "i3"]
    assert page.replaced_invoice_ids == ["i1", "i3"]
    (odd,) = page.malformed
    assert (odd.kind, odd.external_id) == ("invoice", "odd")
    assert named in odd.reason
    assert json.loads(odd.raw)["InvoiceID"] == "odd"


def test_record_without_an_id_gets_a_name_of_its_own() -> None:
    page = read(Stream.INVOICES, "{}", "[]", '{"InvoiceID": 7}', INVOICE)
    assert len(page.invoices) == 1
    assert len({one.external_id for one in page.malformed}) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"Reference": None, "InvoiceNumber": None, "LineItems": None, "Payments": None, "SentToContact": "true"},
        {"NewThing": {"a": 1}, "LineAmountTypes": "INCLUSIVE", "CurrencyCode": "ZMK"},
        {"DateString": "2025-10-01", "Total": "120.50"},
    ],
)
def test_values_that_break_the_sdk_models_are_read(fields: dict[str, Any]) -> None:
    page = invoice(**fields)
    assert page.malformed == []
    assert page.invoices[0].reference == ""


def test_unsent_invoice_differs_from_one_without_the_field() -> None:
    assert not invoice(SentToContact=False).invoices[0].sent_to_customer
    assert invoice().invoices[0].sent_to_customer


def test_credit_note_is_mapped_with_its_allocations_added_up() -> None:
    allocations = [
        {"Amount": 10, "Date": "/Date(1761004800000+0000)/", "Invoice": {"InvoiceID": "i1"}},
        {"Amount": 15, "Date": "/Date(1761091200000+0000)/", "Invoice": {"InvoiceID": "i1"}},
        {"Amount": 5, "Invoice": {"InvoiceID": "i2"}},
        {"Amount": 9, "Invoice": {"InvoiceID": "i3"}, "IsDeleted": True},
    ]
    page = read(Stream.CREDIT_NOTES, {**CREDIT, "Allocations": allocations})
    (one,) = page.credits
    assert (one.kind, one.number, one.total, one.remaining) == ("credit_note", "CN-1", Decimal(50), Decimal(20))
    assert [(a.invoice_id, a.amount) for a in page.applications] == [("i1", Decimal(25)), ("i2", Decimal(5))]
    assert page.replaced_sources == [("credit_note", "n1")]


@pytest.mark.parametrize(("status", "remaining"), [("PAID", 0), ("AUTHORISED", 20)])
def test_only_an_authorised_credit_can_be_used(status: str, remaining: int) -> None:
    assert read(Stream.CREDIT_NOTES, {**CREDIT, "Status": status}).credits[0].remaining == remaining


@pytest.mark.parametrize("status", ["VOIDED", "DRAFT", "SUBMITTED"])
def test_a_voided_or_draft_credit_does_not_exist_and_a_suppliers_is_ignored(status: str) -> None:
    page = read(Stream.CREDIT_NOTES, {**CREDIT, "Status": status}, {**CREDIT, "Type": "ACCPAYCREDIT"})
    assert (page.credits, page.malformed) == ([], [])
    assert [tuple(one) for one in page.deleted] == [("credit_note", "n1", AT)]


def contact(**fields: Any) -> ChangePage:
    return read(Stream.CONTACTS, {"ContactID": "c1", "Name": "Acme", "UpdatedDateUTC": UPDATED, **fields})


def test_customer_addresses_are_the_main_one_and_included_contacts_without_duplicates() -> None:
    persons = [
        {"FirstName": "A", "EmailAddress": "Ann@acme.test", "IncludeInEmails": True},
        {"FirstName": "B", "EmailAddress": "bob@acme.test", "IncludeInEmails": False},
        {"FirstName": "C", "EmailAddress": None, "IncludeInEmails": True},
        {"FirstName": "D", "EmailAddress": "pay@acme.test", "IncludeInEmails": True},
    ]
    page = contact(EmailAddress="pay@acme.test; ann@acme.test", ContactPersons=persons, FirstName="Pat", LastName="Lee")
    (one,) = page.customers
    assert one.emails == "pay@acme.test,ann@acme.test"
    assert (one.contact_name, one.active) == ("Pat Lee", True)


def test_contact_erased_under_gdpr_has_no_address() -> None:
    (one,) = contact(ContactStatus="GDPRREQUEST", EmailAddress="a@b.test").customers
    assert (one.emails, one.active) == ("", False)


def test_merged_customer_names_the_remaining_one() -> None:
    (one,) = contact(ContactStatus="ARCHIVED", MergedToContactID="c2").customers
    assert (one.active, one.merged_into) == (False, "c2")


def test_country_comes_from_the_billing_address() -> None:
    street = {"AddressType": "STREET", "Country": "France"}
    billing = {"AddressType": "POBOX", "Country": "United  Kingdom", "Region": "Kent"}
    (one,) = contact(Addresses=[street, billing]).customers
    assert (one.country, one.region) == ("GB", "Kent")
    assert contact(Addresses=[{"AddressType": "POBOX", "Country": ""}, street]).customers[0].country == "FR"


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("GMTSTANDARDTIME", "Europe/London"),
        ("NEWZEALANDSTANDARDTIME", "Pacific/Auckland"),
        ("EEUROPESTANDARDTIME", "Europe/Chisinau"),
        ("KAMCHATKASTANDARDTIME", "Asia/Kamchatka"),
        ("UTC", "Etc/UTC"),
        ("MOONSTANDARDTIME", None),
    ],
)
def test_time_zones_get_their_standard_names(name: str, zone: str | None) -> None:
    assert time_zone(name) == zone
