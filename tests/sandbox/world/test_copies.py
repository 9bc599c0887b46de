"""A copy of a sandbox continues where the original was, and neither notices the other."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import requests

from sandbox import Sandbox

NOW = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)


def test_what_happens_in_a_copy_stays_there() -> None:
    original = Sandbox(now=NOW)
    xero = original.xero.add_organisation("Small Works Ltd").tenant_id
    original.xero.add_contact("Ashdown Ltd", organisation=xero)
    number = original.xero.add_invoice("Ashdown Ltd", "100.00", sent=True, organisation=xero).number
    quickbooks = original.quickbooks.add_company("Small Works Ltd", country="GB", currency="GBP")
    original.quickbooks.bookkeeper(quickbooks).add_customer("Ashdown Ltd")
    original.quickbooks.bookkeeper(quickbooks).add_invoice("Ashdown Ltd", "100.00", number="I-1")

    copied = deepcopy(original)
    copied.clock.advance(timedelta(days=1))
    copied.xero.pay(number, "", organisation=xero)
    copied.quickbooks.bookkeeper(quickbooks).pay("I-1")
    with copied.serve() as url:
        assert requests.get(f"{url}/sandbox/state", timeout=10).status_code == 200
        requests.get(f"{url}/api.xro/2.0/Invoices", timeout=10)

    assert copied.xero.find(number, organisation=xero).amount_due == 0
    assert original.xero.find(number, organisation=xero).amount_due == 100
    assert Decimal(str(copied.quickbooks.bookkeeper(quickbooks).find("I-1")["Balance"])) == 0
    assert Decimal(str(original.quickbooks.bookkeeper(quickbooks).find("I-1")["Balance"])) == 100
    assert (original.clock.now(), copied.clock.now()) == (NOW, NOW + timedelta(days=1))
    assert (len(original.requests), len(copied.requests)) == (0, 1)
    with original.serve() as url:
        assert requests.get(f"{url}/api.xro/2.0/Invoices", timeout=10).status_code == 401, "it can still be served"
