"""Replies of every form, classified by what to do about them: the same for every ledger.

The bodies come from the providers' documents, their SDKs' fixtures and reports of other integrations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
import responses

from providers.errors import (
    AuthorizationExpired,
    OutcomeUnknown,
    PermanentError,
    ProviderError,
    RateLimited,
    TransientError,
)
from providers.http import TransportLimits
from providers.ledger import Ledger
from providers.quickbooks.client import Client as QuickBooksClient
from providers.quickbooks.ledger import QuickBooksLedger
from providers.xero.client import Client as XeroClient
from providers.xero.ledger import XeroLedger

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HTML = "<html>canary</html>"


class Reply(NamedTuple):
    """A provider's reply, the errors a read and a write raise for it, and a part of their message."""

    ledger: str
    status: int
    read_error: type[ProviderError]
    write_error: type[ProviderError]
    message_part: str
    body: str = HTML
    headers: tuple[tuple[str, str], ...] = ()


def fault(code: str, message: str) -> str:
    error = {"Message": message, "Detail": "", "code": code}
    return json.dumps({"Fault": {"Error": [error], "type": "ValidationFault"}})


def xero_error(message: str) -> str:
    elements = [{"ValidationErrors": [{"Message": message}]}]
    return json.dumps({"ErrorNumber": 10, "Type": "ValidationException", "Message": "x", "Elements": elements})


LOWER = json.dumps(
    {"warnings": None, "fault": {"error": [{"message": "Token expired", "detail": "x", "code": "3200"}], "type": "A"}}
)
XML = (
    '<?xml version="1.0" encoding="UTF-8"?><IntuitResponse xmlns="http://schema.intuit.com/finance/v3">'
    '<Fault type="THROTTLE"><Error code="3001"><Message>ThrottleExceeded</Message><Detail>Too &amp; fast</Detail>'
    "</Error></Fault></IntuitResponse>"
)
INVOICE_LIMIT_TEXT = "You have reached the limit of invoices you can approve"


def rate_limit_headers(name: str, wait: str = "61") -> tuple[tuple[str, str], ...]:
    return (("X-Rate-Limit-Problem", name), *((("Retry-After", wait),) if wait else ()))


REPLIES = [
    # refused permanently, with the provider's own message
    Reply("xero", 400, PermanentError, PermanentError, "status 400"),
    Reply(
        "xero", 400, PermanentError, PermanentError, "limit of invoices you can approve", xero_error(INVOICE_LIMIT_TEXT)
    ),
    Reply("xero", 400, PermanentError, PermanentError, "archived", xero_error("Account code '260' has been archived")),
    Reply("xero", 404, PermanentError, PermanentError, "does not know"),
    Reply("xero", 412, PermanentError, PermanentError, "status 412"),
    Reply("xero", 501, PermanentError, PermanentError, "501"),
    Reply("quickbooks", 400, PermanentError, PermanentError, "5010", fault("5010", "Stale Object Error")),
    Reply("quickbooks", 400, PermanentError, PermanentError, "6140", fault("6140", "Duplicate Document Number Error")),
    Reply("quickbooks", 400, PermanentError, PermanentError, "610", fault("610", "Object Not Found")),
    Reply("quickbooks", 200, PermanentError, PermanentError, "2010", fault("2010", "Request has invalid property")),
    Reply("quickbooks", 403, PermanentError, PermanentError, "5020", fault("5020", "Permission Denied")),
    Reply("quickbooks", 404, PermanentError, PermanentError, "404"),
    # a new consent is needed
    Reply("xero", 401, AuthorizationExpired, AuthorizationExpired, "connect it again"),
    Reply(
        "xero",
        401,
        AuthorizationExpired,
        AuthorizationExpired,
        "scope",
        headers=(("WWW-Authenticate", "insufficient_scope"),),
    ),
    Reply("xero", 403, AuthorizationExpired, AuthorizationExpired, "organisation"),
    Reply(
        "quickbooks",
        403,
        AuthorizationExpired,
        AuthorizationExpired,
        "withdrawn",
        fault("3100", "ApplicationAuthorizationFailed"),
    ),
    Reply("quickbooks", 401, AuthorizationExpired, AuthorizationExpired, "again", LOWER),
    *(
        Reply("quickbooks", status, AuthorizationExpired, AuthorizationExpired, "renew it in QuickBooks", body)
        for status in (200, 400, 403)
        for body in (
            fault("6190", "Error"),
            fault("7001", "Error"),
            fault("007001", "Error"),
            fault("", "Invalid Company Status"),
            fault("", "errorCode=007001; statusCode=403"),
            fault("", "Subscription for company has lapsed or Invalid destination URL is used."),
            fault("", "Subscription period has ended or canceled or there was a billing problem"),
        )
    ),
    Reply(
        "quickbooks", 401, AuthorizationExpired, AuthorizationExpired, "again", fault("120", "Authorization Failure")
    ),
    # limits
    Reply("xero", 429, RateLimited, RateLimited, "day", headers=rate_limit_headers("day", "66975")),
    Reply("xero", 429, RateLimited, RateLimited, "minute", headers=rate_limit_headers("minute")),
    Reply("xero", 429, RateLimited, RateLimited, "concurrent", headers=rate_limit_headers("concurrent", "")),
    Reply("xero", 429, RateLimited, RateLimited, r"\(app\)", headers=rate_limit_headers("appminute")),
    Reply("quickbooks", 403, RateLimited, RateLimited, "limit", XML),
    Reply("quickbooks", 429, RateLimited, RateLimited, "month", "monthly quota exceeded"),
    # the outcome is unknown; a read may simply be retried
    Reply("xero", 500, TransientError, OutcomeUnknown, "500"),
    Reply("xero", 503, TransientError, OutcomeUnknown, "HTML"),
    Reply("xero", 302, TransientError, OutcomeUnknown, "redirect", headers=(("Location", "https://evil.test/"),)),
    Reply("xero", 200, TransientError, OutcomeUnknown, "HTML"),
    Reply("quickbooks", 400, TransientError, OutcomeUnknown, "10000", XML.replace("3001", "10000")),
    Reply("quickbooks", 200, TransientError, OutcomeUnknown, "HTML"),
    Reply(
        "quickbooks", 500, TransientError, OutcomeUnknown, "500", fault("10000", "An application error has occurred")
    ),
    Reply("quickbooks", 503, TransientError, OutcomeUnknown, "HTML"),
    Reply("quickbooks", 302, TransientError, OutcomeUnknown, "redirect", ""),
]


