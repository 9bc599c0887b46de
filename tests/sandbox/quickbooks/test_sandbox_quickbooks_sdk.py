"""The unmodified python-quickbooks, on an Authlib session, against the sandbox."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from authlib.integrations.requests_client import OAuth2Session
from quickbooks import QuickBooks
from quickbooks.batch import batch_create
from quickbooks.cdc import change_data_capture
from quickbooks.exceptions import (
    AuthorizationException,
    ObjectNotFoundException,
    QuickbooksException,
    ValidationException,
)
from quickbooks.objects import Attachable, Customer, Invoice, Payment
from quickbooks.objects.base import AttachableRef, Ref
from quickbooks.objects.company_info import CompanyInfo
from quickbooks.objects.detailline import SalesItemLine, SalesItemLineDetail
from quickbooks.objects.preferences import Preferences

from sandbox.quickbooks.bookkeeper import Bookkeeper
from sandbox.server import Sandbox
from tests.sandbox.quickbooks.conftest import Api


class _Session(OAuth2Session):  # type: ignore[misc]
    """The session attribute that python-quickbooks reads."""

    @property
    def access_token(self) -> str:
        return str(self.token["access_token"])


@pytest.fixture
def qb(empty_company: Api) -> QuickBooks:
    client = QuickBooks(company_id=empty_company.realm, minorversion=75)
    client.session = _Session(token=empty_company.token)
    client.api_url_v3 = f"{empty_company.url}/v3"
    return client


def _invoice(amount: float = 100) -> Invoice:
    line = SalesItemLine()
    line.Amount = amount
    line.SalesItemLineDetail = SalesItemLineDetail()
    invoice = Invoice()
    invoice.CustomerRef = Ref()
    invoice.CustomerRef.value = "1"
    invoice.Line.append(line)
    return invoice


def test_invoice_is_saved_found_sent_and_downloaded(qb: QuickBooks) -> None:
    saved = _invoice(19.95).save(qb=qb)
    assert (saved.Id, saved.TotalAmt, saved.DocNumber) == ("1", 19.95, "1001")
    assert Invoice.get("1", qb=qb).CustomerRef.name == "Ada"
    assert [found.Id for found in Invoice.filter(DocNumber="1001", qb=qb)] == ["1"]
    assert Invoice.count(qb=qb) == 1
    assert Invoice.get("1", qb=qb).send(qb=qb)["Invoice"]["EmailStatus"] == "EmailSent"
    assert Invoice.get("1", qb=qb).download_pdf(qb=qb).startswith(b"%PDF")


def test_lists_and_pages_work(qb: QuickBooks, sandbox: Sandbox) -> None:
    sandbox.quickbooks.add_bulk_invoices(150, qb.company_id)
    assert len(Invoice.all(qb=qb)) == 100
    assert len(Invoice.where("Balance > '0'", order_by="Id", start_position=101, max_results=100, qb=qb)) == 50
    assert [found.DisplayName for found in Customer.all(order_by="DisplayName", qb=qb)] == ["Ada"]
    assert len(Invoice.choose(["1", "2", "3"], qb=qb)) == 3


def test_voiding_and_deleting_work(qb: QuickBooks, bookkeeper: Bookkeeper) -> None:
    saved = _invoice().save(qb=qb)
    payment = Payment.get(bookkeeper.pay("1001")["Id"], qb=qb)
    payment.void(qb=qb)
    assert Payment.get(payment.Id, qb=qb).TotalAmt == 0
    Invoice.get(saved.Id, qb=qb).void(qb=qb)
    assert Invoice.get(saved.Id, qb=qb).PrivateNote == "Voided"
    assert Invoice.get(saved.Id, qb=qb).delete(qb=qb)["Invoice"]["status"] == "Deleted"


def test_raw_sparse_update_and_note_work_with_a_request_id(qb: QuickBooks, bookkeeper: Bookkeeper) -> None:
    _invoice().save(qb=qb)
    note = json.dumps({"Id": "1", "SyncToken": "0", "sparse": True, "PrivateNote": "seen"})
    first = qb.update_object("Invoice", note, request_id="k-1")
    assert qb.update_object("Invoice", note, request_id="k-1") == first
    attached = Attachable()
    attached.Note = "Reminder sent"
    reference = AttachableRef()
    reference.EntityRef = Ref()
    reference.EntityRef.type, reference.EntityRef.value = "Invoice", "1"
    attached.AttachableRef.append(reference)
    attached.save(qb=qb)
    assert bookkeeper.notes("1001") == ["Reminder sent"]


def test_change_data_capture_returns_sdk_objects(qb: QuickBooks, bookkeeper: Bookkeeper, sandbox: Sandbox) -> None:
    _invoice().save(qb=qb)
    sandbox.clock.advance(timedelta(minutes=1))
    bookkeeper.pay("1001")
    told = change_data_capture([Invoice, Payment, Customer], "2026-11-21T12:00:30Z", qb=qb)
    assert [(invoice.Id, invoice.Balance) for invoice in told.Invoice] == [("1", 0)]
    assert [payment.TotalAmt for payment in told.Payment] == [100]
    assert len(told.Customer) == 1


def test_batches_work(qb: QuickBooks) -> None:
    customers = []
    for name in ("Bert", "Ada", "Cora"):
        customer = Customer()
        customer.DisplayName = name
        customers.append(customer)
    told = batch_create(customers, qb=qb)
    assert [made.DisplayName for made in told.successes] == ["Bert", "Cora"]
    assert [fault.Error[0].code for fault in told.faults] == ["6240"]


def test_errors_become_sdk_exceptions(qb: QuickBooks, empty_company: Api, sandbox: Sandbox) -> None:
    with pytest.raises(ObjectNotFoundException):
        Invoice.get("9", qb=qb)
    with pytest.raises(ValidationException) as unknown:
        qb.create_object("Invoice", '{"BadJson": true}')
    assert unknown.value.error_code == 2010
    saved = _invoice().save(qb=qb)
    saved.SyncToken = "7"
    with pytest.raises(QuickbooksException) as stale:
        saved.void(qb=qb)
    assert stale.value.error_code == 5010
    sandbox.clock.advance(timedelta(hours=2))
    with pytest.raises(AuthorizationException):
        Invoice.get("1", qb=qb)


def test_company_info_is_returned(qb: QuickBooks) -> None:
    assert CompanyInfo.get(qb.company_id, qb=qb).CompanyName == "Empty Books Inc"
    assert Preferences.get(qb=qb).CurrencyPrefs.HomeCurrency.value == "USD"


def test_decimals_are_read_exactly(qb: QuickBooks, bookkeeper: Bookkeeper) -> None:
    bookkeeper.add_invoice("Ada", "362.07")
    qb.use_decimal = True
    assert Decimal("362.07") == Invoice.get("1", qb=qb).Balance
