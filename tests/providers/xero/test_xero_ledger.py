"""Rechecks just before acting, writes, and how each rejection is classified."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests
import responses

from providers.errors import OutcomeUnknown, PermanentError, TransientError
from providers.http import TransportLimits
from providers.ledger import LateFeeInvoice
from providers.sign_in import AccessToken
from providers.xero.client import Client
from providers.xero.fee_account import choose_fee_account
from providers.xero.ledger import XeroLedger
from providers.xero.reply_schemas import Account
from tests.providers.xero.conftest import CallRecorder, FakeXero, Token

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BASE = "https://api.xero.com/api.xro/2.0"
FEE = LateFeeInvoice(
    "LF-INV-7-1", "i7", "INV-7", "c1", "EUR", Decimal("12.35"), date(2026, 11, 21), date(2026, 12, 5), "Late fee"
)
ACCOUNTS = {
    "Accounts": [
        {"Code": "090", "Name": "Bank", "Type": "BANK", "Class": "ASSET", "Status": "ACTIVE"},
        {
            "Code": "200",
            "Name": "Sales",
            "Type": "REVENUE",
            "Class": "REVENUE",
            "Status": "ACTIVE",
            "TaxType": "OUTPUT2",
        },
        {"Code": "260", "Name": "Other Revenue", "Type": "OTHERINCOME", "Class": "REVENUE", "Status": "ACTIVE"},
    ]
}
INVALID = {
    "ErrorNumber": 10,
    "Type": "ValidationException",
    "Message": "A validation exception occurred",
    "Elements": [{"ValidationErrors": [{"Message": "The document date cannot be\nbefore the lock date"}]}],
}


def sent(mocked: responses.RequestsMock, number: int = -1) -> requests.PreparedRequest:
    return mocked.calls[number].request


def test_organisation_is_read_with_time_zone_lock_dates_and_reminder_settings(
    mocked: responses.RequestsMock, ledger: XeroLedger
) -> None:
    organisation = {
        "Name": "Demo",
        "BaseCurrency": "NZD",
        "CountryCode": "NZ",
        "Timezone": "NEWZEALANDSTANDARDTIME",
        "PeriodLockDate": "/Date(1759190400000+0000)/",
        "EndOfYearLockDate": "/Date(1743379200000+0000)/",
        "Class": "ULTRA",
    }
    mocked.get(f"{BASE}/Organisation", json={"Organisations": [organisation]})
    mocked.get(f"{BASE}/InvoiceReminders/Settings", json={"InvoiceReminders": [{"Enabled": True}]})
    facts = ledger.get_company_details()
    company = facts.company
    assert (company.name, company.base_currency, company.country, company.time_zone) == (
        "Demo",
        "NZD",
        "NZ",
        "Pacific/Auckland",
    )
    assert (company.lock_on, company.ledger_reminders, facts.subscription, facts.warnings) == (
        date(2025, 9, 30),
        True,
        "ULTRA",
        (),
    )


@pytest.mark.parametrize("status", [401, 403, 404])
def test_unknown_reminder_settings_give_a_warning(
    mocked: responses.RequestsMock, ledger: XeroLedger, status: int
) -> None:
    organisation = {"Name": "Demo", "BaseCurrency": "GBP", "Timezone": "MARSTANDARDTIME", "IsDemoCompany": True}
    mocked.get(f"{BASE}/Organisation", json={"Organisations": [organisation]})
    mocked.get(f"{BASE}/InvoiceReminders/Settings", status=status)
    facts = ledger.get_company_details()
    assert (facts.company.time_zone, facts.company.ledger_reminders) == ("UTC", False)
    assert ["remind" in one for one in facts.warnings] == [True, False, False]


def test_recheck_reads_many_invoices_in_one_call_and_reports_missing_ones(xero: FakeXero, ledger: XeroLedger) -> None:
    xero.records["Invoices"] = [xero.invoice(n, Status="PAID") for n in range(30)]
    ids = [one["InvoiceID"] for one in xero.records["Invoices"]]
    page = ledger.reload_documents([*ids, "gone"], [], NOW)
    assert len(page.invoices) == 30
    assert [(one.kind, one.external_id) for one in page.deleted] == [("invoice", "gone")]
    assert (xero.reads, page.cursor) == (["Invoices"], "")


def test_recheck_of_very_many_invoices_keeps_its_urls_short(
    xero: FakeXero, ledger: XeroLedger, mocked: responses.RequestsMock
) -> None:
    xero.records["Invoices"] = [xero.invoice(n) for n in range(100)]
    page = ledger.reload_documents([one["InvoiceID"] for one in xero.records["Invoices"]], [], NOW)
    assert (len(page.invoices), len(xero.reads)) == (100, 3)
    assert max(len(str(call.request.url)) for call in mocked.calls) < 2048


def test_unreadable_invoice_is_not_reported_as_missing(xero: FakeXero, ledger: XeroLedger) -> None:
    xero.records["Invoices"] = [xero.invoice(1, Status="NEW")]
    page = ledger.reload_documents([xero.records["Invoices"][0]["InvoiceID"]], [], NOW)
    assert (page.deleted, len(page.malformed)) == ([], 1)


def test_recheck_reads_each_kind_of_credit_and_the_contacts_once(xero: FakeXero, ledger: XeroLedger) -> None:
    ledger.reload_documents([], ["c1", "c2", "c3"], NOW)
    assert xero.reads == ["CreditNotes", "Overpayments", "Prepayments", "Contacts"]
    assert {query["where"] for query in xero.queries[:3]} == {'Status=="AUTHORISED"'}
    assert xero.queries[3]["IDs"] == "c1,c2,c3", "emails go to an address that changed a minute ago"
    ledger.reload_documents([], ["c1"], NOW)
    assert xero.queries[-2]["where"] == 'Contact.ContactID==Guid("c1")'


def test_note_is_written_once_with_its_key(mocked: responses.RequestsMock, ledger: XeroLedger) -> None:
    mocked.put(f"{BASE}/Invoices/i7/History", json={"HistoryRecords": [{"Details": "Reminded [k1]"}]})
    ledger.add_note("i7", "Reminded [k1]", "key-1")
    request = sent(mocked)
    assert json.loads(request.body or b"") == {"HistoryRecords": [{"Details": "Reminded [k1]"}]}
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.headers["xero-tenant-id"] == "tenant-1"
    assert request.headers["Authorization"] == "Bearer token-1"


def test_key_too_long_for_xero_is_hashed_to_the_same_value_every_time(
    mocked: responses.RequestsMock, ledger: XeroLedger
) -> None:
    mocked.put(f"{BASE}/Invoices/i7/History", json={"HistoryRecords": []})
    for key in ("k" * 129, "k" * 129, "k" * 130):
        ledger.add_note("i7", "text", key)
    keys = [call.request.headers["Idempotency-Key"] for call in mocked.calls]
    assert max(map(len, keys)) <= 128
    assert (keys[0] == keys[1], keys[0] == keys[2]) == (True, False)


def test_note_too_long_for_xero_is_never_sent(mocked: responses.RequestsMock, ledger: XeroLedger) -> None:
    with pytest.raises(PermanentError, match="250"):
        ledger.add_note("i7", "x" * 251, "key")
    assert len(mocked.calls) == 0


def test_note_is_found_by_its_short_key(mocked: responses.RequestsMock, ledger: XeroLedger) -> None:
    mocked.get(f"{BASE}/Invoices/i7/History", json={"HistoryRecords": [{"Details": None}, {"Details": "Hi [k1]"}]})
    assert ledger.find_note("i7", "[k1]") is not None
    assert ledger.find_note("i7", "[k2]") is None


def posting(mocked: responses.RequestsMock) -> None:
    original = {"InvoiceID": "i7", "InvoiceNumber": "INV-7", "Type": "ACCREC", "BrandingThemeID": "theme-1"}
    mocked.get(f"{BASE}/Invoices/i7", json={"Invoices": [original]})
    mocked.get(f"{BASE}/Accounts", json=ACCOUNTS)


def test_late_fee_is_a_new_invoice_that_names_the_original(mocked: responses.RequestsMock, ledger: XeroLedger) -> None:
    posting(mocked)
    mocked.put(f"{BASE}/Invoices", json={"Invoices": [{"InvoiceID": "f1", "InvoiceNumber": "LF-INV-7-1"}]})
    posted = ledger.post_late_fee(FEE, "key-2")
    assert tuple(posted) == ("f1", "LF-INV-7-1")
    request = sent(mocked)
    assert request.headers["Idempotency-Key"] == "key-2"
    (invoice,) = json.loads(request.body or b"")["Invoices"]
    assert invoice == {
        "Type": "ACCREC",
        "Status": "AUTHORISED",
        "InvoiceNumber": "LF-INV-7-1",
        "Reference": "INV-7",
        "Contact": {"ContactID": "c1"},
        "CurrencyCode": "EUR",
        "Date": "2026-11-21",
        "DueDate": "2026-12-05",
        "LineAmountTypes": "NoTax",
        "LineItems": [
            {
                "Description": "Late fee",
                "Quantity": 1,
                "UnitAmount": 12.35,
                "AccountCode": "260",
                "TaxType": "NONE",
            }
        ],
        "BrandingThemeID": "theme-1",
    }


def test_validation_error_in_a_successful_response_is_a_rejection(
    mocked: responses.RequestsMock, ledger: XeroLedger
) -> None:
    posting(mocked)
    broken = {"InvoiceID": "0", "HasErrors": True, "ValidationErrors": [{"Message": "Account archived"}]}
    mocked.put(f"{BASE}/Invoices", json={"Invoices": [broken]})
    mocked.get(f"{BASE}/Invoices", json={"Invoices": []})
    with pytest.raises(PermanentError, match="Account archived"):
        ledger.post_late_fee(FEE, "key")


def test_fee_whose_number_already_exists_is_not_posted_again(
    mocked: responses.RequestsMock, ledger: XeroLedger
) -> None:
    posting(mocked)
    mocked.put(f"{BASE}/Invoices", json=INVALID, status=400)
    known = {"InvoiceID": "f1", "InvoiceNumber": "LF-INV-7-1", "Type": "ACCREC", "Status": "AUTHORISED"}
    mocked.get(f"{BASE}/Invoices", json={"Invoices": [known]})
    assert ledger.post_late_fee(FEE, "key").external_id == "f1"


@pytest.mark.parametrize(("status", "found"), [("AUTHORISED", True), ("PAID", True), ("VOIDED", False)])
def test_search_by_number_ignores_voided_and_deleted_invoices(
    mocked: responses.RequestsMock, ledger: XeroLedger, status: str, found: bool
) -> None:
    known = {"InvoiceID": "f1", "InvoiceNumber": "LF-1", "Type": "ACCREC", "Status": status}
    mocked.get(f"{BASE}/Invoices", json={"Invoices": [known]})
    assert (ledger.find_invoice("LF-1") is not None) is found
    assert "InvoiceNumbers=LF-1" in str(sent(mocked).url)


def test_fee_is_waived_by_voiding_it(mocked: responses.RequestsMock, ledger: XeroLedger) -> None:
    mocked.post(f"{BASE}/Invoices/f1", json={"Invoices": [{"InvoiceID": "f1", "Status": "VOIDED"}]})
    assert ledger.waive_late_fee("f1", "key").external_id == "f1"
    assert json.loads(sent(mocked).body or b"")["Invoices"] == [{"InvoiceID": "f1", "Status": "VOIDED"}]


def test_voided_fee_counts_as_waived_and_one_that_cannot_be_credited_does_not(
    mocked: responses.RequestsMock, ledger: XeroLedger
) -> None:
    mocked.post(f"{BASE}/Invoices/f1", json=INVALID, status=400)
    mocked.get(f"{BASE}/Invoices/f1", json={"Invoices": [{"InvoiceID": "f1", "Status": "VOIDED"}]})
    assert ledger.waive_late_fee("f1", "key").external_id == "f1"
    mocked.replace("GET", f"{BASE}/Invoices/f1", json={"Invoices": [{"InvoiceID": "f1", "Status": "PAID"}]})
    with pytest.raises(PermanentError):
        ledger.waive_late_fee("f1", "key")


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", None])
def test_only_a_web_address_is_a_pay_link(mocked: responses.RequestsMock, ledger: XeroLedger, url: str | None) -> None:
    mocked.get(f"{BASE}/Invoices/i7/OnlineInvoice", json={"OnlineInvoices": [{"OnlineInvoiceUrl": url}]})
    assert ledger.get_payment_link("i7") is None
    good = {"OnlineInvoices": [{"OnlineInvoiceUrl": "https://in.xero.com/abc"}]}
    mocked.replace("GET", f"{BASE}/Invoices/i7/OnlineInvoice", json=good)
    assert ledger.get_payment_link("i7") == "https://in.xero.com/abc"


def test_pdf_comes_from_xero(mocked: responses.RequestsMock, ledger: XeroLedger) -> None:
    mocked.get(f"{BASE}/Invoices/i7", body=b"%PDF-1.4 ...")
    assert ledger.get_invoice_pdf("i7") == b"%PDF-1.4 ..."
    assert sent(mocked).headers["Accept"] == "application/pdf"
    mocked.replace("GET", f"{BASE}/Invoices/i7", status=404)
    assert ledger.get_invoice_pdf("i7") is None
    mocked.replace("GET", f"{BASE}/Invoices/i7", body="<html>")
    with pytest.raises(TransientError):
        ledger.get_invoice_pdf("i7")


def test_remaining_limits_are_passed_on(
    mocked: responses.RequestsMock, ledger: XeroLedger, calls: CallRecorder
) -> None:
    headers = {"X-DayLimit-Remaining": "997", "X-MinLimit-Remaining": "59"}
    mocked.get(f"{BASE}/Invoices/i7/History", json={"HistoryRecords": []}, headers=headers)
    ledger.find_note("i7", "k")
    assert calls.kinds == ["read"]
    assert calls.headers[0]["x-daylimit-remaining"] == "997"


class _Server(ThreadingHTTPServer):
    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                answer(self)

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                answer(self)

            def log_message(self, *_: Any) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)
        self.daemon_threads = True
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def ledger(self, tenant: str, token: AccessToken, calls: CallRecorder) -> XeroLedger:
        url = f"http://127.0.0.1:{self.server_address[1]}"
        return XeroLedger(Client(url, tenant, token, calls, TransportLimits(sleep=lambda _: None)))

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()


def test_dropped_connection_means_one_put_and_an_unknown_outcome(token: Token, calls: CallRecorder) -> None:
    puts: list[str] = []

    def drop(handler: BaseHTTPRequestHandler) -> None:
        puts.append(handler.path)
        handler.close_connection = True
        handler.connection.shutdown(2)

    server = _Server(drop)
    try:
        with pytest.raises(OutcomeUnknown):
            server.ledger("tenant", token, calls).add_note("i7", "text", "key")
    finally:
        server.stop()
    assert puts == ["/api.xro/2.0/Invoices/i7/History"]


def test_tokens_of_many_connections_never_mix_under_threads(calls: CallRecorder) -> None:
    pairs: list[tuple[str, str]] = []
    count = threading.Lock()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        bearer = handler.headers["Authorization"].removeprefix("Bearer ")
        with count:
            pairs.append((handler.headers["xero-tenant-id"], bearer))
            status = 401 if bearer.endswith("/1") and len(pairs) > 100 else 200
        handler.send_response(status)
        body = b'{"HistoryRecords": []}'
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    class Own:
        def __init__(self, name: str) -> None:
            self.name, self.number = name, 1

        def __call__(self, *, rejected_token: str | None = None) -> str:
            if rejected_token == f"{self.name}/{self.number}":
                self.number += 1
            return f"{self.name}/{self.number}"

    server = _Server(answer)
    try:
        ledgers = [server.ledger(f"tenant-{n}", Own(f"tenant-{n}"), calls) for n in range(4)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: ledgers[n % 4].find_note("i7", "k"), range(240)))
    finally:
        server.stop()
    assert len(pairs) > 240
    assert {bearer for _, bearer in pairs} >= {f"tenant-{n}/2" for n in range(4)}
    assert all(bearer.startswith(f"{tenant}/") for tenant, bearer in pairs)


def account(code: str, name: str, kind: str, tax: str = "") -> Account:
    return Account(code=code, name=name, type=kind, status="ACTIVE", group="REVENUE", tax=tax)


def test_account_named_for_late_fees_is_preferred_over_other_income() -> None:
    sales = account("200", "Sales", "SALES")
    other = account("260", "Other Revenue", "OTHERINCOME")
    interest = account("270", "Interest Income", "REVENUE")
    fees = account("299", "Late Fee Income", "REVENUE")
    assert choose_fee_account([sales]).code == "200"
    assert choose_fee_account([sales, other]).code == "260"
    assert choose_fee_account([sales, other, interest]).code == "270"
    assert choose_fee_account([sales, other, interest, fees]).code == "299"


def test_australian_chart_of_accounts_uses_its_own_tax_type_for_no_tax() -> None:
    assert choose_fee_account([account("200", "Sales", "SALES", "BASEXCLUDED")]).tax_type == "BASEXCLUDED"


def test_without_a_revenue_account_no_fee_is_posted(mocked: responses.RequestsMock, ledger: XeroLedger) -> None:
    mocked.get(f"{BASE}/Invoices/i7", json={"Invoices": [{"InvoiceID": "i7"}]})
    mocked.get(f"{BASE}/Accounts", json={"Accounts": ACCOUNTS["Accounts"][:1]})
    with pytest.raises(PermanentError, match="nothing was sent"):
        ledger.post_late_fee(FEE, "key")
