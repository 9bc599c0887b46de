"""Everything we send matches Xero's OpenAPI document: paths, parameters, headers and bodies."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs
import pytest
import yaml

from providers.ledger import LateFeeInvoice
from tests.providers.xero.conftest import FakeXero

if TYPE_CHECKING:
    import requests
    import responses

    from providers.xero.ledger import XeroLedger

DOCUMENT = Path(__file__).parents[3].parent / "shared" / "vendor" / "xero" / "xero_accounting_subset.yaml"
PREFIX = "/api.xro/2.0"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason="Xero's OpenAPI document is not beside the project")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    read = yaml.load(DOCUMENT.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    found: dict[str, Any] = json.loads(json.dumps(read, default=str))  # YAML's dates are texts in JSON
    return found


@pytest.fixture
def sent(mocked: responses.RequestsMock, xero: FakeXero, ledger: XeroLedger) -> list[requests.PreparedRequest]:
    """Send everything that the provider can send, once."""
    base = f"https://api.xero.com{PREFIX}"
    fee = LateFeeInvoice(
        "LF-1", "i7", "INV-7", "c1", "GBP", Decimal("12.35"), date(2026, 11, 21), date(2026, 12, 5), "Fee"
    )
    mocked.get(f"{base}/Invoices/i7/History", json={"HistoryRecords": []})
    mocked.put(f"{base}/Invoices/i7/History", json={"HistoryRecords": []})
    mocked.get(f"{base}/Invoices/i7/OnlineInvoice", json={"OnlineInvoices": []})
    mocked.get(f"{base}/Invoices/i7", json={"Invoices": [{"InvoiceID": "i7", "BrandingThemeID": "t1"}]})
    mocked.get(f"{base}/Accounts", json={"Accounts": [{"Code": "200", "Class": "REVENUE"}]})
    mocked.get(f"{base}/Organisation", json={"Organisations": [{"Name": "A", "BaseCurrency": "GBP"}]})
    mocked.get(f"{base}/InvoiceReminders/Settings", json={"InvoiceReminders": []})
    mocked.put(f"{base}/Invoices", json={"Invoices": [{"InvoiceID": "f1"}]})
    mocked.post(f"{base}/Invoices/f1", json={"Invoices": [{"InvoiceID": "f1"}]})
    ledger.get_company_details()
    first = list(ledger.list_changes(None, NOW))
    xero.records["Invoices"] = [xero.invoice(1, NOW + timedelta(minutes=1))]
    list(ledger.list_changes(first[-1].cursor, NOW + timedelta(hours=1)))
    ledger.reload_documents(["i7"], ["c1"], NOW)
    ledger.reload_documents(["i7"], ["c1", "c2"], NOW)
    ledger.find_note("i7", "k")
    ledger.add_note("i7", "text", "key")
    ledger.post_late_fee(fee, "key")
    ledger.waive_late_fee("f1", "key")
    ledger.get_payment_link("i7")
    return [call.request for call in mocked.calls]


def operation(document: dict[str, Any], request: requests.PreparedRequest) -> dict[str, Any]:
    """Return the document's description of this request's path and method."""
    path = urlsplit(str(request.url)).path.removeprefix(PREFIX)
    for template, methods in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and str(request.method).lower() in methods:
            return {"shared": methods.get("parameters", []), **methods[str(request.method).lower()]}
    pytest.fail(f"{request.method} {path} is not in Xero's document")


def resolved(document: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in found:
        at: Any = document
        for part in found["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        found = at
    return found


def test_every_path_parameter_and_header_is_known(
    document: dict[str, Any], sent: list[requests.PreparedRequest]
) -> None:
    for request in sent:
        said = operation(document, request)
        known = [resolved(document, one) for one in [*said["shared"], *said.get("parameters", [])]]
        names = {one["name"] for one in known if one["in"] == "query"}
        headers = {one["name"].lower() for one in known if one["in"] == "header"}
        url = urlsplit(str(request.url))
        assert {name for name, _ in parse_qsl(url.query)} <= names, url.path
        special = {name.lower() for name in request.headers} & {"if-modified-since", "idempotency-key"}
        assert special <= headers, url.path
    assert len({(request.method, urlsplit(str(request.url)).path) for request in sent}) >= 14


def test_every_body_matches_the_documents_schema(
    document: dict[str, Any], sent: list[requests.PreparedRequest]
) -> None:
    bodies = [request for request in sent if request.body]
    for request in bodies:
        content = resolved(document, operation(document, request)["requestBody"])["content"]["application/json"]
        schema = {**content["schema"], "components": document["components"]}
        body = json.loads(request.body or b"")
        jsonschema_rs.validator_for(schema).validate(body)
        properties = resolved(document, content["schema"])["properties"]
        for name, records in body.items():
            known = resolved(document, properties[name]["items"])["properties"]
            assert {field for record in records for field in record} <= set(known)
    assert len(bodies) == 3
