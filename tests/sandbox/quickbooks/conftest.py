"""A served sandbox whose clock is stopped at noon, and a client that has signed in to its QuickBooks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from sandbox.quickbooks import REALM
from sandbox.quickbooks.bookkeeper import Bookkeeper
from sandbox.server import Sandbox

JsonObject = dict[str, Any]
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
REDIRECT = "http://localhost:8710/callback/quickbooks"


@dataclass
class Api:
    """A bare client of the accounting API that keeps decimals."""

    url: str
    token: JsonObject
    realm: str = REALM
    http: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, *, body: object = None, raw: str = "", **query: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token['access_token']}", "Accept": "application/json"}
        data = raw.encode() if raw else json.dumps(body, default=str) if body is not None else None
        base = f"{self.url}/v3/company/{self.realm}/"
        return self.http.request(method, base + path, params=query, data=data, headers=headers, timeout=10)

    def get(self, path: str, **query: Any) -> JsonObject:
        return self._good(self.call("GET", path, **query))

    def query(self, statement: str) -> JsonObject:
        return self._good(self.call("POST", "query", raw=statement))["QueryResponse"]  # type: ignore[no-any-return]

    def post(self, entity: str, body: object, **query: Any) -> JsonObject:
        reply = self._good(self.call("POST", entity.lower(), body=body, **query))
        return next(value for name, value in reply.items() if name != "time")

    def refused(self, method: str, path: str, **rest: Any) -> JsonObject:
        """Return the first error of a request that must be rejected with a Fault."""
        reply = self.call(method, path, **rest)
        assert reply.status_code == 400, reply.text
        return reply.json()["Fault"]["Error"][0]  # type: ignore[no-any-return]

    def _good(self, reply: requests.Response) -> JsonObject:
        assert reply.status_code == 200, reply.text
        return json.loads(reply.text, parse_float=Decimal)  # type: ignore[no-any-return]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seed=1, now=NOON)


@pytest.fixture
def url(sandbox: Sandbox) -> Iterator[str]:
    with sandbox.serve() as url:
        yield url


@pytest.fixture
def sign_in(sandbox: Sandbox, url: str) -> Callable[..., Api]:
    """Complete the consent by script and return a client of the chosen company."""

    def go(realm: str = REALM, scope: str = "com.intuit.quickbooks.accounting openid") -> Api:
        env = sandbox.settings(url)
        asked = {
            "client_id": env["QUICKBOOKS_CLIENT_ID"], "redirect_uri": REDIRECT, "state": "s1", "scope": scope,
            "response_type": "code", "sandbox_allow": "1", "sandbox_organisation": realm,
        }  # fmt: skip
        sent = requests.get(f"{url}/connect/oauth2", params=asked, allow_redirects=False, timeout=10)
        query = parse_qs(urlsplit(sent.headers["Location"]).query)
        form = {"grant_type": "authorization_code", "code": query["code"][0], "redirect_uri": REDIRECT}
        client = (env["QUICKBOOKS_CLIENT_ID"], env["QUICKBOOKS_CLIENT_SECRET"])
        token = requests.post(f"{url}/oauth2/v1/tokens/bearer", data=form, auth=client, timeout=10).json()
        return Api(url, token, query["realmId"][0])

    return go


@pytest.fixture
def api(sign_in: Callable[..., Api]) -> Api:
    return sign_in()


@pytest.fixture
def empty_company(sandbox: Sandbox, sign_in: Callable[..., Api]) -> Api:
    """A client of a company with an empty ledger, except for the customer "Ada"."""
    realm = sandbox.quickbooks.add_company("Empty Books Inc")
    sandbox.quickbooks.bookkeeper(realm).add_customer("Ada", email="ada@ada.example")
    return sign_in(realm)


@pytest.fixture
def bookkeeper(sandbox: Sandbox, empty_company: Api) -> Bookkeeper:
    """The desk of the company with the empty ledger, which changes it as a bookkeeper would."""
    return sandbox.quickbooks.bookkeeper(empty_company.realm)


@pytest.fixture
def check_balances() -> Callable[[Bookkeeper], None]:
    """Check the identities that hold in every recorded company, from the documents alone."""

    def check(bookkeeper: Bookkeeper) -> None:
        applied: dict[tuple[str, str], Decimal] = {}
        owed: dict[str, Decimal] = {}
        for payment in bookkeeper.payments():
            charged = credited = Decimal(0)
            for line in payment["Line"]:
                link = line["LinkedTxn"][0]
                target = (link["TxnType"], link["TxnId"])
                applied[target] = applied.get(target, Decimal(0)) + line["Amount"]
                charged += line["Amount"] if link["TxnType"] == "Invoice" else 0
                credited += line["Amount"] if link["TxnType"] == "CreditMemo" else 0
            assert payment["TotalAmt"] == charged - credited + payment["UnappliedAmt"], payment["Id"]
            assert payment["UnappliedAmt"] >= 0
            who = payment["CustomerRef"]["value"]
            owed[who] = owed.get(who, Decimal(0)) - payment["UnappliedAmt"]
        for kind, sign, documents in (
            ("Invoice", 1, bookkeeper.invoices()),
            ("CreditMemo", -1, bookkeeper.credit_memos()),
        ):
            for document in documents:
                used = applied.pop((kind, document["Id"]), Decimal(0))
                assert document["Balance"] == document["TotalAmt"] - used, document["Id"]
                assert document["Balance"] >= 0
                lines = sum(line["Amount"] for line in document["Line"] if line["DetailType"] == "SalesItemLineDetail")
                assert document["TotalAmt"] == lines
                who = document["CustomerRef"]["value"]
                owed[who] = owed.get(who, Decimal(0)) + sign * document["Balance"]
        assert not applied, "a payment is linked to something that is not there"
        for customer in bookkeeper.customers():
            assert customer["Balance"] == owed.get(customer["Id"], 0), customer["DisplayName"]

    return check
