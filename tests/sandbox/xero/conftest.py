"""A sandbox whose clock is stopped on a Wednesday morning, and a client signed in to its Xero."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from sandbox import Sandbox
from sandbox.xero import CLIENT_ID, CLIENT_SECRET

NOW = datetime(2026, 11, 18, 9, 30, tzinfo=UTC)
REDIRECT = "http://localhost:8710/callback/xero"
SCOPES = (
    "openid profile email offline_access accounting.settings.read accounting.contacts.read"
    " accounting.payments.read accounting.invoices"
)


class Client:
    """A plain HTTP client of the simulated Xero: no SDK, so that every header is visible."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["Accept"] = "application/json"
        self.token: dict[str, Any] = {}

    def authorize_url(self, **more: str) -> str:
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT,
            "scope": SCOPES,
            "state": "s",
        }
        return f"{self.url}/identity/connect/authorize?{urlencode(query | more)}"

    def redirected(self, **more: str) -> dict[str, str]:
        reply = self.session.get(self.authorize_url(**more), allow_redirects=False, timeout=10)
        assert reply.status_code == 302, reply.text
        assert reply.headers["Location"].startswith(more.get("redirect_uri", REDIRECT) + "?")
        return dict(parse_qsl(urlsplit(reply.headers["Location"]).query))

    def exchange(self, **form: str) -> requests.Response:
        auth = (CLIENT_ID, CLIENT_SECRET)
        return self.session.post(f"{self.url}/connect/token", data=form, auth=auth, timeout=10)

    def sign_in(self, **more: str) -> None:
        code = self.redirected(**{"sandbox_allow": "1"} | more)["code"]
        reply = self.exchange(grant_type="authorization_code", code=code, redirect_uri=REDIRECT)
        assert reply.status_code == 200, reply.text
        self.use(reply.json())
        self.session.headers["xero-tenant-id"] = self.connections()[0]["tenantId"]

    def use(self, token: dict[str, Any]) -> None:
        self.token = token
        self.session.headers["Authorization"] = f"Bearer {token['access_token']}"

    def refresh(self, refresh_token: str) -> requests.Response:
        return self.exchange(grant_type="refresh_token", refresh_token=refresh_token)

    def connections(self, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.session.get(f"{self.url}/connections", params=query, timeout=10).json()
        return found

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(method, f"{self.url}/api.xro/2.0/{path}", timeout=10, **more)

    def get(self, path: str, since: str = "", **query: Any) -> requests.Response:
        return self.call("GET", path, params=query, headers={"If-Modified-Since": since} if since else {})

    def all(self, name: str, **query: Any) -> list[dict[str, Any]]:
        reply = self.get(name, page=1, pageSize=1000, **query)
        assert reply.status_code == 200, reply.text
        found: list[dict[str, Any]] = reply.json()[name]
        return found

    def put(self, path: str, body: Any, key: str = "", **query: Any) -> requests.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.call("PUT", path, json=body, headers=headers, params=query)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seed=1, now=NOW)


@pytest.fixture
def url(sandbox: Sandbox) -> Iterator[str]:
    with sandbox.serve() as url:
        yield url


@pytest.fixture
def unauthenticated_client(url: str) -> Client:
    """A client that is not signed in."""
    return Client(url)


@pytest.fixture
def client(unauthenticated_client: Client) -> Client:
    """A client signed in to the first organisation."""
    unauthenticated_client.sign_in()
    return unauthenticated_client
