"""Intuit's refusals in every shape they come in, told apart by what to do about them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import responses

from providers.errors import ProviderError, RateLimited, Reconnect, Rejected, TryLater, Unknown
from providers.http import Limits
from providers.quickbooks.client import Client
from tests.providers.quickbooks.conftest import Counted

API = "https://quickbooks.api.intuit.com"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TRACE = {"intuit_tid": "1-abc"}


class Tokens:
    def __init__(self) -> None:
        self.number = 1
        self.rejected: list[str] = []

    def __call__(self, *, rejected: str | None = None) -> str:
        if rejected:
            self.rejected.append(rejected)
            self.number += 1
        return f"token-{self.number}"


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
def client(tokens: Tokens) -> Client:
    return Client(API, "123", tokens, Counted(), Limits(sleep=lambda _seconds: None, now=lambda: NOW))


def fault(code: str, message: str, detail: str = "", kind: str = "ValidationFault") -> str:
    return json.dumps({"Fault": {"Error": [{"Message": message, "Detail": detail, "code": code}], "type": kind}})


LOWER = json.dumps(
    {"warnings": None, "fault": {"error": [{"message": "Token expired", "detail": "x", "code": "3200"}], "type": "A"}}
)
XML = (
    '<?xml version="1.0" encoding="UTF-8"?><IntuitResponse xmlns="http://schema.intuit.com/finance/v3">'
    '<Fault type="THROTTLE"><Error code="3001"><Message>ThrottleExceeded</Message><Detail>Too &amp; fast</Detail>'
    "</Error></Fault></IntuitResponse>"
)

TABLE = [
    (400, fault("5010", "Stale Object Error", "You and Kim were working on this"), Rejected, "5010"),
    (400, fault("6140", "Duplicate Document Number Error"), Rejected, "6140"),
    (400, fault("610", "Object Not Found"), Rejected, "610"),
    (400, fault("6190", "Invalid Company Status"), Rejected, "6190"),
    (200, fault("2010", "Request has invalid or unsupported property"), Rejected, "2010"),
    (403, fault("5020", "Permission Denied"), Rejected, "5020"),
    (404, "<html><body>Not Found</body></html>", Rejected, "404"),
    (403, fault("3100", "ApplicationAuthorizationFailed"), Reconnect, None),
    (401, LOWER, Reconnect, None),
    (401, fault("120", "Authorization Failure"), Reconnect, None),
    (403, XML, RateLimited, None),
    (400, XML.replace("3001", "10000"), Unknown, None),
    (200, "<html>Sign in</html>", Unknown, None),
    (500, fault("10000", "An application error has occurred"), Unknown, None),
    (503, "<html>busy</html>", Unknown, None),
    (302, "", Unknown, None),
]


@pytest.mark.parametrize(("status", "body", "error", "code"), TABLE)
@responses.activate
def test_a_write_that_fails_says_what_to_do(
    client: Client, status: int, body: str, error: type[ProviderError], code: str | None
) -> None:
    responses.post(f"{API}/v3/company/123/invoice", body=body, status=status, headers=TRACE)
    with pytest.raises(error) as raised:
        client.create("Invoice", b"{}", "key")
    assert type(raised.value) is error
    assert raised.value.reference == "1-abc"
    if isinstance(raised.value, Rejected):
        assert raised.value.code == code


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html>Sign in</html>"), (503, "busy"), (500, fault("10000", "An application error")), (302, "")],
)
@responses.activate
def test_a_read_that_fails_oddly_is_tried_later(client: Client, status: int, body: str) -> None:
    responses.post(f"{API}/v3/company/123/query", body=body, status=status, headers=TRACE)
    with pytest.raises(TryLater):
        client.query("SELECT * FROM Invoice")


@responses.activate
def test_intuits_words_and_code_reach_the_reader(client: Client) -> None:
    body = fault("6140", "Duplicate Document Number Error", "DocNumber=1038 is assigned to another")
    responses.post(f"{API}/v3/company/123/invoice", body=body, status=400)
    with pytest.raises(Rejected, match=r"6140.*Duplicate Document Number.*1038 is assigned"):
        client.create("Invoice", b"{}", "key")


@responses.activate
def test_a_throttled_call_may_be_tried_after_a_minute(client: Client) -> None:
    responses.post(f"{API}/v3/company/123/invoice", body=XML, status=429, headers=TRACE)
    with pytest.raises(RateLimited) as limited:
        client.create("Invoice", b"{}", "key")
    assert limited.value.limit == "minute"
    assert limited.value.not_before_at == NOW + timedelta(seconds=60)


@responses.activate
def test_a_throttled_read_is_waited_for_once(client: Client) -> None:
    responses.post(f"{API}/v3/company/123/query", body=XML, status=429)
    responses.post(f"{API}/v3/company/123/query", json={"QueryResponse": {}})
    assert client.query("SELECT * FROM Invoice") == b'{"QueryResponse": {}}'


@responses.activate
def test_the_months_allowance_is_no_minutes_limit(client: Client) -> None:
    body = fault("3001", "Monthly quota of CorePlus calls exceeded")
    responses.post(f"{API}/v3/company/123/query", body=body, status=429)
    with pytest.raises(RateLimited) as limited:
        client.query("SELECT * FROM Invoice")
    assert limited.value.limit == "month"


@responses.activate
def test_a_rejected_token_is_refreshed_once_and_the_call_repeated(client: Client, tokens: Tokens) -> None:
    responses.post(f"{API}/v3/company/123/invoice", body=LOWER, status=401)
    responses.post(f"{API}/v3/company/123/invoice", json={"Invoice": {"Id": "1"}})
    client.create("Invoice", b"{}", "key")
    assert tokens.rejected == ["token-1"]
    first, second = (call.request for call in responses.calls)
    assert second.headers["Authorization"] == "Bearer token-2"
    assert (first.url, first.body) == (second.url, second.body)


@responses.activate
def test_what_is_sent_is_what_was_given_and_carries_version_and_request_id(client: Client) -> None:
    responses.post(f"{API}/v3/company/123/invoice", json={})
    client.create("Invoice", b'{"DocNumber":"\xc3\xa4"}', "key")
    request = responses.calls[0].request
    assert request.body == b'{"DocNumber":"\xc3\xa4"}'
    assert request.params == {"minorversion": "75", "requestid": "key"}  # type: ignore[attr-defined]
