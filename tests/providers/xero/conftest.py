"""A small substitute for Xero's read endpoints, built with ``responses``, and the ledger over it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses

from providers.http import TransportLimits
from providers.xero.client import Client
from providers.xero.ledger import XeroLedger

API = "https://api.xero.com"
BASE = f"{API}/api.xro/2.0"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ID_FIELDS = {
    "Invoices": "InvoiceID",
    "CreditNotes": "CreditNoteID",
    "Overpayments": "OverpaymentID",
    "Prepayments": "PrepaymentID",
    "Payments": "PaymentID",
    "Contacts": "ContactID",
}


def ms(at: datetime) -> str:
    return f"/Date({round(at.timestamp() * 1000)}+0000)/"


class CallRecorder:
    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.headers: list[Mapping[str, str]] = []

    def before(self, kind: str) -> None:
        self.kinds.append(kind)

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        del kind, status
        self.headers.append(headers)


class Token:
    """An access token that can be rejected once."""

    def __init__(self, name: str = "token") -> None:
        self.name = name
        self.number = 1
        self.rejected: list[str] = []

    def __call__(self, *, rejected_token: str | None = None) -> str:
        if rejected_token == f"{self.name}-{self.number}":
            self.rejected.append(rejected_token)
            self.number += 1
        return f"{self.name}-{self.number}"


class FakeXero:
    """Records by endpoint; ``on_page_served`` is called after each page, to edit the ledger while it is read."""

    def __init__(self) -> None:
        self.records: dict[str, list[dict[str, Any]]] = {name: [] for name in ID_FIELDS}
        self.reads: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.on_page_served: Callable[[str], object] = lambda _: None

    def invoice(self, number: int, at: datetime = NOW, **fields: Any) -> dict[str, Any]:
        return {
            "Type": "ACCREC",
            "InvoiceID": f"{number:08x}-0000-4000-8000-000000000000",
            "InvoiceNumber": f"INV-{number}",
            "Contact": {"ContactID": "c1", "Name": "Acme"},
            "DateString": "2026-10-01T00:00:00",
            "Date": "/Date(1759276800000+0000)/",
            "DueDateString": "2026-10-31T00:00:00",
            "Status": "AUTHORISED",
            "Total": 120.5,
            "AmountDue": 120.5,
            "CurrencyCode": "GBP",
            "SentToContact": True,
            "UpdatedDateUTC": ms(at),
            **fields,
        }

    def answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        url = urlsplit(str(request.url))
        name = url.path.rsplit("/", 1)[-1]
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.reads.append(name)
        self.queries.append(query)
        found = self._found(name, query, request.headers.get("If-Modified-Since"))
        page, size = int(query["page"]), int(query["pageSize"])
        shown = found[(page - 1) * size : page * size]
        counts = {"page": page, "pageSize": size, "pageCount": -(-len(found) // size), "itemCount": len(found)}
        body = json.dumps({"Id": "1", "Status": "OK", "pagination": counts, name: shown})
        self.on_page_served(name)
        return 200, {"Content-Type": "application/json"}, body

    def _found(self, name: str, query: dict[str, str], since: str | None) -> list[dict[str, Any]]:
        key = ID_FIELDS[name]
        found = self.records[name]
        if since:
            from_ms = datetime.fromisoformat(since).timestamp() * 1000
            found = [one for one in found if int(re.findall(r"\d+", one["UpdatedDateUTC"])[0]) > from_ms]
        if "IDs" in query:
            found = [one for one in found if one[key] in query["IDs"].split(",")]
        if query.get("where") == 'Status=="DELETED"':
            found = [one for one in found if one["Status"] == "DELETED"]
        assert query.get("order", key) == key
        return sorted(found, key=lambda one: str(one[key]))


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def xero(mocked: responses.RequestsMock) -> FakeXero:
    fake = FakeXero()
    for name in ID_FIELDS:
        mocked.add_callback("GET", f"{BASE}/{name}", fake.answer)
    return fake


@pytest.fixture
def calls() -> CallRecorder:
    return CallRecorder()


@pytest.fixture
def token() -> Token:
    return Token()


@pytest.fixture
def ledger(calls: CallRecorder, token: Token) -> XeroLedger:
    return XeroLedger(Client(API, "tenant-1", token, calls, TransportLimits(sleep=lambda _: None, now=lambda: NOW)))
