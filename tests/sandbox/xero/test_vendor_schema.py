"""Every response of the simulated Xero matches Xero's OpenAPI document."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import Sandbox
from tests.sandbox.xero.conftest import Client

SPEC = Path(__file__).parents[3].parent / "shared" / "vendor" / "xero" / "xero_accounting_subset.yaml"


@lru_cache(maxsize=1)
def components() -> Any:
    if not SPEC.is_file():
        pytest.skip(f"Xero's OpenAPI document is not here: {SPEC.name}")
    document = yaml.load(SPEC.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return json.loads(json.dumps(document["components"], default=str))  # YAML turns its examples into dates


def problems(schema: str, body: Any) -> list[str]:
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    document = {"$ref": f"#/components/schemas/{schema}", "components": components()}
    validator = jsonschema_rs.Draft4Validator(document)
    return [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(body)]


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("Invoices?page=1&pageSize=1000", "Invoices"),
        ("Invoices", "Invoices"),
        ("CreditNotes?page=1", "CreditNotes"),
        ("Overpayments?page=1", "Overpayments"),
        ("Prepayments?page=1", "Prepayments"),
        ("Payments?page=1&pageSize=1000", "Payments"),
        ("Contacts?page=1&includeArchived=true", "Contacts"),
        ("Organisation", "Organisations"),
        ("InvoiceReminders/Settings", "InvoiceReminders"),
        ("Accounts", "Accounts"),
        ("TaxRates", "TaxRates"),
        ("BrandingThemes", "BrandingThemes"),
        ("Items", "Items"),
        ("Currencies", "Currencies"),
    ],
)
def test_list_matches_xeros_published_schema(sandbox: Sandbox, client: Client, path: str, schema: str) -> None:
    book = sandbox.xero.organisation()
    book.period_lock_on = book.year_lock_on = book.today()
    body = client.get(path).json()
    assert body[schema], path
    assert problems(schema, body) == []


def test_broken_response_would_be_noticed(client: Client) -> None:
    body = client.get("Invoices", page=1).json()
    body["Invoices"][0]["Status"] = "OPEN"
    body["Invoices"][1]["Total"] = "12"
    assert len(problems("Invoices", body)) == 2


def test_single_documents_and_writes_match_the_published_schema(sandbox: Sandbox, client: Client) -> None:
    invoice = next(i for i in sandbox.xero.invoices() if i.status == "AUTHORISED")
    one = f"Invoices/{invoice.id}"
    assert problems("Invoices", client.get(one).json()) == []
    assert problems("OnlineInvoices", client.get(f"{one}/OnlineInvoice").json()) == []
    written = client.put(f"{one}/History", {"HistoryRecords": [{"Details": "A note"}]}).json()
    assert problems("HistoryRecords", written) == []
    assert problems("HistoryRecords", client.get(f"{one}/History").json()) == []
    fee = {"Type": "ACCREC", "Contact": {"ContactID": invoice.contact.id}, "LineItems": [{"Description": "Fee"}]}
    assert problems("Invoices", client.put("Invoices", {"Invoices": [fee]}).json()) == []
    refused = client.put("Invoices", {"Invoices": [fee | {"CurrencyCode": "JPY"}]})
    assert problems("Error", refused.json()) == []
