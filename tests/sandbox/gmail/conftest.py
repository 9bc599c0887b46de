"""A served sandbox whose clock is stopped at noon, and what an app does at Google's sign-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from sandbox.gmail import CLIENT_ID, CLIENT_SECRET, Gmail
from sandbox.gmail.signin import PREFIX
from sandbox.server import Sandbox

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BACK = "http://localhost:8710/callback/gmail"
RAW = (
    b"From: billing@larkspur.example\nTo: ada@ada.example\nSubject: Invoice 7\n"
    b"Message-ID: <own@larkspur.example>\n\nHi\n"
)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seed=1, now=NOON)


@pytest.fixture
def gmail(sandbox: Sandbox) -> Gmail:
    return sandbox.gmail


@pytest.fixture
def url(sandbox: Sandbox) -> Iterator[str]:
    with sandbox.serve() as url:
        yield url


SignIn = Callable[..., dict[str, Any]]


@pytest.fixture
def sign_in(url: str) -> SignIn:
    """Return the token of a consent to these scopes; ``changed`` are other parameters of the authorize URL."""

    def consent(*scopes: str, **changed: Any) -> dict[str, Any]:
        asked = {
            "client_id": CLIENT_ID, "redirect_uri": BACK, "response_type": "code", "access_type": "offline",
            "scope": " ".join(PREFIX + scope for scope in scopes), "sandbox_allow": "1", **changed,
        }  # fmt: skip
        reply = requests.get(f"{url}/o/oauth2/v2/auth", params=asked, allow_redirects=False, timeout=5)
        code = parse_qs(urlsplit(reply.headers["Location"]).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
        return exchange(url, **form)

    return consent


def exchange(url: str, **form: str) -> dict[str, Any]:
    """Ask the token endpoint."""
    asked = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **form}
    reply: dict[str, Any] = requests.post(f"{url}/token", data=asked, timeout=5).json()
    return reply


@pytest.fixture
def http(sign_in: SignIn) -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {sign_in('gmail.send', 'gmail.readonly')['access_token']}"
    return session
