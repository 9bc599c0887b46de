"""Writing to the simulated Xero: fee invoices, voids and notes, with validation errors and idempotency keys."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from sandbox import Sandbox
from tests.sandbox.xero.conftest import Client


@pytest.fixture
def fee(sandbox: Sandbox) -> dict[str, Any]:
    """A late-fee invoice as a client would post it."""
    late = next(i for i in sandbox.xero.invoices() if i.status == "AUTHORISED" and i.contact.status == "ACTIVE")
    line = {"Description": f"Late fee on {late.number}", "Quantity": 1, "UnitAmount": 12.34}
    return {
        "Type": "ACCREC",
        "Contact": {"ContactID": late.contact.id},
        "InvoiceNumber": f"LF-{late.number}-1",
        "Reference": late.number,
        "CurrencyCode": late.currency,
        "Date": "2026-11-18",
        "DueDate": "2026-12-02",
        "LineAmountTypes": "Exclusive",
        "LineItems": [line | {"AccountCode": "270", "TaxType": "NONE"}],
        "Status": "AUTHORISED",
    }


def message(reply: Any) -> str:
    """Return the first validation error from where Xero puts it."""
    assert reply.status_code == 400, reply.text
    body = reply.json()
    assert (body["ErrorNumber"], body["Type"]) == (10, "ValidationException")
    return str(body["Elements"][0]["ValidationErrors"][0]["Message"])


def test_fee_invoice_is_created_and_due(sandbox: Sandbox, client: Client, fee: dict[str, Any]) -> None:
    reply = client.put("Invoices", {"Invoices": [fee]})
    made = reply.json()["Invoices"][0]
    assert (made["Status"], made["AmountDue"], made["Reference"]) == ("AUTHORISED", 12.34, fee["Reference"])
    assert sandbox.xero.find(fee["InvoiceNumber"]).id == made["InvoiceID"]
    assert [i["InvoiceID"] for i in client.all("Invoices", createdByMyApp="true")] == [made["InvoiceID"]]
    assert client.all("Invoices", InvoiceNumbers=fee["InvoiceNumber"])[0]["InvoiceID"] == made["InvoiceID"]


def test_invoice_number_can_be_used_once(client: Client, fee: dict[str, Any]) -> None:
    assert client.put("Invoices", {"Invoices": [fee]}).status_code == 200
    assert message(client.put("Invoices", {"Invoices": [fee]})) == "Invoice # must be unique."
    assert message(client.put("Invoices", {"Invoices": [fee | {"InvoiceNumber": "N1"}, fee]}))
    assert client.all("Invoices", InvoiceNumbers="N1") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Type": None}, "type is required"),
        ({"Contact": {"ContactID": "nobody"}}, "matched no contact"),
        ({"CurrencyCode": "JPY"}, "not subscribed to currency JPY"),
        ({"DueDate": None}, "Due Date cannot be empty"),
        ({"LineItems": []}, "line items must be specified"),
        ({"LineItems": [{"Description": "Fee", "UnitAmount": 1}]}, "Account code or ID must be specified"),
        ({"LineItems": [{"Description": "Fee", "UnitAmount": 1, "AccountCode": "999"}]}, "'999' is not a valid code"),
        ({"LineItems": [{"Description": "Fee", "UnitAmount": 1, "AccountCode": "299"}]}, "archived"),
        ({"LineItems": [{"Description": "Fee", "UnitAmount": "x", "AccountCode": "270"}]}, "not a number"),
        ({"LineItems": [{"Description": "Fee", "AccountCode": "270", "TaxType": "VAT"}]}, "TaxType code 'VAT'"),
        ({"Status": "PAID"}, "status is not valid"),
        ({"Date": "soon"}, "not a valid date"),
    ],
)
def test_validation_errors_are_returned(
    client: Client, fee: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    assert words in message(client.put("Invoices", {"Invoices": [fee | change]}))


def test_draft_needs_no_account(client: Client, fee: dict[str, Any]) -> None:
    draft = fee | {"Status": "DRAFT", "DueDate": None, "LineItems": [{"Description": "Fee", "UnitAmount": 5}]}
    made = client.put("Invoices", draft).json()["Invoices"][0]
    assert (made["Status"], made["Total"]) == ("DRAFT", 5)
    approved = client.call("POST", f"Invoices/{made['InvoiceID']}", json={"Status": "AUTHORISED"})
    assert message(approved) == "Due Date cannot be empty"


def test_locked_period_accepts_no_documents(sandbox: Sandbox, client: Client, fee: dict[str, Any]) -> None:
    sandbox.xero.organisation().period_lock_on = date(2026, 11, 18)
    assert "period lock date" in message(client.put("Invoices", {"Invoices": [fee]}))
    sandbox.xero.organisation().period_lock_on = date(2026, 11, 17)
    assert client.put("Invoices", {"Invoices": [fee]}).status_code == 200


def test_archived_contact_accepts_no_documents(sandbox: Sandbox, client: Client, fee: dict[str, Any]) -> None:
    sandbox.xero.archive(fee["Contact"]["ContactID"])
    assert "archived" in message(client.put("Invoices", {"Invoices": [fee]}))


def test_small_plan_limits_the_number_of_approved_invoices(
    sandbox: Sandbox, client: Client, fee: dict[str, Any]
) -> None:
    sandbox.xero.organisation().approval_limit = 1
    assert "reached the limit" in message(client.put("Invoices", {"Invoices": [fee]}))


def test_without_summarised_errors_each_invoice_has_its_own_result(client: Client, fee: dict[str, Any]) -> None:
    wrong = fee | {"InvoiceNumber": "N2", "CurrencyCode": "JPY"}
    reply = client.put("Invoices", {"Invoices": [fee, wrong]}, summarizeErrors="false")
    assert reply.status_code == 200
    good, bad = reply.json()["Invoices"]
    assert (good["HasErrors"], bad["HasErrors"]) == (False, True)
    assert "JPY" in bad["ValidationErrors"][0]["Message"]


def test_unpaid_fee_is_waived_by_voiding_it(sandbox: Sandbox, client: Client, fee: dict[str, Any]) -> None:
    made = client.put("Invoices", {"Invoices": [fee]}).json()["Invoices"][0]["InvoiceID"]
    payment = sandbox.xero.pay(made, 1)
    void = {"InvoiceID": made, "Status": "VOIDED"}
    refusal = "Invoice not of valid status for modification"
    assert message(client.call("POST", f"Invoices/{made}", json=void)) == refusal
    sandbox.xero.delete_payment(payment.id)
    reply = client.call("POST", f"Invoices/{made}", json=void)
    assert reply.json()["Invoices"][0]["Status"] == "VOIDED"
    assert message(client.call("POST", f"Invoices/{made}", json=void)) == refusal


def test_sent_invoice_cannot_be_changed(sandbox: Sandbox, client: Client) -> None:
    invoice = next(i for i in sandbox.xero.invoices() if i.status == "PAID")
    reply = client.call("POST", f"Invoices/{invoice.id}", json={"Reference": "changed"})
    assert message(reply) == "Invoice not of valid status for modification"


def test_note_is_written_once_per_idempotency_key(sandbox: Sandbox, client: Client) -> None:
    invoice = next(i for i in sandbox.xero.invoices() if i.status == "PAID")
    body = {"HistoryRecords": [{"Details": "Reminder sent to the customer. dw:abc123"}]}
    first = client.put(f"Invoices/{invoice.id}/History", body, key="k1")
    again = client.put(f"Invoices/{invoice.id}/History", body, key="k1")
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert sandbox.xero.notes(invoice.id) == ["Reminder sent to the customer. dw:abc123"]
    shown = client.get(f"Invoices/{invoice.id}/History").json()["HistoryRecords"]
    assert [(n["Details"], n["User"]) for n in shown] == [(body["HistoryRecords"][0]["Details"], "System Generated")]


def test_idempotency_key_is_valid_for_one_request_and_six_hours(
    sandbox: Sandbox, client: Client, fee: dict[str, Any]
) -> None:
    first = client.put("Invoices", {"Invoices": [fee]}, key="k")
    other = fee | {"InvoiceNumber": "N3"}
    assert "different request" in message(client.put("Invoices", {"Invoices": [other]}, key="k"))
    assert client.put("Invoices", {"Invoices": [fee]}, key="k").content == first.content
    sandbox.clock.advance(timedelta(hours=6))
    client.use(client.refresh(client.token["refresh_token"]).json())
    assert message(client.put("Invoices", {"Invoices": [fee]}, key="k")) == "Invoice # must be unique."
    assert "128" in message(client.put("Invoices", {"Invoices": [other]}, key="k" * 129))


@pytest.mark.parametrize("details", ["", "x" * 251, None])
def test_note_has_at_most_250_characters(sandbox: Sandbox, client: Client, details: Any) -> None:
    invoice = sandbox.xero.invoices()[0]
    assert "Details" in message(
        client.put(f"Invoices/{invoice.id}/History", {"HistoryRecords": [{"Details": details}]})
    )
    assert client.put(f"Invoices/{invoice.id}/History", {"HistoryRecords": [{"Details": "x" * 250}]}).status_code == 200


def test_invalid_json_is_rejected(client: Client) -> None:
    assert message(client.call("PUT", "Invoices", data="{")) == "JSON for post data was invalid"
    assert message(client.call("PUT", "Invoices", data="[1]")) == "JSON for post data was invalid"