class NoCalls:
    def before(self, kind: str) -> None:
        pass

    def after(self, kind: str, status: int, headers: Any) -> None:
        pass


class Token:
    """Returns a new access token after each rejected one."""

    def __init__(self) -> None:
        self.rejected: list[str] = []

    def __call__(self, *, rejected_token: str | None = None) -> str:
        self.rejected += [rejected_token] if rejected_token else []
        return f"token-{len(self.rejected)}"


LIMITS = TransportLimits(sleep=lambda _seconds: None, now=lambda: NOW)
OPEN_LEDGER: dict[str, Callable[[Token], Ledger]] = {
    "xero": lambda token: XeroLedger(XeroClient("https://api.xero.com", "t", token, NoCalls(), LIMITS)),
    "quickbooks": lambda token: QuickBooksLedger(
        QuickBooksClient("https://quickbooks.api.intuit.com", "123", token, NoCalls(), LIMITS)
    ),
}
ANY_URL = re.compile("https://.*")


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.mark.parametrize("reply", REPLIES, ids=lambda one: f"{one.ledger}-{one.status}-{one.message_part}")
def test_reply_is_classified_by_what_to_do(mocked: responses.RequestsMock, reply: Reply) -> None:
    for method in ("GET", "PUT", "POST"):
        mocked.add(method, ANY_URL, body=reply.body, status=reply.status, headers=dict(reply.headers))
    token = Token()
    ledger = OPEN_LEDGER[reply.ledger](token)
    with pytest.raises(ProviderError, match=reply.message_part) as read:
        ledger.find_note("i7", "k")
    before = len(mocked.calls)
    with pytest.raises(ProviderError, match=reply.message_part) as write:
        ledger.add_note("i7", "text", "key")
    assert (type(read.value), type(write.value)) == (reply.read_error, reply.write_error)
    assert "canary" not in f"{read.value}{write.value}"
    expected_calls = 2 if reply.status == 401 and not reply.headers else 1  # a rejected token is refreshed once
    assert len(mocked.calls) == before + expected_calls, "a write is sent once"


@pytest.mark.parametrize(
    ("ledger", "status", "body", "headers", "until"),
    [
        ("xero", 429, "", dict(rate_limit_headers("day", "66975")), timedelta(seconds=66975)),
        ("xero", 429, "", {"X-Rate-Limit-Problem": "day"}, timedelta(hours=1)),
        ("quickbooks", 429, "", {}, timedelta(seconds=60)),
        ("quickbooks", 429, "monthly quota", {}, timedelta(hours=1)),
    ],
)
def test_rate_limit_error_says_when_to_retry(
    mocked: responses.RequestsMock, ledger: str, status: int, body: str, headers: dict[str, str], until: timedelta
) -> None:
    for method in ("GET", "PUT", "POST"):
        mocked.add(method, ANY_URL, status=status, body=body, headers=headers)
    with pytest.raises(RateLimited) as limited:
        OPEN_LEDGER[ledger](Token()).add_note("i7", "text", "key")
    assert limited.value.retry_at == NOW + until


@pytest.mark.parametrize("ledger", OPEN_LEDGER)
def test_rejected_token_is_refreshed_once_and_the_write_repeated(mocked: responses.RequestsMock, ledger: str) -> None:
    reply = {"xero": {"HistoryRecords": []}, "quickbooks": {"Attachable": {"Id": "5", "Note": "text"}}}[ledger]
    for method in ("PUT", "POST"):
        mocked.add(method, ANY_URL, status=401, body=LOWER)
        mocked.add(method, ANY_URL, json=reply)
    token = Token()
    OPEN_LEDGER[ledger](token).add_note("i7", "text", "key")
    assert token.rejected == ["token-0"]
    assert [call.request.headers["Authorization"] for call in mocked.calls] == ["Bearer token-0", "Bearer token-1"]
