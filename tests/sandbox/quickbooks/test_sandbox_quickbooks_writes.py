"""Creating, changing, voiding and deleting through the API, and everything Intuit rejects."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from sandbox.quickbooks.bookkeeper import Bookkeeper
from sandbox.server import Sandbox
from tests.sandbox.quickbooks.conftest import Api


def _line(amount: object, **detail: Any) -> dict[str, Any]:
    return {"DetailType": "SalesItemLineDetail", "Amount": amount, "SalesItemLineDetail": detail}


def _invoice(amount: object = 100, **more: Any) -> dict[str, Any]:
    return {"CustomerRef": {"value": "1"}, "Line": [_line(amount)], **more}


def test_invoice_is_created_with_calculated_fields(empty_company: Api) -> None:
    made = empty_company.post("invoice", _invoice("19.95", TxnDate="2026-11-20", SalesTermRef={"value": "1"}))
    assert (made["Id"], made["SyncToken"], made["sparse"], made["domain"]) == ("1", "0", False, "QBO")
    assert made["DocNumber"] == "1001"
    assert (made["TotalAmt"], made["Balance"], made["HomeTotalAmt"]) == (Decimal("19.95"),) * 3
    assert made["DueDate"] == "2026-12-04"
    assert made["CustomerRef"] == {"value": "1", "name": "Ada"}
    assert made["BillEmail"] == {"Address": "ada@ada.example"}
    assert [line["DetailType"] for line in made["Line"]] == ["SalesItemLineDetail", "SubTotalLineDetail"]
    assert made["EmailStatus"] == "NotSet"
    assert empty_company.get("invoice/1")["Invoice"] == made


def test_invoice_without_terms_is_due_after_thirty_days(empty_company: Api) -> None:
    assert empty_company.post("invoice", _invoice(TxnDate="2026-11-01"))["DueDate"] == "2026-12-01"


def test_foreign_customer_is_billed_in_their_currency(empty_company: Api, bookkeeper: Bookkeeper) -> None:
    bookkeeper.add_customer("Chloé", currency="EUR")
    made = empty_company.post("invoice", _invoice(100) | {"CustomerRef": {"value": "2"}})
    assert made["CurrencyRef"]["value"] == "EUR"
    assert (made["ExchangeRate"], made["HomeTotalAmt"]) == (Decimal("1.0871"), Decimal("108.71"))
    wrong = _invoice(100, CurrencyRef={"value": "USD"}) | {"CustomerRef": {"value": "2"}}
    assert empty_company.refused("POST", "invoice", body=wrong)["code"] == "6000"


def test_whole_amounts_are_integers_and_payments_have_two_decimals(empty_company: Api) -> None:
    empty_company.post("invoice", _invoice(100))
    link = {"Amount": 40, "LinkedTxn": [{"TxnId": "1", "TxnType": "Invoice"}]}
    empty_company.post("payment", {"CustomerRef": {"value": "1"}, "TotalAmt": 40, "Line": [link]})
    assert '"Balance":60,' in empty_company.call("GET", "invoice/1").text
    assert '"TotalAmt":40.00,' in empty_company.call("GET", "payment/2").text


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (_invoice(Colour="red"), "2010", "Colour"),
        (_invoice() | {"Line": [{**_line(5), "Colour": "red"}]}, "2010", "Colour"),
        (_invoice() | {"Line": [_line(5, Colour="red")]}, "2010", "Colour"),
        (_invoice(BillEmail={"Adress": "a@b.example"}), "2010", "Adress"),
        ({"Line": [_line(5)]}, "2020", "CustomerRef"),
        ({"CustomerRef": {"value": "1"}}, "2020", "Line"),
        ({"CustomerRef": {"value": "1"}, "Line": [{"Amount": 5}]}, "2020", "DetailType"),
        (_invoice(None), "2020", "Amount"),
        (_invoice("five"), "2040", "five"),
        (_invoice("NaN"), "2040", "NaN"),
        (_invoice(TxnDate="soon"), "2040", "soon"),
        (_invoice(DocNumber="x" * 22), "2050", "Supplied length:22"),
        (_invoice() | {"CustomerRef": {"value": "77"}}, "2500", "77"),
        (_invoice() | {"Line": [_line(5, ItemRef={"value": "77"})]}, "2500", "77"),
        (_invoice() | {"Line": [_line(5, Qty=2, UnitPrice=3)]}, "6070", "expected:6.00"),
        (_invoice(-5), "6000", "0 or greater"),
        ({"Id": "1", "sparse": True}, "610", "inactive"),
        ({"Id": "one", "SyncToken": "0"}, "2030", "one"),
    ],
)
def test_invalid_invoice_is_rejected_with_its_error_code(
    empty_company: Api, body: dict[str, Any], code: str, words: str
) -> None:
    error = empty_company.refused("POST", "invoice", body=body)
    assert (error["code"], words in error["Detail"]) == (code, True), error
    assert empty_company.query("select count(*) from Invoice")["totalCount"] == 0


def test_invalid_json_is_rejected(empty_company: Api) -> None:
    assert empty_company.refused("POST", "invoice", raw="{'no': json}")["code"] == "2010"
    assert empty_company.refused("POST", "invoice", raw="[1]")["code"] == "2010"


def test_number_can_be_used_once(empty_company: Api) -> None:
    empty_company.post("invoice", _invoice(DocNumber="LF-1001-1"))
    error = empty_company.refused("POST", "invoice", body=_invoice(DocNumber="LF-1001-1"))
    assert error["code"] == "6140"
    assert "DocNumber=LF-1001-1 is assigned to TxnType=Invoice with TxnId=1" in error["Detail"]
    empty_company.call("POST", "invoice", body={"Id": "1", "SyncToken": "0"}, operation="delete")
    assert empty_company.post("invoice", _invoice(DocNumber="LF-1001-1"))["Id"] == "2"


def test_company_with_custom_numbers_assigns_none(empty_company: Api, sandbox: Sandbox) -> None:
    sandbox.quickbooks.ledger(empty_company.realm).profile.custom_numbers = True
    assert "DocNumber" not in empty_company.post("invoice", _invoice())
    assert empty_company.post("invoice", _invoice(DocNumber="AUTO_GENERATE"))["DocNumber"] == "1001"


def test_closed_period_cannot_be_changed(empty_company: Api, sandbox: Sandbox) -> None:
    early = empty_company.post("invoice", _invoice(TxnDate="2026-10-31"))
    sandbox.quickbooks.close_books(date(2026, 10, 31), empty_company.realm)
    assert empty_company.get("preferences")["Preferences"]["AccountingInfoPrefs"]["BookCloseDate"] == "2026-10-31"
    assert empty_company.refused("POST", "invoice", body=_invoice(TxnDate="2026-10-31"))["code"] == "6210"
    move = {"Id": early["Id"], "SyncToken": "0", "sparse": True, "TxnDate": "2026-11-05"}
    assert empty_company.refused("POST", "invoice", body=move)["code"] == "6210"
    assert empty_company.refused("POST", "invoice", body=move, operation="void")["code"] == "6210"
    empty_company.post("invoice", _invoice(TxnDate="2026-11-01"))


def test_inactive_customer_cannot_be_invoiced(empty_company: Api, bookkeeper: Bookkeeper) -> None:
    bookkeeper.deactivate("Ada")
    assert empty_company.refused("POST", "invoice", body=_invoice())["code"] == "2500"


def test_outside_the_united_states_every_line_needs_a_tax_code(sandbox: Sandbox, sign_in: Any) -> None:
    realm = sandbox.quickbooks.add_company("Maple Ltd", country="CA", currency="CAD")
    sandbox.quickbooks.bookkeeper(realm).add_customer("Ada")
    api = sign_in(realm)
    assert api.refused("POST", "invoice", body=_invoice())["code"] == "6000"
    api.post("invoice", _invoice() | {"Line": [_line(5, TaxCodeRef={"value": "TAX"})]})


def test_sparse_update_keeps_the_rest_and_increments_the_sync_token(empty_company: Api, sandbox: Sandbox) -> None:
    made = empty_company.post("invoice", _invoice(CustomerMemo={"value": "Thanks"}))
    sandbox.clock.advance(timedelta(minutes=3))
    changed = empty_company.post("invoice", {"Id": "1", "SyncToken": "0", "sparse": True, "PrivateNote": "note"})
    assert (changed["SyncToken"], changed["PrivateNote"], changed["CustomerMemo"]) == ("1", "note", {"value": "Thanks"})
    assert changed["Line"] == made["Line"]
    assert changed["BillEmail"] == made["BillEmail"]
    assert changed["MetaData"]["CreateTime"] == made["MetaData"]["CreateTime"]
    assert changed["MetaData"]["LastUpdatedTime"] == "2026-11-21T04:03:00-08:00"


def test_full_update_clears_missing_fields(empty_company: Api) -> None:
    empty_company.post("invoice", _invoice(CustomerMemo={"value": "Thanks"}, PrivateNote="mine"))
    changed = empty_company.post("invoice", _invoice(70, Id="1", SyncToken="0"))
    assert "CustomerMemo" not in changed
    assert "PrivateNote" not in changed
    assert "BillEmail" not in changed
    assert (changed["TotalAmt"], changed["DocNumber"]) == (70, "1001")


def test_old_sync_token_is_rejected_as_stale(empty_company: Api, bookkeeper: Bookkeeper) -> None:
    empty_company.post("invoice", _invoice())
    bookkeeper.edit("1001", PrivateNote="by a person")
    note = {"Id": "1", "SyncToken": "0", "sparse": True, "PrivateNote": "by a program"}
    error = empty_company.refused("POST", "invoice", body=note)
    assert (error["code"], error["Message"]) == ("5010", "Stale Object Error")
    assert empty_company.refused("POST", "invoice", body={"Id": "1"}, operation="delete")["code"] == "2020"
    empty_company.post("invoice", {**note, "SyncToken": "1"})


def test_payment_increments_the_invoices_sync_token(empty_company: Api, bookkeeper: Bookkeeper) -> None:
    empty_company.post("invoice", _invoice())
    bookkeeper.pay("1001", 1)
    assert (
        empty_company.refused("POST", "invoice", body={"Id": "1", "SyncToken": "0"}, operation="void")["code"] == "5010"
    )


def test_payment_changes_the_customers_update_time_but_not_the_sync_token(
    empty_company: Api, bookkeeper: Bookkeeper, sandbox: Sandbox
) -> None:
    before = bookkeeper.customer("Ada")
    sandbox.clock.advance(timedelta(minutes=1))
    bookkeeper.pay_unapplied("Ada", 5)
    after = bookkeeper.customer("Ada")
    assert (before["SyncToken"], before["Balance"]) == ("0", 0)
    assert (after["SyncToken"], after["Balance"]) == ("0", -5)
    assert after["MetaData"]["LastUpdatedTime"] == "2026-11-21T04:01:00-08:00"


def test_change_has_the_time_of_the_second_after_the_response(empty_company: Api, sandbox: Sandbox) -> None:
    sandbox.clock.advance(timedelta(milliseconds=543))
    reply = empty_company.call("POST", "invoice", body=_invoice()).json()
    assert reply["time"] == "2026-11-21T04:00:00.543-08:00"
    assert reply["Invoice"]["MetaData"]["LastUpdatedTime"] == "2026-11-21T04:00:01-08:00"


def test_payment_applies_at_most_its_total(empty_company: Api, bookkeeper: Bookkeeper) -> None:
    for _ in range(2):
        bookkeeper.add_invoice("Ada", 50)
    lines = [{"Amount": 50, "LinkedTxn": [{"TxnId": number, "TxnType": "Invoice"}]} for number in ("1", "2")]
    body = {"CustomerRef": {"value": "1"}, "TotalAmt": 99, "Line": lines}
    assert empty_company.refused("POST", "payment", body=body)["code"] == "6000"
    assert [each["Balance"] for each in bookkeeper.invoices()] == [50, 50]
    bookkeeper.add_customer("Bert")
    stranger = {**body, "CustomerRef": {"value": "2"}, "TotalAmt": 100}
    assert empty_company.refused("POST", "payment", body=stranger)["code"] == "6000"


def test_same_request_id_gets_the_same_response_and_has_no_further_effect(empty_company: Api, sandbox: Sandbox) -> None:
    first = empty_company.call("POST", "invoice", body=_invoice(), requestid="r-1")
    again = empty_company.call("POST", "invoice", body=_invoice(), requestid="r-1")
    assert first.text == again.text
    assert empty_company.post("invoice", _invoice(), requestid="r-2")["Id"] == "2"
    sandbox.quickbooks.replays_requests = False
    assert empty_company.post("invoice", _invoice(), requestid="r-1")["Id"] == "3"


def test_rejected_request_can_be_repeated_with_its_request_id(empty_company: Api) -> None:
    empty_company.refused("POST", "invoice", body=_invoice(None), requestid="r-1")
    assert empty_company.post("invoice", _invoice(), requestid="r-1")["Id"] == "1"


def test_voided_invoice_keeps_its_number_and_has_zero_amounts(empty_company: Api) -> None:
    empty_company.post("invoice", _invoice(DocNumber="A-1", PrivateNote="mine"))
    voided = empty_company.post("invoice", {"Id": "1", "SyncToken": "0"}, operation="void")
    assert (voided["TotalAmt"], voided["Balance"], voided["DocNumber"]) == (0, 0, "A-1")
    assert voided["PrivateNote"] == "Voided mine"
    assert {line["Amount"] for line in voided["Line"]} == {0}
    assert empty_company.refused("POST", "invoice", body=_invoice(DocNumber="A-1"))["code"] == "6140"


def test_delete_returns_a_stub_and_the_object_is_gone(empty_company: Api) -> None:
    empty_company.post("invoice", _invoice())
    assert empty_company.post("invoice", {"Id": "1", "SyncToken": "0"}, operation="delete") == {
        "domain": "QBO",
        "status": "Deleted",
        "Id": "1",
    }
    assert empty_company.refused("GET", "invoice/1")["code"] == "610"


def test_payment_is_voided_by_an_update(empty_company: Api, bookkeeper: Bookkeeper) -> None:
    empty_company.post("invoice", _invoice())
    bookkeeper.pay("1001")
    body = {"Id": "2", "SyncToken": "0", "sparse": True}
    voided = empty_company.post("payment", body, operation="update", include="void")
    assert (voided["TotalAmt"], voided["UnappliedAmt"], voided["Line"]) == (0, 0, [])
    assert empty_company.get("invoice/1")["Invoice"]["Balance"] == 100


def test_replacing_a_payments_lines_unlinks_the_old_ones(empty_company: Api, bookkeeper: Bookkeeper) -> None:
    empty_company.post("invoice", _invoice())
    bookkeeper.pay("1001")
    changed = empty_company.post("payment", {"Id": "2", "SyncToken": "0", "sparse": True, "Line": []})
    assert changed["UnappliedAmt"] == 100
    assert empty_company.get("invoice/1")["Invoice"]["Balance"] == 100


def test_note_is_attached_and_found_by_its_invoice(empty_company: Api, bookkeeper: Bookkeeper) -> None:
    empty_company.post("invoice", _invoice())
    before = empty_company.get("invoice/1")
    link = {"EntityRef": {"type": "Invoice", "value": "1"}}
    made = empty_company.post("attachable", {"AttachableRef": [link], "Note": "Reminder sent"}, requestid="n-1")
    where = "AttachableRef.EntityRef.Type = 'invoice' and AttachableRef.EntityRef.value = '1'"
    found = empty_company.query(f"select * from Attachable where {where}")["Attachable"]
    assert found == [made]
    assert bookkeeper.notes("1001") == ["Reminder sent"]
    assert empty_company.get("invoice/1")["Invoice"] == before["Invoice"]
    wrong = {"AttachableRef": [{"EntityRef": {"type": "Invoice", "value": "9"}}], "Note": "x"}
    assert empty_company.refused("POST", "attachable", body=wrong)["code"] == "2500"
    assert (
        empty_company.refused("POST", "attachable", body={"AttachableRef": [link], "Note": "x" * 2001})["code"]
        == "2050"
    )


def test_late_fee_item_is_created_on_other_income(empty_company: Api) -> None:
    account = empty_company.post("account", {"Name": "Late fees", "AccountType": "Other Income"})
    assert (account["Classification"], account["AccountType"]) == ("Revenue", "Other Income")
    item = {"Name": "Late fee", "Type": "Service", "IncomeAccountRef": {"value": account["Id"]}}
    made = empty_company.post("item", item)
    fee = empty_company.post("invoice", _invoice() | {"Line": [_line("12.50", ItemRef={"value": made["Id"]})]})
    assert fee["Line"][0]["SalesItemLineDetail"]["ItemRef"] == {"value": made["Id"], "name": "Late fee"}
    assert empty_company.refused("POST", "item", body=item)["code"] == "6240"
    assert (
        empty_company.refused("POST", "item", body={**item, "Name": "Other", "IncomeAccountRef": {"value": "3"}})[
            "code"
        ]
        == "2500"
    )


def test_names_are_unique_and_cannot_be_deleted(empty_company: Api) -> None:
    assert empty_company.refused("POST", "customer", body={"DisplayName": "ada"})["code"] == "6240"
    assert (
        empty_company.refused("POST", "customer", body={"Id": "1", "SyncToken": "0"}, operation="delete")["code"]
        == "500"
    )


def test_sending_marks_the_invoice_as_sent(empty_company: Api) -> None:
    empty_company.post("invoice", _invoice())
    sent = empty_company.post("invoice/1/send", None, sendTo="boss@ada.example")
    assert (sent["EmailStatus"], sent["BillEmail"]) == ("EmailSent", {"Address": "boss@ada.example"})
    assert sent["DeliveryInfo"]["DeliveryType"] == "Email"
    kept = empty_company.post("invoice", {"Id": "1", "SyncToken": "1", "sparse": True, "PrivateNote": "x"})
    assert kept["DeliveryInfo"] == sent["DeliveryInfo"]


def test_pay_link_opens_a_page_that_pays(empty_company: Api, bookkeeper: Bookkeeper) -> None:
    empty_company.post("invoice", _invoice())
    assert "InvoiceLink" not in empty_company.get("invoice/1")["Invoice"]
    link = empty_company.get("invoice/1", include="invoiceLink")["Invoice"]["InvoiceLink"]
    assert "still to pay 100.00 USD" in empty_company.http.get(link).text
    assert "Paid." in empty_company.http.post(link).text
    assert bookkeeper.find("1001")["Balance"] == 0
    assert empty_company.http.get(f"{link}99").status_code == 404


def test_invoice_is_available_as_pdf(empty_company: Api) -> None:
    empty_company.post("invoice", _invoice())
    reply = empty_company.call("GET", "invoice/1/pdf")
    assert reply.headers["Content-Type"] == "application/pdf"
    assert reply.content.startswith(b"%PDF-1.4")
    assert b"Invoice 1001" in reply.content


def test_in_a_batch_one_error_does_not_stop_the_others(empty_company: Api) -> None:
    items = [
        {"bId": "a", "operation": "create", "Invoice": _invoice()},
        {"bId": "b", "operation": "create", "Invoice": _invoice(Colour="red")},
        {"bId": "c", "Query": "select count(*) from Invoice"},
    ]
    reply = empty_company.call("POST", "batch", body={"BatchItemRequest": items}).json()["BatchItemResponse"]
    assert reply[0]["Invoice"]["Id"] == "1"
    assert reply[1]["Fault"]["Error"][0]["code"] == "2010"
    assert reply[2]["QueryResponse"] == {"totalCount": 1}


def test_every_response_has_its_own_trace_id(empty_company: Api) -> None:
    traces = {
        empty_company.call("GET", path).headers["intuit_tid"] for path in ("invoice/1", "preferences", "companyinfo/1")
    }
    assert len(traces) == 3


def test_throttling_counts_by_second_and_by_minute(empty_company: Api, sandbox: Sandbox) -> None:
    sandbox.quickbooks.throttle.enabled = True
    statuses = [empty_company.call("GET", "preferences").status_code for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    fault = empty_company.call("GET", "preferences").json()["Fault"]["Error"][0]
    assert fault["code"] == "3001"
    sandbox.quickbooks.xml_throttle = True
    assert empty_company.call("GET", "preferences").text.startswith("<?xml")
    sandbox.clock.advance(timedelta(seconds=1))
    assert empty_company.call("GET", "preferences").status_code == 200
    sandbox.quickbooks.throttle.per_second = sandbox.quickbooks.throttle.per_minute = 20
    assert [empty_company.call("GET", "preferences").status_code for _ in range(10)] == [200] * 9 + [429]
    sandbox.clock.advance(timedelta(minutes=1))
    assert empty_company.call("GET", "preferences").status_code == 200


def test_script_in_another_process_can_change_the_ledger(api: Api, url: str, sandbox: Sandbox) -> None:
    invoice = next(each for each in sandbox.quickbooks.invoices() if each["Balance"])
    paid = api.http.post(f"{url}/sandbox/quickbooks/invoices/{invoice['DocNumber']}/pay", json={})
    assert paid.status_code == 200, paid.text
    assert sandbox.quickbooks.find(invoice["Id"])["Balance"] == 0
    assert api.http.post(f"{url}/sandbox/quickbooks/invoices/nope/pay", json={}).status_code == 404
    again = api.http.post(f"{url}/sandbox/quickbooks/invoices/{invoice['Id']}/pay", json={"amount": "1"})
    assert again.status_code == 400
    assert api.http.post(f"{url}/sandbox/quickbooks/dance", json={}).status_code == 404
