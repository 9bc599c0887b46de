"""Intuit's errors in every format, classified by what to do about them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import responses

from providers.errors import PermanentError
from providers.http import TransportLimits
from providers.quickbooks.client import Client
from tests.providers.quickbooks.conftest import CallCounter

API = "https://quickbooks.api.intuit.com"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TRACE = {"intuit_tid": "1-abc"}


class Tokens:
    def __init__(self) -> None:
        self.number = 1
        self.rejected: list[str] = []

    def __call__(self, *, rejected_token: str | None = None) -> str:
        if rejected_token:
            self.rejected.append(rejected_token)
            self.number += 1
        return f"token-{self.number}"


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
def client(tokens: Tokens) -> Client:
    return Client(API, "123", tokens, CallCounter(), TransportLimits(sleep=lambda _seconds: None, now=lambda: NOW))


def fault(code: str, message: str, detail: str = "", kind: str = "ValidationFault") -> str:
    return json.dumps({"Fault": {"Error": [{"Message": message, "Detail": detail, "code": code}], "type": kind}})


@responses.activate
def test_error_contains_intuits_message_and_code(client: Client) -> None:
    body = fault("6140", "Duplicate Document Number Error", "DocNumber=1038 is assigned to another")
    responses.post(f"{API}/v3/company/123/invoice", body=body, status=400)
    with pytest.raises(PermanentError, match=r"6140.*Duplicate Document Number.*1038 is assigned"):
        client.create("Invoice", b"{}", "key")


@responses.activate
def test_throttled_read_is_retried_once(client: Client) -> None:
    responses.post(f"{API}/v3/company/123/query", body="busy", status=429)
    responses.post(f"{API}/v3/company/123/query", json={"QueryResponse": {}})
    assert client.query("SELECT * FROM Invoice") == b'{"QueryResponse": {}}'


@responses.activate
def test_request_is_sent_unchanged_with_minor_version_and_request_id(client: Client) -> None:
    responses.post(f"{API}/v3/company/123/invoice", json={})
    client.create("Invoice", b'{"DocNumber":"\xc3\xa4"}', "key")
    request = responses.calls[0].request
    assert request.body == b'{"DocNumber":"\xc3\xa4"}'
    assert request.params == {"minorversion": "75", "requestid": "key"}  # type: ignore[attr-defined]
