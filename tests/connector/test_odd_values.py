"""Values as ledgers really send them: float noise, no currency, dates of year 1, an ended subscription."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast

import pytest
from msgspec import Raw
from sqlmodel import select

from connector.db.engine import reading
from connector.db.tables import ExceptionRow, InvoiceDecisionRow, InvoiceRow, MalformedRow, Task
from connector.vocabulary import RunOutcome, TaskCode
from policies.decisions import HoldCode
from policies.receivables import InvoiceStatus
from providers.calls import CallKind
from providers.ledger import ChangePage, InvoiceRecord, MalformedRecord
from providers.quickbooks import decoding, ledger, mapping
from providers.quickbooks.client import Client
from providers.quickbooks.queries import decode_reply
from providers.quickbooks.reader import RecordMapper
from providers.quickbooks.schemas import Customer, Invoice, QueryReply
from providers.record_values import repair_text
from providers.xero.mapping import read_page
from providers.xero.schemas import Stream
from tests.connector.scenario import NOON, Scenario, ScenarioFactory, days

QUICKBOOKS = {
    "Id": "1", "SyncToken": "0", "MetaData": {"LastUpdatedTime": "2026-06-01T10:00:00-07:00"}, "TxnDate": "2026-05-01",
    "DueDate": "2026-05-31", "CustomerRef": {"value": "1"}, "TotalAmt": "@", "Balance": "@",
}  # fmt: skip
XERO = {
    "InvoiceID": "i1", "Type": "ACCREC", "Status": "AUTHORISED", "Contact": {"ContactID": "c1"}, "Total": "@",
    "AmountDue": "@", "UpdatedDateUTC": "/Date(1780000000000+0000)/", "DateString": "2026-05-01T00:00:00",
    "DueDateString": "2026-05-31T00:00:00", "CurrencyCode": "GBP",
}  # fmt: skip


def json_of(fields: dict[str, Any], amount: str) -> bytes:
    return json.dumps(fields).replace('"@"', amount).encode()


def read_quickbooks(amount: str = "100", home: str = "GBP", **fields: Any) -> InvoiceRecord | MalformedRecord:
    raw = Raw(json_of({key: value for key, value in (QUICKBOOKS | fields).items() if value is not None}, amount))
    [found] = decoding.decode_records([raw], Invoice, home)
    assert isinstance(found, Invoice | MalformedRecord)
    return (
        found
        if isinstance(found, MalformedRecord)
        else mapping.map_invoice(found, mapping.MappingContext(home, {}, {}))
    )


def read_xero(amount: str = "100", **fields: Any) -> InvoiceRecord | MalformedRecord:
    page = ChangePage(cursor="")
    invoice = json_of({key: value for key, value in (XERO | fields).items() if value is not None}, amount)
    read_page(Stream.INVOICES, b'{"Invoices": [' + invoice + b"]}", page)
    read: list[InvoiceRecord | MalformedRecord] = [*page.invoices, *page.malformed]
    [found] = read
    return found


READERS = pytest.mark.parametrize("read", [read_quickbooks, read_xero])
DUE_KEYS = {read_quickbooks: "DueDate", read_xero: "DueDateString"}
CURRENCIES: dict[Callable[..., Any], Callable[[str], dict[str, Any]]] = {
    read_quickbooks: lambda code: {"CurrencyRef": {"value": code}},
    read_xero: lambda code: {"CurrencyCode": code},
}


@READERS
@pytest.mark.parametrize(
    ("written", "currency", "exact"),
    [
        ("111.10000000000001", "GBP", "111.10"),
        ("0.30000000000000004", "GBP", "0.30"),
        ("1.11e2", "GBP", "111"),
        ('"111.10"', "GBP", "111.10"),
        ("1000.4", "JPY", "1000"),
        ("1000.5", "JPY", "1001"),
        ("1.2345", "KWD", "1.235"),
        ("99.999", "XQX", "100.00"),
        ("2.22045e-16", "GBP", "0"),
    ],
)
def test_an_amount_is_rounded_to_its_currency_and_never_malformed(
    read: Any, written: str, currency: str, exact: str
) -> None:
    found = read(written, **CURRENCIES[read](currency))
    assert isinstance(found, InvoiceRecord)
    assert (found.total, found.due, found.currency) == (Decimal(exact), Decimal(exact), currency)


@READERS
@pytest.mark.parametrize("written", ['"NaN"', '"Infinity"', '"ten"', "1e40", "null"])
def test_what_is_no_amount_is_malformed(read: Any, written: str) -> None:
    assert isinstance(read(written), MalformedRecord)


def test_a_balance_of_noise_is_paid() -> None:
    found = read_quickbooks("2.22045e-16")
    assert isinstance(found, InvoiceRecord)
    assert found.status == InvoiceStatus.PAID


@READERS
@pytest.mark.parametrize("written", ["0001-01-01", "1899-12-30", "1970-01-01", "9999-12-31"])
def test_a_due_date_of_year_1_or_9999_is_none(read: Any, written: str) -> None:
    text = written if read is read_quickbooks else f"{written}T00:00:00"
    found = read(**{DUE_KEYS[read]: text})
    assert isinstance(found, InvoiceRecord)
    assert found.due_on is None


@READERS
@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"TxnDate": "9999-12-31", "DateString": "9999-12-31T00:00:00"}, "Date"),
        (
            {
                "MetaData": {"LastUpdatedTime": "9999-12-31T23:59:59-14:00"},
                "UpdatedDateUTC": "/Date(253402300799000+0000)/",
            },
            "",
        ),
        ({"MetaData": {"LastUpdatedTime": "0001-01-01T00:00:00+14:00"}, "UpdatedDateUTC": "0001-01-01T00:00:00"}, ""),
        ({"CurrencyRef": {"value": "£"}, "CurrencyCode": "£"}, "urrency"),
        ({"CurrencyRef": {"value": "Pounds"}, "CurrencyCode": "Pounds"}, "urrency"),
        ({"Balance": 100.01, "AmountDue": 100.01}, "above"),
        ({"TotalAmt": -100, "Total": -100}, "above"),
        ({"TotalAmt": 0, "Total": 0}, "above"),
    ],
)
def test_what_nothing_can_be_calculated_with_is_set_aside_and_named(
    read: Any, changed: dict[str, Any], named: str
) -> None:
    found = read(**changed)
    assert isinstance(found, MalformedRecord)
    assert found.external_id in {"1", "i1"}
    assert named in found.reason


@READERS
@pytest.mark.parametrize("written", ["gbp", " GBP ", "Gbp"])
def test_a_currency_is_written_in_capitals(read: Any, written: str) -> None:
    found = read(**CURRENCIES[read](written))
    assert isinstance(found, InvoiceRecord)
    assert found.currency == "GBP"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"A\ud83d", "A\ufffd"),
        (rb"A\udc4d\ud83d", "A\ufffd\ufffd"),
        (rb"A\ud83d\udc4d", "A\U0001f44d"),
        (rb"A\\ud83d", "A\\ud83d"),
        (b"A\xff", "A\ufffd"),
    ],
)
def test_a_text_that_is_cut_within_a_character_costs_no_reply(written: bytes, read: str) -> None:
    whole = json.dumps(XERO).replace('"@"', "100").encode()[:-1] + b', "InvoiceNumber": "' + written + b'"}'
    page = ChangePage(cursor="")
    read_page(Stream.INVOICES, b'{"Invoices": [' + whole + b"]}", page)
    numbers = [each.number for each in page.invoices] + [each.external_id for each in page.malformed]
    assert numbers in ([read], ["i1"])
    whole = json.dumps(QUICKBOOKS).replace('"@"', "100").encode()[:-1] + b', "DocNumber": "' + written + b'"}'
    body = b'{"QueryResponse": {"Invoice": [' + whole + b"]}}"
    reply = decode_reply(body, QueryReply, CallKind.READ)
    [found] = decoding.decode_records(reply.query_response.invoice, Invoice, "GBP")
    assert isinstance(found, MalformedRecord) or (isinstance(found, Invoice) and found.doc_number == read)


def spoil(scenario: Scenario, number: str) -> None:
    """An invoice gets a currency that is none, which only a change outside the API can do."""
    company = scenario.company
    if company.provider == "xero":
        company.simulator.edit(number, currency="£", **company.company_filter)
        return
    books = scenario.sandbox.quickbooks.ledger(company.external_id)
    entry = books.get("Invoice", company.simulator.find(number)["Id"])
    books.change(entry, {**entry.body, "CurrencyRef": {"value": "£"}})


def test_of_an_invoice_whose_new_version_cannot_be_read_a_task_says_so(late_customer: Scenario) -> None:
    late_customer.pass_days(1)
    spoil(late_customer, late_customer.number)
    assert late_customer.run().outcome == RunOutcome.OK
    assert not sent(late_customer)
    with reading(late_customer.app.engine) as session:
        [decision] = session.scalars(select(InvoiceDecisionRow))
        [task] = [each for each in session.scalars(select(Task)) if each.code == TaskCode.UNREADABLE_DATA]
    assert "its newest version in the accounting system cannot be read" in decision.reason
    assert late_customer.number in task.reason
    assert "urrency" in task.reason


@READERS
def test_a_due_date_before_the_invoice_date_stays_as_it_is(read: Any) -> None:
    found = read(**{DUE_KEYS[read]: "2026-04-01" if read is read_quickbooks else "2026-04-01T00:00:00"})
    assert isinstance(found, InvoiceRecord)
    assert found.due_on == date(2026, 4, 1)


@READERS
def test_an_invoice_without_a_customer_is_set_aside_and_named(read: Any) -> None:
    found = read(**({"CustomerRef": None} if read is read_quickbooks else {"Contact": None}))
    assert isinstance(found, MalformedRecord)
    assert found.external_id in {"1", "i1"}


@pytest.fixture
def quickbooks(scenario_at: ScenarioFactory) -> Iterator[Scenario]:
    """A company on QuickBooks with one customer, whose invoice is six days overdue."""
    with scenario_at(NOON, "quickbooks") as scenario:
        scenario.company.customer("Harbor Group", "ap@harbor.example")
        scenario.number = scenario.company.invoice("Harbor Group", "300.00", due_on=days(-6))
        yield scenario


def sent(scenario: Scenario) -> list[Any]:
    own = scenario.app.settings.mail_from
    return [email for email in scenario.sandbox.sendgrid.emails() if own not in email.to]


def strip_currency(scenario: Scenario) -> None:
    books = scenario.sandbox.quickbooks.ledger(scenario.company.external_id)
    for entry in [*books.all("Invoice")]:
        books.change(entry, {key: value for key, value in entry.body.items() if key != "CurrencyRef"})


def strip_home_currency(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    build = ledger._build_company_details
    monkeypatch.setattr(
        ledger,
        "_build_company_details",
        lambda info, preferences: build(info, type(preferences)()),
    )


def test_an_invoice_without_a_currency_is_in_the_companys(quickbooks: Scenario) -> None:
    strip_currency(quickbooks)
    quickbooks.go_live().run()
    [email] = sent(quickbooks)
    assert "£300.00" in email.text


def test_where_quickbooks_names_no_home_currency_that_of_the_country_is_used(
    quickbooks: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    strip_currency(quickbooks)
    strip_home_currency(quickbooks, monkeypatch)
    quickbooks.go_live().run()
    [email] = sent(quickbooks)
    assert "£300.00" in email.text


def test_where_nobody_knows_the_currency_nothing_is_sent_and_the_record_is_named(
    quickbooks: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.quickbooks.ledger.currency_of", lambda _country: "")
    strip_currency(quickbooks)
    strip_home_currency(quickbooks, monkeypatch)
    quickbooks.go_live().run()
    assert not sent(quickbooks)
    with reading(quickbooks.app.engine) as session:
        assert not session.scalars(select(InvoiceRow)).all()
        [record] = session.scalars(select(MalformedRow))
        assert "no currency" in record.reason


@pytest.mark.parametrize(("setting", "emails"), [("false", 0), ("true", 1)])
def test_invoices_sent_from_elsewhere_are_chased_where_the_policy_says_so(
    scenario: Scenario, setting: str, emails: int
) -> None:
    company = scenario.company
    company.customer("Harbor Group", "ap@harbor.example")
    if company.provider == "xero":
        dates = {"on": days(-36).isoformat(), "due_on": days(-6).isoformat()}
        company.simulator.add_invoice("Harbor Group", "300.00", sent=False, **dates, **company.company_filter)
    else:
        made = company.simulator.add_invoice("Harbor Group", "300.00", on=days(-36), due_on=days(-6), sent=False)
        company.simulator.edit(made["Id"], EmailStatus="NeedToSend")
    scenario.go_live()
    scenario.set_policy(f"[statement]\nchase_unsent = {setting}\n")
    scenario.run()
    assert len(sent(scenario)) == emails
    with reading(scenario.app.engine) as session:
        codes = [row.code for row in session.scalars(select(InvoiceDecisionRow))]
    assert (HoldCode.NEVER_SENT in codes) is (emails == 0)


def test_quickbooks_invoices_that_were_neither_emailed_nor_printed_there_are_chased(quickbooks: Scenario) -> None:
    made = quickbooks.company.simulator.add_invoice("Harbor Group", "300.00", on=days(-36), due_on=days(-6), sent=False)
    assert (made["EmailStatus"], made["PrintStatus"]) == ("NotSet", "NeedToPrint")
    quickbooks.go_live().run()
    [email] = sent(quickbooks)
    assert made["DocNumber"] in email.text


def test_names_with_control_characters_are_clean_in_an_email(quickbooks: Scenario) -> None:
    quickbooks.company.simulator.edit_customer(
        "Harbor Group", GivenName="Ann\r\nBcc: x@evil.example\x07", FamilyName="Lee"
    )
    quickbooks.go_live().run()
    [email] = sent(quickbooks)
    assert email.bcc == ()
    assert "\x07" not in email.text + email.subject
    assert email.at <= datetime(2026, 6, 10, 12, tzinfo=UTC)


META = {"LastUpdatedTime": "2026-06-01T10:00:00-07:00"}
QUICKBOOKS_RECORDS: dict[str, dict[str, Any]] = {
    "customer": {"Id": "1", "MetaData": META, "DisplayName": "Ash", "Balance": 10},
    "payment": {
        "Id": "1", "MetaData": META, "TxnDate": "2026-05-01", "CustomerRef": {"value": "1"}, "TotalAmt": 100,
        "UnappliedAmt": 10, "Line": [{"Amount": 90, "LinkedTxn": [{"TxnId": "5", "TxnType": "Invoice"}]}],
    },
    "credit_memo": {
        "Id": "1", "MetaData": META, "TxnDate": "2026-05-01", "CustomerRef": {"value": "1"}, "TotalAmt": 100,
        "Balance": 10,
    },
    "invoice": {**QUICKBOOKS, "TotalAmt": 100, "Balance": 10},
    "term": {"Id": "1", "Type": "STANDARD", "DiscountPercent": 2, "DiscountDays": 10},
}  # fmt: skip
AT = "/Date(1780000000000+0000)/"
XERO_RECORDS: dict[Stream, dict[str, Any]] = {
    Stream.CONTACTS: {"ContactID": "c1", "ContactStatus": "ACTIVE", "Name": "Ash", "UpdatedDateUTC": AT},
    Stream.CREDIT_NOTES: {
        "CreditNoteID": "n1", "Type": "ACCRECCREDIT", "Status": "AUTHORISED", "Contact": {"ContactID": "c1"},
        "UpdatedDateUTC": AT, "Total": 100, "RemainingCredit": 10, "DateString": "2026-05-01T00:00:00",
    },
    Stream.INVOICES: {**XERO, "Total": 100, "AmountDue": 10},
}  # fmt: skip
XERO_KEYS = {Stream.CONTACTS: "Contacts", Stream.CREDIT_NOTES: "CreditNotes", Stream.INVOICES: "Invoices"}


class NoCalls:
    """A client whose company has no further records."""

    def query(self, _statement: str) -> bytes:
        return b'{"QueryResponse": {}}'


def page_of_quickbooks(kind: str, *records: dict[str, Any]) -> ChangePage:
    key = {"credit_memo": "CreditMemo"}.get(kind, kind.capitalize())
    body = json.dumps({"QueryResponse": {key: records}}).encode()
    page, mapper = ChangePage(cursor=""), RecordMapper(cast("Client", NoCalls()), "GBP", {}, {}, {}, {})
    mapper.add_records(page, decode_reply(body, QueryReply, CallKind.READ).query_response)
    return page


def page_of_xero(stream: Stream, *records: dict[str, Any]) -> ChangePage:
    page = ChangePage(cursor="")
    read_page(stream, json.dumps({XERO_KEYS[stream]: records}).encode(), page)
    return page


def test_null_and_empty_values_are_absent_on_both_ledgers_alike() -> None:
    empties: tuple[Any, ...] = (None, "", [], {})
    for empty in empties:
        fields = dict.fromkeys(("Line", "LinkedTxn", "DueDate", "BillEmail", "CurrencyRef", "SalesTermRef"), empty)
        page = page_of_quickbooks("invoice", QUICKBOOKS_RECORDS["invoice"] | fields)
        assert (len(page.invoices), page.invoices[0].due_on, page.malformed) == (1, None, [])
        fields = dict.fromkeys(("LineItems", "Payments", "CreditNotes", "Overpayments", "DueDateString"), empty)
        page = page_of_xero(Stream.INVOICES, XERO_RECORDS[Stream.INVOICES] | fields)
        assert (len(page.invoices), page.invoices[0].due_on, page.malformed) == (1, None, [])


@pytest.mark.parametrize(
    ("kind", "odd"),
    [
        ("payment", {"Line": None}),
        ("payment", {"Line": [None, {}, {"Amount": 90, "LinkedTxn": None}]}),
        ("payment", {"DepositToAccountRef": {}, "CurrencyRef": {"value": None}}),
        ("payment", {"Id": 1, "TxnDate": "2026-05-01T00:00:00", "UnappliedAmt": ""}),
        ("customer", {"PrimaryPhone": "555", "BillAddr": [], "GivenName": 7, "CustomerTypeRef": {}}),
        ("customer", {"Mobile": {"FreeFormNumber": 4477}, "ParentRef": {}, "PrimaryEmailAddr": "", "Active": "true"}),
        ("customer", {"Balance": "NaN", "BalanceWithJobs": 1e40}),
        ("credit_memo", {"DocNumber": 17, "CurrencyRef": ""}),
        ("invoice", {"DocNumber": 1001, "DueDate": "0000-00-00", "MetaData": {**META, "CreateTime": 7}}),
        ("invoice", {"Line": [{"Amount": "NaN"}, {"Amount": 1, "Description": {}}], "PrivateNote": 5}),
        ("term", {"DiscountPercent": "NaN"}),
    ],
)
def test_an_odd_field_of_plain_meaning_costs_no_record_of_quickbooks(kind: str, odd: dict[str, Any]) -> None:
    page = page_of_quickbooks(kind, QUICKBOOKS_RECORDS[kind] | odd)
    assert page.malformed == []


@pytest.mark.parametrize(
    ("stream", "odd"),
    [
        (Stream.CONTACTS, {"Balances": {"AccountsReceivable": {"Outstanding": "NaN"}}}),
        (Stream.CONTACTS, {"Phones": "555", "Addresses": {}, "ContactGroups": [None], "FirstName": 7}),
        (Stream.CONTACTS, {"ContactPersons": [{"IncludeInEmails": "perhaps"}]}),
        (Stream.CREDIT_NOTES, {"Allocations": "", "CreditNoteNumber": 17}),
        (Stream.INVOICES, {"LineItems": [{"LineAmount": "NaN"}], "InvoiceNumber": 1001}),
        (Stream.INVOICES, {"LineItems": 7, "DueDateString": "0000-00-00T00:00:00"}),
    ],
)
def test_an_odd_field_of_plain_meaning_costs_no_record_of_xero(stream: Stream, odd: dict[str, Any]) -> None:
    page = page_of_xero(stream, XERO_RECORDS[stream] | odd)
    assert page.malformed == []


@pytest.mark.parametrize(
    ("kind", "odd", "named"),
    [
        ("payment", {"Line": "90"}, "Line"),
        ("payment", {"UnappliedAmt": "NaN"}, "UnappliedAmt"),
        ("payment", {"TotalAmt": None}, "TotalAmt"),
        ("payment", {"TxnDate": "0001-01-01"}, "TxnDate"),
        ("payment", {"TxnDate": "9999-12-31"}, "TxnDate"),
        ("credit_memo", {"Balance": 10**30}, "Balance"),
        ("credit_memo", {"Line": 7, "TxnDate": ""}, "TxnDate"),
        ("customer", {"ParentRef": "2"}, "ParentRef"),
        ("customer", {"Active": "perhaps"}, "Active"),
        ("invoice", {"Deposit": "NaN"}, "Deposit"),
        ("invoice", {"LinkedTxn": [{"TxnId": "9"}]}, "LinkedTxn"),
    ],
)
def test_what_is_not_plain_is_set_aside_and_stops_no_other(kind: str, odd: dict[str, Any], named: str) -> None:
    page = page_of_quickbooks(kind, QUICKBOOKS_RECORDS[kind] | odd, QUICKBOOKS_RECORDS[kind] | {"Id": "2"})
    [malformed] = page.malformed
    assert named in malformed.reason
    assert malformed.customer_id == ("" if kind == "customer" else "1")
    assert len([*page.customers, *page.payments, *page.credits, *page.invoices]) == 1


def test_a_bare_nan_is_no_amount_and_a_name_that_says_infinity_stays() -> None:
    found = repair_text(b'{"Name": "Infinity \\"NaN\\" Ltd", "Rate": NaN, "Least": -Infinity, "Path": "C:\\\\"}')
    assert json.loads(found) == {"Name": 'Infinity "NaN" Ltd', "Rate": "NaN", "Least": "NaN", "Path": "C:\\"}


@pytest.mark.parametrize(
    "odd", [{"Status": "RESERVED"}, {"Type": "FUTURECREDIT"}, {"DateString": "0001-01-01T00:00:00"}]
)
def test_credit_of_a_kind_that_nobody_knows_is_set_aside_and_not_taken_for_none(odd: dict[str, Any]) -> None:
    page = page_of_xero(Stream.CREDIT_NOTES, XERO_RECORDS[Stream.CREDIT_NOTES] | odd)
    assert (page.credits, [each.customer_id for each in page.malformed]) == ([], ["c1"])


@pytest.mark.parametrize("absent", [None, "", "absent"])
def test_credit_whose_rest_is_not_stated_is_what_is_on_no_invoice(absent: str | None) -> None:
    def without(record: dict[str, Any], key: str) -> dict[str, Any]:
        return {name: each for name, each in record.items() if name != key} | ({} if absent else {key: absent})

    payment = without(QUICKBOOKS_RECORDS["payment"], "UnappliedAmt")
    page = page_of_quickbooks("payment", payment | {"Line": []}, payment | {"Id": "2"}, payment | {"TotalAmt": 50})
    assert [each.unapplied for each in page.payments] == [100, 10, 0]
    note = without(XERO_RECORDS[Stream.CREDIT_NOTES], "RemainingCredit")
    used = [{"Amount": 30, "Invoice": {"InvoiceID": "i1"}, "Date": AT}, {"Amount": 5, "IsDeleted": True, "Date": AT}]
    page = page_of_xero(Stream.CREDIT_NOTES, note, note | {"Allocations": used}, note | {"Status": "PAID"})
    assert [each.remaining for each in page.credits] == [100, 70, 0]


@pytest.mark.parametrize("name", ["NaN: -Infinity", 'Pipes, 5"', 'The "NaN" Bakery'])
def test_a_bare_nan_costs_no_reply(name: str) -> None:
    whole = json.dumps(QUICKBOOKS_RECORDS["customer"] | {"DisplayName": name, "Balance": "@"})
    body = '{"QueryResponse": {"Customer": [' + whole.replace('"@"', "NaN") + "]}}"
    [raw] = decode_reply(body.encode(), QueryReply, CallKind.READ).query_response.customer
    [found] = decoding.decode_records([raw], Customer)
    assert isinstance(found, Customer)
    assert found.display_name == name


@pytest.mark.parametrize("kind", ["CreditNote", "Overpayment", "Prepayment"])
def test_credit_in_xero_that_cannot_be_read_holds_the_invoices_of_its_contact(
    scenario_at: ScenarioFactory, kind: str
) -> None:
    with scenario_at(NOON, "xero") as scenario:
        company = scenario.company
        for name in ("Ashdown Ltd", "Birch Ltd"):
            company.customer(name)
            company.invoice(name, "700.00", due_on=days(-6))
        company.simulator.add_credit("Ashdown Ltd", "700.00", kind, currency="£", **company.company_filter)
        scenario.go_live()
        assert scenario.run().outcome == RunOutcome.OK
        assert [to for to, _subject in scenario.customer_emails()] == [("accounts@birch.example",)]
        with reading(scenario.app.engine) as session:
            decisions = {row.reason for row in session.scalars(select(InvoiceDecisionRow))}
            exceptions = [row for row in session.scalars(select(ExceptionRow)) if row.code == "unreadable_record"]
        assert any("of the customer in the accounting system cannot be read" in each for each in decisions)
        assert [each.reason for each in exceptions if "Ashdown Ltd cannot be read: CurrencyCode" in each.reason]
