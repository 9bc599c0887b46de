"""Notes and late fees: written once, however often it is tried, and waived to the cent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from providers.errors import OutcomeUnknown, PermanentError
from providers.ledger import LateFeeInvoice
from sandbox.faults import Rule
from tests.providers.quickbooks.conftest import SandboxCompany


@pytest.fixture
def invoice(small_company: SandboxCompany) -> dict[str, Any]:
    made: dict[str, Any] = small_company.bookkeeper.add_invoice("Ada", 100)
    return made


def fee_on(company: SandboxCompany, invoice: dict[str, Any], amount: str = "12.50") -> LateFeeInvoice:
    return LateFeeInvoice(
        number=f"LF-{invoice['DocNumber']}-1",
        original_invoice_id=invoice["Id"],
        original_number=invoice["DocNumber"],
        customer_id=invoice["CustomerRef"]["value"],
        currency=invoice["CurrencyRef"]["value"],
        amount=Decimal(amount),
        dated_on=company.now.date(),
        due_on=company.now.date() + timedelta(days=14),
        description="Late fee for invoice: 1 % a month",
    )


def test_note_is_attached_to_the_invoice_and_found_by_its_short_key(
    small_company: SandboxCompany, invoice: dict[str, Any]
) -> None:
    posted = small_company.ledger.add_note(invoice["Id"], "Reminder sent. [duewell ab12cd]", "key-1")
    assert small_company.bookkeeper.notes(invoice["DocNumber"]) == ["Reminder sent. [duewell ab12cd]"]
    assert small_company.ledger.find_note(invoice["Id"], "ab12cd") == posted
    assert small_company.ledger.find_note(invoice["Id"], "ffffff") is None
    assert small_company.bookkeeper.find(invoice["DocNumber"])["SyncToken"] == invoice["SyncToken"]


def test_late_fee_is_a_separate_invoice_that_names_the_original(
    small_company: SandboxCompany, invoice: dict[str, Any]
) -> None:
    posted = small_company.ledger.post_late_fee(fee_on(small_company, invoice), "fee-1")
    fee = small_company.bookkeeper.find(posted.number)
    (line, _subtotal) = fee["Line"]
    assert (fee["TotalAmt"], fee["Balance"]) == (Decimal("12.50"), Decimal("12.50"))
    assert fee["CustomerRef"]["value"] == invoice["CustomerRef"]["value"]
    assert invoice["DocNumber"] in fee["PrivateNote"]
    assert line["SalesItemLineDetail"]["ItemRef"]["name"] == "Late fee"
    assert line["SalesItemLineDetail"]["ItemAccountRef"]["name"] == "Late fee income"
    assert fee["EmailStatus"] == "NotSet", "QuickBooks must not email it"
    assert small_company.bookkeeper.find(invoice["DocNumber"]) == invoice


def test_fee_invoice_is_recognised_with_its_original(small_company: SandboxCompany, invoice: dict[str, Any]) -> None:
    posted = small_company.ledger.post_late_fee(fee_on(small_company, invoice), "fee-1")
    records = {one.external_id: one for page in small_company.pull() for one in page.invoices}
    assert (records[posted.external_id].ledger_fee, records[posted.external_id].reference) == (
        True,
        invoice["DocNumber"],
    )
    assert (records[invoice["Id"]].ledger_fee, records[invoice["Id"]].reference) == (False, "")


def test_fee_is_posted_to_a_customer_whose_record_names_no_currency(
    small_company: SandboxCompany, invoice: dict[str, Any]
) -> None:
    books = small_company.sandbox.quickbooks.ledger(small_company.realm)
    entry = books.get("Customer", invoice["CustomerRef"]["value"])
    books.change(entry, {name: value for name, value in entry.body.items() if name != "CurrencyRef"})
    posted = small_company.ledger.post_late_fee(fee_on(small_company, invoice), "fee-1")
    assert small_company.bookkeeper.find(posted.number)["CurrencyRef"]["value"] == invoice["CurrencyRef"]["value"]


def fees(small_company: SandboxCompany) -> list[str]:
    return [one["DocNumber"] for one in small_company.bookkeeper.invoices() if one["DocNumber"].startswith("LF-")]


@pytest.mark.parametrize("replays", [True, False], ids=["requestid is honoured", "requestid is ignored"])
def test_fee_with_a_lost_response_is_posted_once_after_the_retry(
    small_company: SandboxCompany, invoice: dict[str, Any], *, replays: bool
) -> None:
    small_company.sandbox.quickbooks.replays_requests = replays
    small_company.sandbox.faults.add(Rule("drop_after", path="/invoice$"))
    with pytest.raises(OutcomeUnknown):
        small_company.ledger.post_late_fee(fee_on(small_company, invoice), "fee-1")
    again = small_company.another_ledger().post_late_fee(fee_on(small_company, invoice), "fee-1")
    assert fees(small_company) == [again.number]
    assert small_company.ledger.find_invoice(again.number) == again


def test_item_and_account_are_created_once(small_company: SandboxCompany, invoice: dict[str, Any]) -> None:
    other = small_company.bookkeeper.add_invoice("Ada", 50)
    small_company.ledger.post_late_fee(fee_on(small_company, invoice), "fee-1")
    small_company.another_ledger().post_late_fee(fee_on(small_company, other), "fee-2")
    shelves = small_company.sandbox.quickbooks.ledger(small_company.realm).stores
    assert [one.body["Name"] for one in shelves["Item"].by_id()].count("Late fee") == 1
    assert [one.body["AccountType"] for one in shelves["Account"].by_id() if "ate fee" in one.body["Name"]] == [
        "Other Income"
    ]


def test_outside_the_united_states_the_fee_has_no_tax(create_company: Callable[..., Any]) -> None:
    company = create_company(country="GB", currency="GBP", time_zone="Europe/London")
    invoice = company.bookkeeper.add_invoice("Ada", 100)
    posted = company.ledger.post_late_fee(fee_on(company, invoice), "fee-1")
    fee = company.bookkeeper.find(posted.number)
    assert (fee["TotalAmt"], fee["CurrencyRef"]["value"]) == (Decimal("12.50"), "GBP")
    codes = company.sandbox.quickbooks.ledger(company.realm).stores["TaxCode"].by_id()
    untaxed = [str(one.number) for one in codes if one.body["Taxable"] is False]
    assert [fee["Line"][0]["SalesItemLineDetail"]["TaxCodeRef"]["value"]] == untaxed


def test_fee_in_a_closed_period_is_rejected_with_intuits_message(
    small_company: SandboxCompany, invoice: dict[str, Any]
) -> None:
    small_company.sandbox.quickbooks.close_books(small_company.now.date(), small_company.realm)
    with pytest.raises(PermanentError, match=r"(?i)closed") as refused:
        small_company.ledger.post_late_fee(fee_on(small_company, invoice), "fee-1")
    assert refused.value.code == "6210"
    assert refused.value.trace_id.startswith("1-")
    assert fees(small_company) == []


def test_fee_edited_between_read_and_void_is_voided_all_the_same(
    small_company: SandboxCompany, invoice: dict[str, Any]
) -> None:
    posted = small_company.ledger.post_late_fee(fee_on(small_company, invoice), "fee-1")
    edited = small_company.sandbox.faults.call(
        lambda _request: small_company.bookkeeper.edit(posted.number, DueDate="2027-03-01"),
        query="operation=void",
        times=1,
    )
    small_company.ledger.waive_late_fee(posted.external_id, "waive-1")
    assert edited.fired == 1
    assert small_company.bookkeeper.find(posted.number)["TotalAmt"] == 0


@pytest.mark.parametrize("paid", ["5"])
def test_partly_paid_fee_is_credited_so_that_balance_and_income_are_restored(
    small_company: SandboxCompany, invoice: dict[str, Any], paid: str
) -> None:
    before = small_company.bookkeeper.customer("Ada")["Balance"]
    posted = small_company.ledger.post_late_fee(fee_on(small_company, invoice), "fee-1")
    small_company.bookkeeper.pay(posted.number, Decimal(paid))
    on = small_company.now.date()
    credit = small_company.ledger.waive_late_fee(
        posted.external_id, "waive-1", reason="Ann waived it: a good customer", on=on
    )
    assert credit.number == posted.number.replace("LF-", "CR-")
    [memo] = small_company.bookkeeper.credit_memos()
    fee = small_company.bookkeeper.find(posted.number)
    assert (fee["TotalAmt"], fee["Balance"]) == (Decimal("12.50"), Decimal(0))
    assert (memo["TotalAmt"], memo["RemainingCredit"]) == (Decimal("12.50"), Decimal(paid))
    assert [sold(memo)["ItemAccountRef"], sold(memo)["TaxCodeRef"]] == [
        sold(fee)["ItemAccountRef"],
        sold(fee)["TaxCodeRef"],
    ]
    assert "Ann waived it: a good customer" in memo["PrivateNote"]
    assert small_company.bookkeeper.customer("Ada")["Balance"] == before - Decimal(
        paid
    )  # the payment is an unapplied credit now
    assert small_company.another_ledger().waive_late_fee(posted.external_id, "waive-1", on=on) == credit
    assert len(small_company.bookkeeper.credit_memos()) == 1


def sold(sale: dict[str, Any]) -> dict[str, Any]:
    detail: dict[str, Any] = sale["Line"][0]["SalesItemLineDetail"]
    return detail


def test_deleted_fee_needs_no_waiver(small_company: SandboxCompany, invoice: dict[str, Any]) -> None:
    posted = small_company.ledger.post_late_fee(fee_on(small_company, invoice), "fee-1")
    small_company.bookkeeper.delete(posted.number)
    small_company.ledger.waive_late_fee(posted.external_id, "waive-1")


def test_inactive_fee_item_is_reported_and_not_used(small_company: SandboxCompany, invoice: dict[str, Any]) -> None:
    small_company.ledger.post_late_fee(fee_on(small_company, invoice), "fee-1")
    books = small_company.sandbox.quickbooks.ledger(small_company.realm)
    item = next(one for one in books.stores["Item"].by_id() if one.body["Name"] == "Late fee")
    item.body = {**item.body, "Active": False}
    other = small_company.bookkeeper.add_invoice("Ada", 50)
    with pytest.raises(PermanentError, match="inactive"):
        small_company.another_ledger().post_late_fee(fee_on(small_company, other), "fee-2")


def test_pay_link_and_pdf_come_from_the_ledger(small_company: SandboxCompany, invoice: dict[str, Any]) -> None:
    assert str(small_company.ledger.get_payment_link(invoice["Id"])).endswith(f"-{invoice['Id']}")
    assert (small_company.ledger.get_invoice_pdf(invoice["Id"]) or b"").startswith(b"%PDF")
    assert small_company.ledger.get_payment_link("999999") is None
    assert small_company.ledger.get_invoice_pdf("999999") is None
