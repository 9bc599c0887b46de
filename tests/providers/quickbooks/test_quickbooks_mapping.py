"""Mapping of single records: exact amounts, unusual formats, statuses, addresses, discounts."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec import Raw

from providers.ledger import DeletedRecord, InvoiceRecord, MalformedRecord, RecordKind
from providers.quickbooks import applications, decoding, mapping
from providers.quickbooks.ledger import _company_time_zone
from providers.quickbooks.mapping import EarlyPaymentDiscount, MappingContext
from providers.quickbooks.schemas import CreditMemo, Customer, Invoice, Payment, Term

CONTEXT = MappingContext(
    "USD", {"4": EarlyPaymentDiscount(Decimal(2), 10)}, {"77": date(2026, 5, 20), "78": date(2026, 5, 25)}
)
INVOICE: dict[str, Any] = {
    "Id": "95",
    "SyncToken": "3",
    "MetaData": {"CreateTime": "2026-05-01T08:00:00-07:00", "LastUpdatedTime": "2026-05-26T22:08:55-07:00"},
    "TxnDate": "2026-05-01",
    "DueDate": "2026-05-31",
    "DocNumber": "1038",
    "CustomerRef": {"value": "1", "name": "Ada"},
    "TotalAmt": 362.07,
    "Balance": 362.07,
    "Line": [],
    "NewIn2027": {"anything": [1, 2]},
}
PAYMENT: dict[str, Any] = {
    "Id": "77",
    "MetaData": {"LastUpdatedTime": "2026-05-20T08:00:00-07:00"},
    "TxnDate": "2026-05-20",
    "CustomerRef": {"value": "1"},
    "TotalAmt": 100,
    "UnappliedAmt": 10.5,
}


def raw(record: dict[str, Any], **changed: Any) -> Raw:
    return Raw(json.dumps({**record, **changed}).encode())


def one(entity: Any, record: dict[str, Any], **changed: Any) -> Any:
    return next(iter(decoding.decode_records([raw(record, **changed)], entity)))


def invoice(**changed: Any) -> InvoiceRecord:
    record = one(Invoice, INVOICE, **changed)
    assert isinstance(record, Invoice), record
    return mapping.map_invoice(record, CONTEXT)


@pytest.mark.parametrize("text", ["0.1", "12", "1e2", "99999999999999.99", "-3.25", "100.10"])
def test_amounts_are_exact_as_integers_and_as_decimals(text: str) -> None:
    body = raw(INVOICE, TotalAmt="@", Balance="@")
    (record,) = decoding.decode_records([Raw(bytes(body).replace(b'"@"', text.encode()))], Invoice)
    assert isinstance(record, Invoice)
    assert record.total_amt == Decimal(text)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"TotalAmt": "lots"}, "TotalAmt"),
        ({"TotalAmt": 1e15}, "TotalAmt"),
        ({"Balance": 99999999999999.999}, "Balance"),
        ({"Balance": "NaN"}, "Balance"),
        ({"TxnDate": "2026-02-30"}, "TxnDate is not a date (number "),
        ({"CustomerRef": {"value": None}}, "CustomerRef.value is "),
        ({"MetaData": {}}, "MetaData.LastUpdatedTime is missing"),
        ({"Line": [{"Amount": [1]}]}, "Line"),
    ],
)
def test_error_of_a_malformed_record_names_the_field_but_not_its_value(changed: dict[str, Any], field: str) -> None:
    record = one(Invoice, INVOICE, **changed)
    assert isinstance(record, MalformedRecord)
    assert (record.kind, record.external_id) == ("invoice", "95")
    assert field in record.reason
    assert "lots" not in record.reason


def test_one_malformed_record_does_not_affect_the_others() -> None:
    raws = [raw(INVOICE, Id="1"), Raw(b'{"Id": "2", "DocNumber": "\xff"}'), raw(INVOICE, Id="3")]
    kinds = [type(each).__name__ for each in decoding.decode_records(raws, Invoice)]
    assert kinds == ["Invoice", "MalformedRecord", "Invoice"]


def test_record_without_a_readable_id_still_gets_a_name() -> None:
    (record,) = decoding.decode_records([Raw(b'{"DocNumber": 1}')], Invoice)
    assert isinstance(record, MalformedRecord)
    assert record.external_id.startswith("?")


@pytest.mark.parametrize(
    ("entity", "kind"),
    [(Invoice, RecordKind.INVOICE), (CreditMemo, RecordKind.CREDIT_NOTE), (Payment, RecordKind.PAYMENT)],
)
def test_deleted_invoice_is_deleted_and_never_paid(entity: Any, kind: RecordKind) -> None:
    stub = {"domain": "QBO", "status": "Deleted", "Id": "9", "MetaData": {"LastUpdatedTime": "2026-05-01T00:00:00Z"}}
    assert one(entity, stub) == DeletedRecord(kind, "9", datetime(2026, 5, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, "open"),
        ({"Balance": 0}, "paid"),
        ({"Balance": 0, "TotalAmt": 0, "PrivateNote": "Voided - wrong customer"}, "voided"),
        ({"Balance": 0, "TotalAmt": 0}, "paid"),
        ({"Balance": 1, "PrivateNote": "Voided the first one"}, "open"),
    ],
)
def test_status_follows_from_the_amounts_and_the_private_note(changed: dict[str, Any], status: str) -> None:
    assert invoice(**changed).status == status


@pytest.mark.parametrize(
    ("changed", "settled"),
    [
        ({"LinkedTxn": [{"TxnId": "77", "TxnType": "Payment"}, {"TxnId": "78", "TxnType": "Payment"}]}, "2026-05-25"),
        ({"LinkedTxn": [{"TxnId": "78", "TxnType": "Estimate"}]}, "2026-05-26"),
        ({"Deposit": 362.07}, "2026-05-01"),
        ({"TotalAmt": 0}, "2026-05-01"),
        ({}, "2026-05-26"),
    ],
)
def test_payment_date_is_that_of_the_last_payment(changed: dict[str, Any], settled: str) -> None:
    assert str(invoice(Balance=0, **changed).closed_on) == settled


def test_where_no_currency_is_given_none_is_invented() -> None:
    assert invoice().currency == ""
    assert invoice(CurrencyRef={"value": "EUR", "name": "Euro"}).currency == "EUR"


def test_terms_with_a_discount_give_its_amount_and_last_day() -> None:
    record = invoice(SalesTermRef={"value": "4"}, TotalAmt=100.25, Balance=100.25)
    assert (record.discount_amount, str(record.discount_until_on)) == (Decimal("2.01"), "2026-05-11")
    yen = invoice(SalesTermRef={"value": "4"}, TotalAmt=1025, Balance=1025, CurrencyRef={"value": "JPY"})
    assert yen.discount_amount == Decimal(21)
    assert invoice(SalesTermRef={"value": "3"}).discount_amount is None


def test_date_driven_terms_give_no_discount() -> None:
    term = {"Id": "4", "Type": "STANDARD", "DiscountPercent": 2, "DiscountDays": 10}
    assert mapping.map_discount(one(Term, term)) == EarlyPaymentDiscount(Decimal(2), 10)
    assert mapping.map_discount(one(Term, term, Type="DATE_DRIVEN")) is None
    assert mapping.map_discount(one(Term, term, DiscountPercent=0)) is None


def line(item: str, account: str = "Sales", **changed: Any) -> dict[str, Any]:
    refs = {"ItemRef": {"value": "1", "name": item}, "ItemAccountRef": {"value": "2", "name": account}}
    return {"Amount": 5, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": refs, **changed}


@pytest.mark.parametrize(
    ("line", "fee"),
    [
        (line("Gardening"), False),
        (line("Late fee"), True),
        (line("Charges:LATE FEES"), True),
        (line("Interest", account="Late fee income"), True),
        (line("Chocolate fee"), False),
        ({"Amount": 5, "DetailType": "GroupLineDetail", "GroupLineDetail": {"Line": [line("Late fee")]}}, True),
    ],
)
def test_late_fee_charged_by_the_ledger_is_recognised(line: dict[str, Any], fee: bool) -> None:
    assert invoice(Line=[line]).ledger_fee is fee


def test_lines_are_read_without_subtotals() -> None:
    lines = [
        line("Gardening", Description="Roses", Amount=140.5),
        {"Amount": 140.5, "DetailType": "SubTotalLineDetail"},
        {"Amount": 14.05, "DetailType": "DiscountLineDetail"},
        {"DetailType": "DescriptionOnly", "Description": "thank you"},
    ]
    assert json.loads(invoice(Line=lines).lines) == [["Roses", "140.5", "Gardening"], ["", "-14.05", ""]]


@pytest.mark.parametrize(
    ("email", "printed", "sent"),
    [
        ("EmailSent", None, True),
        ("NotSet", None, True),
        ("NotSet", "NeedToPrint", True),
        ("NeedToSend", None, False),
        ("NeedToSend", "PrintComplete", True),
    ],
)
def test_only_an_invoice_marked_need_to_send_counts_as_not_sent(email: str, printed: Any, sent: bool) -> None:
    assert invoice(EmailStatus=email, PrintStatus=printed).sent_to_customer is sent


def test_payment_is_applied_by_line_and_once_per_invoice() -> None:
    to = [
        {"Amount": 40, "LinkedTxn": [{"TxnId": "95", "TxnType": "Invoice"}], "LineEx": {"any": [{}]}},
        {"Amount": 49.5, "LinkedTxn": [{"TxnId": "95", "TxnType": "Invoice"}]},
        {"Amount": 20, "LinkedTxn": [{"TxnId": "12", "TxnType": "CreditMemo"}]},
    ]
    record = one(Payment, PAYMENT, Line=to)
    assert [(one.invoice_id, one.amount) for one in applications.map_applications(record)] == [("95", Decimal("89.5"))]
    assert mapping.map_payment(record).unapplied == Decimal("10.5")


@pytest.mark.parametrize(
    ("field", "emails"),
    [
        ("ada@example.com", "ada@example.com"),
        ("ada@example.com, bo@example.com;ada@example.com", "ada@example.com,bo@example.com"),
        ("see notes", ""),
        (None, ""),
    ],
)
def test_several_addresses_in_one_field_are_separated(field: str | None, emails: str) -> None:
    record = one(
        Customer,
        {"Id": "1", "DisplayName": "Ada", "MetaData": INVOICE["MetaData"], "PrimaryEmailAddr": {"Address": field}},
    )
    assert mapping.map_customer(record).emails == emails


@pytest.mark.parametrize(
    ("name", "country", "region", "zone"),
    [
        ("Asia/Tokyo", "US", "CA", "Asia/Tokyo"),
        ("", "US", "CA", "America/Los_Angeles"),
        ("Nowhere", "", "", "UTC"),
    ],
)
def test_company_uses_its_own_time_zone_or_that_of_its_address(name: str, country: str, region: str, zone: str) -> None:
    assert _company_time_zone(name, country, region) == zone


def linked(amount: float, kind: str, number: str) -> dict[str, Any]:
    return {"Amount": amount, "LinkedTxn": [{"TxnId": number, "TxnType": kind}]}


@pytest.mark.parametrize(
    ("total", "lines", "expected"),
    [
        (900, [linked(900, "Invoice", "95")], [("95", "900", "0", "0")]),
        (0, [linked(900, "Invoice", "95"), linked(900, "CreditMemo", "7")], [("95", "900", "900", "0")]),
        (0, [linked(900, "Invoice", "95"), linked(900, "JournalEntry", "8")], [("95", "900", "0", "900")]),
        (700, [linked(900, "Invoice", "95"), linked(200, "CreditMemo", "7")], [("95", "900", "200", "0")]),
        (
            1200,
            [linked(1200, "Invoice", "95"), linked(300, "Invoice", "96"), linked(300, "CreditMemo", "7")],
            [("95", "1200", "0", "0"), ("96", "300", "300", "0")],
        ),
        (
            500,
            [
                linked(400, "Invoice", "95"),
                linked(600, "Invoice", "96"),
                linked(100, "CreditMemo", "7"),
                linked(400, "JournalEntry", "8"),
            ],
            [("95", "400", "100", "300"), ("96", "600", "0", "100")],
        ),
        (900, [linked(900, "Expense", "12")], []),  # a bounced cheque: the payment now settles the bank's charge
    ],
    ids=["money", "credit memo", "journal entry", "money and credit", "credit of its size", "all three", "bounced"],
)
def test_a_payment_says_how_much_of_it_is_money(
    total: int, lines: list[dict[str, Any]], expected: list[tuple[str, ...]]
) -> None:
    record = one(Payment, PAYMENT, TotalAmt=total, UnappliedAmt=0, Line=lines)
    found = [
        (each.invoice_id, each.amount, each.credited, each.adjusted) for each in applications.map_applications(record)
    ]
    assert found == [(to, *map(Decimal, amounts)) for to, *amounts in expected]


def test_the_deposit_on_an_invoice_is_money_that_came() -> None:
    [deposit] = applications.map_deposit(one(Invoice, INVOICE, Deposit=62.07, Balance=300))
    assert (deposit.invoice_id, deposit.amount, deposit.credited) == ("95", Decimal("62.07"), Decimal(0))
    assert applications.map_deposit(one(Invoice, INVOICE, Deposit=0)) == []
    assert applications.map_deposit(one(Invoice, INVOICE, Deposit=62.07, TotalAmt=0, Balance=0)) == []
