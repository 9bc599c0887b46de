"""Change data capture of the sandbox: changes, deletions, and the limits of its window."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from sandbox.quickbooks.bookkeeper import Bookkeeper
from sandbox.server import Sandbox
from tests.sandbox.quickbooks.conftest import Api

ALL = "Customer,Invoice,Payment,CreditMemo"
SINCE = "2026-11-21T12:00:01Z"


def _changes(api: Api, entities: str = ALL, since: str = SINCE) -> list[dict[str, Any]]:
    told = api.get("cdc", entities=entities, changedSince=since)["CDCResponse"]
    assert len(told) == 1
    return list(told[0]["QueryResponse"])


def test_cdc_without_changes_gives_an_empty_object_per_entity(api: Api) -> None:
    assert _changes(api) == [{}, {}, {}, {}]


def test_payment_returns_invoice_payment_and_customer(api: Api, sandbox: Sandbox) -> None:
    invoice = next(each for each in sandbox.quickbooks.invoices() if each["Balance"])
    sandbox.clock.advance(timedelta(minutes=1))
    payment = sandbox.quickbooks.pay(invoice["Id"])
    customers, invoices, payments, credits_ = _changes(api)
    assert [each["Id"] for each in customers["Customer"]] == [invoice["CustomerRef"]["value"]]
    assert [(each["Id"], each["Balance"]) for each in invoices["Invoice"]] == [(invoice["Id"], 0)]
    assert invoices["Invoice"][0]["LinkedTxn"] == [{"TxnId": payment["Id"], "TxnType": "Payment"}]
    assert (payments["startPosition"], payments["maxResults"]) == (1, 1)
    assert payments["Payment"][0]["Id"] == payment["Id"]
    assert credits_ == {}


def test_entities_come_in_the_requested_order(api: Api, sandbox: Sandbox) -> None:
    sandbox.clock.advance(timedelta(minutes=1))
    sandbox.quickbooks.credit(sandbox.quickbooks.customers()[0]["Id"], 5)
    told = _changes(api, "CreditMemo,Payment,Customer")
    assert [[name for name in page if name[0].isupper()] for page in told] == [["CreditMemo"], [], ["Customer"]]


def test_deleted_invoice_is_a_stub(empty_company: Api, bookkeeper: Bookkeeper, sandbox: Sandbox) -> None:
    number = bookkeeper.add_invoice("Ada", 12)["DocNumber"]
    sandbox.clock.advance(timedelta(minutes=1))
    gone = bookkeeper.delete(number)["Id"]
    (page,) = _changes(empty_company, "Invoice")
    stamp = {"LastUpdatedTime": "2026-11-21T04:01:00-08:00"}
    assert page["Invoice"] == [{"domain": "QBO", "status": "Deleted", "Id": gone, "MetaData": stamp}]
    assert empty_company.query("select * from Invoice") == {}
    assert empty_company.refused("GET", f"invoice/{gone}")["code"] == "610"


def test_voided_invoice_is_an_ordinary_object(empty_company: Api, bookkeeper: Bookkeeper, sandbox: Sandbox) -> None:
    number = bookkeeper.add_invoice("Ada", 12)["DocNumber"]
    sandbox.clock.advance(timedelta(minutes=1))
    bookkeeper.void(number)
    (page,) = _changes(empty_company, "Invoice")
    (invoice,) = page["Invoice"]
    assert "status" not in invoice
    assert (invoice["TotalAmt"], invoice["Balance"], invoice["PrivateNote"]) == (0, 0, "Voided")


def test_inactive_customer_is_included(empty_company: Api, bookkeeper: Bookkeeper, sandbox: Sandbox) -> None:
    sandbox.clock.advance(timedelta(minutes=1))
    bookkeeper.deactivate("Ada")
    (page,) = _changes(empty_company, "Customer")
    assert page["Customer"][0]["Active"] is False


def test_at_most_a_thousand_objects_are_returned_and_the_oldest_change_is_lost(
    empty_company: Api, sandbox: Sandbox
) -> None:
    sandbox.clock.advance(timedelta(minutes=1))
    sandbox.quickbooks.add_bulk_invoices(999, empty_company.realm)
    assert sum(len(page.get("Invoice", [])) for page in _changes(empty_company, "Invoice")) == 999
    sandbox.clock.advance(timedelta(minutes=1))
    sandbox.quickbooks.add_bulk_invoices(2, empty_company.realm)
    (page,) = _changes(empty_company, "Invoice")
    ids = {each["Id"] for each in page["Invoice"]}
    assert len(ids) == 1000
    assert "1" not in ids
    assert "1001" in ids


def test_limit_of_a_thousand_covers_all_requested_entities(
    empty_company: Api, bookkeeper: Bookkeeper, sandbox: Sandbox
) -> None:
    sandbox.clock.advance(timedelta(minutes=1))
    sandbox.quickbooks.add_bulk_invoices(600, empty_company.realm)
    for _ in range(500):
        bookkeeper.credit("Ada", 1)
    told = _changes(empty_company, "Invoice,CreditMemo,Customer")
    assert [page.get("maxResults", 0) for page in told] == [600, 400, 0]


def test_object_changed_twice_is_returned_once_in_its_current_state(
    empty_company: Api, bookkeeper: Bookkeeper, sandbox: Sandbox
) -> None:
    number = bookkeeper.add_invoice("Ada", 12)["DocNumber"]
    for note in ("first", "second", "second"):
        sandbox.clock.advance(timedelta(minutes=1))
        bookkeeper.edit(number, PrivateNote=note)
        bookkeeper.edit(number, PrivateNote=note)
    (page,) = _changes(empty_company, "Invoice", "2026-11-21T11:00:00Z")
    assert [each["PrivateNote"] for each in page["Invoice"]] == ["second"]
    assert len(empty_company.query("select * from Invoice")["Invoice"]) == 1


def test_more_than_thirty_days_back_is_rejected(api: Api) -> None:
    assert _changes(api, "Invoice", "2026-10-22T12:00:01Z")
    error = api.refused("GET", "cdc", entities="Invoice", changedSince="2026-10-22T11:59:59Z")
    assert "older than" in error["Detail"]


@pytest.mark.parametrize(
    ("entities", "since"), [("TaxCode", SINCE), ("Unicorn", SINCE), ("", SINCE), ("Invoice", ""), ("Invoice", "soon")]
)
def test_unsupported_request_is_rejected(api: Api, entities: str, since: str) -> None:
    api.refused("GET", "cdc", entities=entities, changedSince=since)


def test_time_without_an_offset_is_pacific(api: Api, sandbox: Sandbox) -> None:
    sandbox.clock.advance(timedelta(minutes=1))
    sandbox.quickbooks.edit("1", PrivateNote="x")
    assert _changes(api, "Invoice", "2026-11-21T04:00:30")[0]
    assert _changes(api, "Invoice", "2026-11-21T12:00:30") == [{}]


def test_cdc_without_changes_is_fast(api: Api) -> None:
    _changes(api)
    began = time.process_time()
    for _ in range(50):
        _changes(api)
    assert (time.process_time() - began) / 50 < 0.02  # client and server together; usually 2 ms
