"""The simulated QuickBooks, and the ledger over it with counted calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from providers.http import TransportLimits
from providers.ledger import ChangePage
from providers.quickbooks.client import Client
from providers.quickbooks.ledger import QuickBooksLedger
from providers.sign_in import JsonObject
from sandbox.quickbooks.company_ledger import REALM
from sandbox.quickbooks.signin import ACCOUNTING
from sandbox.server import Sandbox

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class CallCounter:
    """Calls by kind."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def before(self, kind: str) -> None:
        self.kinds.append(kind)

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        pass


class Token:
    """Access tokens straight from the sandbox's sign-in; a rejected one is refreshed."""

    def __init__(self, sandbox: Sandbox, realm: str) -> None:
        self._sign_in = sandbox.quickbooks.sign_in
        back = self._sign_in.approve_consent(realm, "http://localhost/", "state", [ACCOUNTING])
        code = parse_qs(urlsplit(back).query)["code"][0]
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://localhost/"}
        self.token: JsonObject = self._sign_in.exchange(fields)
        self.refreshed = 0

    def __call__(self, *, rejected_token: str | None = None) -> str:
        if rejected_token == self.token["access_token"]:
            self.refreshed += 1
            fields = {"grant_type": "refresh_token", "refresh_token": self.token["refresh_token"]}
            self.token = self._sign_in.exchange(fields)
        return str(self.token["access_token"])


class SandboxCompany:
    """One company of the sandbox with a ledger over it."""

    def __init__(self, sandbox: Sandbox, url: str, realm: str) -> None:
        self.sandbox = sandbox
        self.bookkeeper = sandbox.quickbooks.bookkeeper(realm)
        self.realm = realm
        self.calls = CallCounter()
        self.token = Token(sandbox, realm)
        self._url = url
        self.ledger = self.another_ledger()

    def another_ledger(self) -> QuickBooksLedger:
        limits = TransportLimits(sleep=lambda _seconds: None)
        return QuickBooksLedger(Client(self._url, self.realm, self.token, self.calls, limits))

    @property
    def now(self) -> datetime:
        return self.sandbox.clock.now()

    def pull(self, cursor: str | None = None) -> list[ChangePage]:
        return list(self.ledger.list_changes(cursor, self.now))

    def reads(self) -> int:
        return self.calls.kinds.count("read")

    def reset_calls(self) -> None:
        self.calls.kinds.clear()


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(1, NOW)


@pytest.fixture
def url(sandbox: Sandbox) -> Iterator[str]:
    with sandbox.serve() as address:
        yield address


@pytest.fixture
def company(sandbox: Sandbox, url: str) -> SandboxCompany:
    """The company with a year of history."""
    return SandboxCompany(sandbox, url, REALM)


@pytest.fixture
def small_company(sandbox: Sandbox, url: str) -> SandboxCompany:
    """A company with one customer and no history."""
    realm = sandbox.quickbooks.add_company("Little Company")
    made = SandboxCompany(sandbox, url, realm)
    made.bookkeeper.add_customer("Ada", email="ada@example.com")
    return made


@pytest.fixture
def create_company(sandbox: Sandbox, url: str) -> Callable[..., SandboxCompany]:
    """Adds further companies."""

    def make(**fields: Any) -> SandboxCompany:
        made = SandboxCompany(sandbox, url, sandbox.quickbooks.add_company("Another Company", **fields))
        made.bookkeeper.add_customer("Ada", email="ada@example.com")
        return made

    return make


@pytest.fixture
def settings(sandbox: Sandbox, url: str) -> SimpleNamespace:
    return SimpleNamespace(**{name.lower(): value for name, value in sandbox.settings(url).items()})
