"""A served sandbox whose clock is stopped at noon, and SendGrid's SDK that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from sendgrid import SendGridAPIClient

from sandbox.sendgrid import API_KEY, SendGrid
from sandbox.server import Sandbox

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seed=1, now=NOON)


@pytest.fixture
def sendgrid(sandbox: Sandbox) -> SendGrid:
    return sandbox.sendgrid


@pytest.fixture
def url(sandbox: Sandbox) -> Iterator[str]:
    with sandbox.serve() as url:
        yield url


@pytest.fixture
def http(url: str) -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {API_KEY}"
    return session


@pytest.fixture
def sdk(url: str) -> Any:
    return SendGridAPIClient(API_KEY, host=url)


@pytest.fixture
def request_body() -> dict[str, Any]:
    """A valid request, for tests to make invalid."""
    return {
        "personalizations": [{"to": [{"email": "ada@ada.example"}], "custom_args": {"duewell_key": "k-1"}}],
        "from": {"email": "billing@larkspur.example", "name": "Larkspur"},
        "subject": "Invoice 1001 & its due day",
        "content": [
            {"type": "text/plain", "value": "Please pay <soon>."},
            {"type": "text/html", "value": "<p>Please <b>pay</b>.</p>"},
        ],
        "categories": ["reminder"],
    }
