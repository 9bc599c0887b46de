"""Reading from the simulated Xero: increments, pages, order, filters and formats."""

from __future__ import annotations

import gzip
from datetime import timedelta
from typing import Any

import pytest

from sandbox import Sandbox
from tests.sandbox.xero.conftest import Client


def test_list_contains_sales_invoices_and_bills_unless_filtered(client: Client) -> None:
    types = {invoice["Type"] for invoice in client.all("Invoices")}
    assert types == {"ACCREC", "ACCPAY"}
    assert {i["Type"] for i in client.all("Invoices", where='Type=="ACCREC"')} == {"ACCREC"}


def test_lines_are_returned_only_with_pages_and_single_invoices(client: Client) -> None:
    unpaged = client.get("Invoices").json()
    assert "pagination" not in unpaged
    assert all(invoice["LineItems"] == [] for invoice in unpaged["Invoices"])
    paged = client.get("Invoices", page=1).json()
    assert all(invoice["LineItems"] for invoice in paged["Invoices"])
    single = client.get(f"Invoices/{paged['Invoices'][0]['InvoiceID']}").json()
    assert single["Invoices"][0] == paged["Invoices"][0]


def test_page_has_a_hundred_items_by_default_and_a_thousand_at_most(client: Client) -> None:
    first = client.get("Invoices", page=1).json()
    total = first["pagination"]["itemCount"]
    assert first["pagination"] == {"page": 1, "pageSize": 100, "pageCount": -(-total // 100), "itemCount": total}
    seen = [
        i["InvoiceID"] for n in range(1, 5) for i in client.get("Invoices", page=n, pageSize=250).json()["Invoices"]
    ]
    assert len(set(seen)) == len(seen) == total
    for wrong in ({"page": 0}, {"page": "x"}, {"page": 1, "pageSize": 1001}, {"page": 1, "pageSize": 0}):
        assert client.get("Invoices", **wrong).status_code == 400
    assert client.get("Invoices", page=99).json()["Invoices"] == []


def test_order_by_an_immutable_key_is_stable(client: Client) -> None:
    ids = [invoice["InvoiceID"] for invoice in client.all("Invoices", order="InvoiceID")]
    assert ids == sorted(ids)
    assert [i["InvoiceID"] for i in client.all("Invoices", order="InvoiceID DESC")] == ids[::-1]
    updated = [invoice["UpdatedDateUTC"] for invoice in client.all("Invoices")]
    assert updated == sorted(updated)


def test_pages_by_update_time_lose_edited_invoices_and_pages_by_id_lose_none(sandbox: Sandbox, client: Client) -> None:
    everything = {invoice["InvoiceID"] for invoice in client.all("Invoices")}

    def pull(order: str) -> set[str]:
        seen: set[str] = set()
        for page in range(1, 10):
            got = client.get("Invoices", page=page, pageSize=100, order=order).json()["Invoices"]
            seen |= {invoice["InvoiceID"] for invoice in got}
            if got and page < 4:
                sandbox.clock.advance(timedelta(seconds=1))
                sandbox.xero.edit(got[0]["InvoiceID"], reference=f"edited on page {page}")
        return seen

    assert everything - pull("InvoiceID") == set()
    assert everything - pull("UpdatedDateUTC") != set()


def test_only_changed_invoices_are_returned_whatever_their_status(sandbox: Sandbox, client: Client) -> None:
    since = "2026-11-18T09:30:00"
    assert client.get("Invoices", since, page=1).json()["Invoices"] == []
    sandbox.clock.advance(timedelta(minutes=1))
    open_ones = [i.number for i in sandbox.xero.invoices() if i.status == "AUTHORISED" and not i.amount_credited]
    unpaid = [n for n in open_ones if not sandbox.xero.find(n).amount_paid]
    draft = next(i.number for i in sandbox.xero.invoices() if i.status == "DRAFT")
    draft_id = sandbox.xero.find(draft).id
    sandbox.xero.pay(unpaid[0])
    sandbox.xero.pay(unpaid[1], "1.00")
    sandbox.xero.void(unpaid[2])
    sandbox.xero.void(draft)
    sandbox.xero.credit(unpaid[3], 1)
    changed = {i["InvoiceID"]: i["Status"] for i in client.get("Invoices", since, page=1).json()["Invoices"]}
    ids = [sandbox.xero.find(number).id for number in unpaid[:4]]
    expected = dict(zip(ids, ("PAID", "AUTHORISED", "VOIDED", "AUTHORISED"), strict=True)) | {draft_id: "DELETED"}
    assert changed == expected
    assert len(client.get("Invoices", "Wed, 18 Nov 2026 09:30:00 GMT", page=1).json()["Invoices"]) == 5
    assert len(client.get("Invoices", "2026-11-18T10:30:00+01:00", page=1).json()["Invoices"]) == 5
    assert client.get("Invoices", "yesterday", page=1).status_code == 400


def test_note_is_not_a_change_but_a_deleted_payment_is(sandbox: Sandbox, client: Client) -> None:
    invoice = next(i for i in sandbox.xero.invoices() if i.status == "AUTHORISED" and not i.payments)
    payment = sandbox.xero.pay(invoice.id)
    sandbox.clock.advance(timedelta(minutes=1))
    since = sandbox.clock.now().isoformat(timespec="seconds")
    sandbox.clock.advance(timedelta(minutes=1))
    assert client.put(f"Invoices/{invoice.id}/History", {"HistoryRecords": [{"Details": "hello"}]}).status_code == 200
    assert client.get("Invoices", since, page=1).json()["Invoices"] == []
    sandbox.xero.delete_payment(payment.id)
    changed = client.get("Invoices", since, page=1).json()["Invoices"][0]
    assert (changed["AmountDue"], changed["Status"], changed["Payments"]) == (changed["Total"], "AUTHORISED", [])
    payments = client.get("Payments", since, page=1).json()["Payments"]
    assert [(p["PaymentID"], p["Status"]) for p in payments] == [(payment.id, "DELETED")]


def test_history_continues_when_the_clock_moves(sandbox: Sandbox, client: Client) -> None:
    before = client.get("Invoices", page=1).json()["pagination"]["itemCount"]
    sandbox.clock.advance(timedelta(days=7))
    client.use(client.refresh(client.token["refresh_token"]).json())
    changed = client.get("Invoices", "2026-11-18T09:30:00", page=1, pageSize=1000).json()["Invoices"]
    assert client.get("Invoices", page=1).json()["pagination"]["itemCount"] > before
    assert {invoice["Status"] for invoice in changed} >= {"AUTHORISED", "PAID"}


@pytest.mark.parametrize(
    ("where", "test"),
    [
        ('Status=="PAID"', lambda i: i["Status"] == "PAID"),
        ('Type=="ACCREC" AND AmountDue>1000', lambda i: i["Type"] == "ACCREC" and i["AmountDue"] > 1000),
        ('(Type=="ACCREC") && (AmountDue != 0)', lambda i: i["Type"] == "ACCREC" and i["AmountDue"] != 0),
        ("Date >= DateTime(2026, 11, 01)", lambda i: i["DateString"] >= "2026-11-01"),
        ("DueDate < DateTime(2026,1,1)", lambda i: i.get("DueDateString", "9") < "2026-01-01"),
    ],
)
def test_optimised_filters_work(client: Client, where: str, test: Any) -> None:
    wanted = [i["InvoiceID"] for i in client.all("Invoices") if test(i)]
    assert wanted
    assert [i["InvoiceID"] for i in client.all("Invoices", where=where)] == wanted


@pytest.mark.parametrize(
    "query",
    [
        {"where": 'Type=="ACCREC" OR Type=="ACCPAY"'},
        {"where": 'Url=="x"'},
        {"where": "Type=="},
        {"where": 'Date > "yesterday"'},
        {"where": '(Type=="ACCREC"'},
        {"where": "DueDate > DateTime(2026,13,1)"},
        {"order": "Url"},
        {"order": "InvoiceID SIDEWAYS"},
    ],
)
def test_invalid_filter_is_rejected(client: Client, query: dict[str, str]) -> None:
    reply = client.get("Invoices", page=1, **query)
    assert (reply.status_code, reply.json()["Type"]) == (400, "QueryParseException")


def test_filters_by_ids_numbers_statuses_and_contacts_work(client: Client) -> None:
    invoices = client.all("Invoices", where='Type=="ACCREC"')
    two = [invoices[0], invoices[5]]
    ids = ",".join(invoice["InvoiceID"].upper() for invoice in two)
    assert [i["InvoiceID"] for i in client.all("Invoices", IDs=ids)] == [i["InvoiceID"] for i in two]
    numbers = ",".join(invoice["InvoiceNumber"] for invoice in two)
    assert len(client.all("Invoices", InvoiceNumbers=numbers)) == 2
    assert {i["Status"] for i in client.all("Invoices", Statuses="DRAFT,VOIDED")} == {"DRAFT", "VOIDED"}
    contact = two[0]["Contact"]["ContactID"]
    assert {i["Contact"]["ContactID"] for i in client.all("Invoices", ContactIDs=contact)} == {contact}
    assert client.all("Invoices", createdByMyApp="true") == []


def test_archived_contacts_are_returned_on_request(sandbox: Sandbox, client: Client) -> None:
    everyone = client.all("Contacts", includeArchived="true")
    active = client.all("Contacts")
    assert {c["ContactStatus"] for c in active} == {"ACTIVE"}
    assert sum(c["ContactStatus"] == "ARCHIVED" for c in everyone) == 1
    customers = [contact["ContactID"] for contact in active if contact["IsCustomer"]]
    sandbox.xero.merge(customers[0], customers[1])
    merged = client.get(f"Contacts/{customers[0]}").json()["Contacts"][0]
    assert (merged["ContactStatus"], merged["MergedToContactID"]) == ("ARCHIVED", customers[1])
    assert client.all("Invoices", ContactIDs=customers[0]) == []
    assert sum(not contact["EmailAddress"] for contact in active if contact["IsCustomer"]) == 1


def test_dates_have_xeros_format(client: Client) -> None:
    invoice = client.get("Invoices", page=1).json()["Invoices"][0]
    assert invoice["Date"].startswith("/Date(")
    assert invoice["Date"].endswith("00000+0000)/")
    assert invoice["DateString"].endswith("T00:00:00")


def test_unknown_object_is_not_found_in_plain_text(client: Client) -> None:
    for path in ("Invoices/none", "Contacts/none/History", "CreditNotes/none"):
        reply = client.get(path)
        assert reply.status_code == 404
        assert reply.headers["Content-Type"].startswith("text/plain")


def test_response_is_xml_unless_json_is_requested(client: Client) -> None:
    client.session.headers["Accept"] = "*/*"
    assert client.get("Organisation").text.startswith("<?xml")


def test_responses_are_compressed_on_request(client: Client) -> None:
    client.session.headers["Accept-Encoding"] = "identity"
    assert "Content-Encoding" not in client.get("Invoices", page=1).headers
    client.session.headers["Accept-Encoding"] = "gzip"
    reply = client.call("GET", "Invoices?page=1", stream=True)
    assert len(gzip.decompress(reply.raw.read())) > 5 * int(reply.headers["Content-Length"])


def test_invoice_is_available_as_pdf_and_as_a_page(client: Client) -> None:
    invoice = client.all("Invoices", where='Type=="ACCREC" AND Status=="AUTHORISED"')[0]
    client.session.headers["Accept"] = "application/pdf"
    pdf = client.get(f"Invoices/{invoice['InvoiceID']}")
    assert pdf.headers["Content-Type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF-1.4")
    assert pdf.content.endswith(b"%%EOF\n")
    start = int(pdf.content.split(b"startxref\n")[1].split()[0])
    assert pdf.content[start : start + 4] == b"xref"
    assert invoice["InvoiceNumber"].encode() in pdf.content
    client.session.headers["Accept"] = "application/json"
    online = client.get(f"Invoices/{invoice['InvoiceID']}/OnlineInvoice").json()["OnlineInvoices"][0]
    page = client.session.get(online["OnlineInvoiceUrl"], timeout=10)
    assert page.status_code == 200
    assert str(invoice["AmountDue"]) in page.text


def test_settings_describe_the_company(sandbox: Sandbox, client: Client) -> None:
    organisation = client.get("Organisation").json()["Organisations"][0]
    assert (organisation["BaseCurrency"], organisation["CountryCode"]) == ("GBP", "GB")
    assert client.get("InvoiceReminders/Settings").json()["InvoiceReminders"] == [{"Enabled": False}]
    sandbox.xero.organisation().sends_reminders = True
    assert client.get("InvoiceReminders/Settings").json()["InvoiceReminders"] == [{"Enabled": True}]
    for name in ("Accounts", "TaxRates", "BrandingThemes", "Currencies", "Items"):
        assert client.get(name).json()[name], name


def test_unapplied_credits_show_their_remaining_amount(sandbox: Sandbox, client: Client) -> None:
    invoice = next(i for i in sandbox.xero.invoices() if i.status == "AUTHORISED" and i.amount_due > 100)
    for kind in ("CreditNote", "Overpayment", "Prepayment"):
        credit = sandbox.xero.add_credit(invoice.contact.id, 40, kind, currency=invoice.currency)
        shown = client.get(f"{kind}s/{credit.id}").json()[f"{kind}s"][0]
        assert (shown["RemainingCredit"], shown["Allocations"]) == (40, [])
        sandbox.xero.allocate(credit.id, invoice.id, 15)
        shown = client.get(f"{kind}s/{credit.id}").json()[f"{kind}s"][0]
        assert shown["RemainingCredit"] == 25
        assert shown["Allocations"][0]["Invoice"]["InvoiceID"] == invoice.id
    mirrored = client.get(f"Invoices/{invoice.id}").json()["Invoices"][0]
    assert len(mirrored["CreditNotes"]) == len(mirrored["Overpayments"]) == len(mirrored["Prepayments"]) == 1
    assert mirrored["AmountDue"] == float(invoice.total) - mirrored["AmountPaid"] - mirrored["AmountCredited"]


def test_every_balance_is_right_after_a_year(sandbox: Sandbox, client: Client) -> None:
    sandbox.clock.advance(timedelta(days=366))
    client.sign_in()
    sandbox.xero.limits.minute = 0
    invoices = [i for page in (1, 2) for i in client.get("Invoices", page=page, pageSize=1000).json()["Invoices"]]
    assert len(invoices) > 1200
    settled = {"PAID": 0, "AUTHORISED": 0}
    for invoice in invoices:
        cents = {name: round(invoice[name] * 100) for name in ("Total", "AmountDue", "AmountPaid", "AmountCredited")}
        assert cents["AmountDue"] == cents["Total"] - cents["AmountPaid"] - cents["AmountCredited"], invoice
        assert (
            round(sum(line["LineAmount"] + line["TaxAmount"] for line in invoice["LineItems"]) * 100) == cents["Total"]
        )
        if invoice["Status"] in settled:
            settled[invoice["Status"]] += 1
            assert (cents["AmountDue"] == 0) == (invoice["Status"] == "PAID")
            assert ("FullyPaidOnDate" in invoice) == (invoice["Status"] == "PAID")
    assert min(settled.values()) > 50
    for kind in ("CreditNote", "Overpayment", "Prepayment"):
        for credit in client.all(f"{kind}s"):
            applied = sum(allocation["Amount"] for allocation in credit["Allocations"])
            assert round(credit["RemainingCredit"] * 100) == round((credit["Total"] - applied) * 100)


def test_same_seed_returns_the_same_ledger(sandbox: Sandbox, client: Client) -> None:
    other = Sandbox(seed=1, now=sandbox.clock.now())
    mine = [(i["InvoiceID"], i["AmountDue"]) for i in client.all("Invoices", where='Type=="ACCREC"', order="InvoiceID")]
    assert mine == sorted((i.id, float(i.amount_due)) for i in other.xero.invoices())
