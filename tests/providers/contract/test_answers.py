"""Vendors' answers in every shape they come in, told apart by what to do about them: the same on every ledger.

The bodies are as the vendors' documents, their SDKs' fixtures and reports of other integrations have them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
import responses

from providers.errors import ProviderError, RateLimited, Reconnect, Rejected, TryLater, Unknown
from providers.http import Limits
from providers.ledger import Ledger
from providers.quickbooks.client import Client as QuickBooksClient
from providers.quickbooks.ledger import QuickBooksLedger
from providers.xero.client import Client as XeroClient
from providers.xero.ledger import XeroLedger

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HTML = "<html>canary</html>"


class Answer(NamedTuple):
    """What a vendor answers, what a read and a write make of it, and words of the sentence for people."""

    ledger: str
    status: int
    of_read: type[ProviderError]
    of_write: type[ProviderError]
    words: str
    body: str = HTML
    headers: tuple[tuple[str, str], ...] = ()


def fault(code: str, message: str) -> str:
    error = {"Message": message, "Detail": "", "code": code}
    return json.dumps({"Fault": {"Error": [error], "type": "ValidationFault"}})


def refusal(words: str) -> str:
    elements = [{"ValidationErrors": [{"Message": words}]}]
    return json.dumps({"ErrorNumber": 10, "Type": "ValidationException", "Message": "x", "Elements": elements})


LOWER = json.dumps(
    {"warnings": None, "fault": {"error": [{"message": "Token expired", "detail": "x", "code": "3200"}], "type": "A"}}
)
XML = (
    '<?xml version="1.0" encoding="UTF-8"?><IntuitResponse xmlns="http://schema.intuit.com/finance/v3">'
    '<Fault type="THROTTLE"><Error code="3001"><Message>ThrottleExceeded</Message><Detail>Too &amp; fast</Detail>'
    "</Error></Fault></IntuitResponse>"
)
PLAN = "You have reached the limit of invoices you can approve"


def limit(name: str, wait: str = "61") -> tuple[tuple[str, str], ...]:
    return (("X-Rate-Limit-Problem", name), *((("Retry-After", wait),) if wait else ()))


ANSWERS = [
    # refused for good, in the vendor's words
    Answer("xero", 400, Rejected, Rejected, "status 400"),
    Answer("xero", 400, Rejected, Rejected, "limit of invoices you can approve", refusal(PLAN)),
    Answer("xero", 400, Rejected, Rejected, "archived", refusal("Account code '260' has been archived")),
    Answer("xero", 404, Rejected, Rejected, "does not know"),
    Answer("xero", 412, Rejected, Rejected, "status 412"),
    Answer("xero", 501, Rejected, Rejected, "501"),
    Answer("quickbooks", 400, Rejected, Rejected, "5010", fault("5010", "Stale Object Error")),
    Answer("quickbooks", 400, Rejected, Rejected, "6140", fault("6140", "Duplicate Document Number Error")),
    Answer("quickbooks", 400, Rejected, Rejected, "610", fault("610", "Object Not Found")),
    Answer("quickbooks", 400, Rejected, Rejected, "subscription", fault("6190", "Invalid Company Status")),
    Answer("quickbooks", 200, Rejected, Rejected, "2010", fault("2010", "Request has invalid property")),
    Answer("quickbooks", 403, Rejected, Rejected, "5020", fault("5020", "Permission Denied")),
    Answer("quickbooks", 404, Rejected, Rejected, "404"),
    # only a new consent mends it
    Answer("xero", 401, Reconnect, Reconnect, "connect it again"),
    Answer("xero", 401, Reconnect, Reconnect, "scope", headers=(("WWW-Authenticate", "insufficient_scope"),)),
    Answer("xero", 403, Reconnect, Reconnect, "organisation"),
    Answer("quickbooks", 403, Reconnect, Reconnect, "withdrew", fault("3100", "ApplicationAuthorizationFailed")),
    Answer("quickbooks", 401, Reconnect, Reconnect, "again", LOWER),
    Answer("quickbooks", 401, Reconnect, Reconnect, "again", fault("120", "Authorization Failure")),
    # limits
    Answer("xero", 429, RateLimited, RateLimited, "day", headers=limit("day", "66975")),
    Answer("xero", 429, RateLimited, RateLimited, "minute", headers=limit("minute")),
    Answer("xero", 429, RateLimited, RateLimited, "concurrent", headers=limit("concurrent", "")),
    Answer("xero", 429, RateLimited, RateLimited, r"\(app\)", headers=limit("appminute")),
    Answer("quickbooks", 403, RateLimited, RateLimited, "limit", XML),
    Answer("quickbooks", 429, RateLimited, RateLimited, "month", "monthly quota exceeded"),
    # nobody knows, and a read may simply be tried again
    Answer("xero", 500, TryLater, Unknown, "500"),
    Answer("xero", 503, TryLater, Unknown, "HTML"),
    Answer("xero", 302, TryLater, Unknown, "redirect", headers=(("Location", "https://evil.test/"),)),
    Answer("xero", 200, TryLater, Unknown, "HTML"),
    Answer("quickbooks", 400, TryLater, Unknown, "10000", XML.replace("3001", "10000")),
    Answer("quickbooks", 200, TryLater, Unknown, "HTML"),
    Answer("quickbooks", 500, TryLater, Unknown, "500", fault("10000", "An application error has occurred")),
    Answer("quickbooks", 503, TryLater, Unknown, "HTML"),
    Answer("quickbooks", 302, TryLater, Unknown, "redirect", ""),
]


class NoCalls:
    def before(self, kind: str) -> None:
        pass

    def after(self, kind: str, status: int, headers: Any) -> None:
        pass


class Token:
    """An access token; whatever is rejected, another one follows."""

    def __init__(self) -> None:
        self.rejected: list[str] = []

    def __call__(self, *, rejected: str | None = None) -> str:
        self.rejected += [rejected] if rejected else []
        return f"token-{len(self.rejected)}"


LIMITS = Limits(sleep=lambda _seconds: None, now=lambda: NOW)
OPEN: dict[str, Callable[[Token], Ledger]] = {
    "xero": lambda token: XeroLedger(XeroClient("https://api.xero.com", "t", token, NoCalls(), LIMITS)),
    "quickbooks": lambda token: QuickBooksLedger(
        QuickBooksClient("https://quickbooks.api.intuit.com", "123", token, NoCalls(), LIMITS)
    ),
}
ANYWHERE = re.compile("https://.*")


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda one: f"{one.ledger}-{one.status}-{one.words}")
def test_every_answer_is_told_by_what_to_do(mocked: responses.RequestsMock, answer: Answer) -> None:
    for method in ("GET", "PUT", "POST"):
        mocked.add(method, ANYWHERE, body=answer.body, status=answer.status, headers=dict(answer.headers))
    token = Token()
    ledger = OPEN[answer.ledger](token)
    with pytest.raises(ProviderError, match=answer.words) as read:
        ledger.find_note("i7", "k")
    before = len(mocked.calls)
    with pytest.raises(ProviderError, match=answer.words) as written:
        ledger.add_note("i7", "text", "key")
    assert (type(read.value), type(written.value)) == (answer.of_read, answer.of_write)
    assert "canary" not in f"{read.value}{written.value}"
    again = 2 if answer.status == 401 and not answer.headers else 1  # a rejected token is renewed once
    assert len(mocked.calls) == before + again, "a write leaves once"


@pytest.mark.parametrize(
    ("ledger", "status", "body", "headers", "until"),
    [
        ("xero", 429, "", dict(limit("day", "66975")), timedelta(seconds=66975)),
        ("xero", 429, "", {"X-Rate-Limit-Problem": "day"}, timedelta(hours=1)),
        ("quickbooks", 429, "", {}, timedelta(seconds=60)),
        ("quickbooks", 429, "monthly quota", {}, timedelta(hours=1)),
    ],
)
def test_a_limit_says_until_when(
    mocked: responses.RequestsMock, ledger: str, status: int, body: str, headers: dict[str, str], until: timedelta
) -> None:
    for method in ("GET", "PUT", "POST"):
        mocked.add(method, ANYWHERE, status=status, body=body, headers=headers)
    with pytest.raises(RateLimited) as limited:
        OPEN[ledger](Token()).add_note("i7", "text", "key")
    assert limited.value.not_before_at == NOW + until


@pytest.mark.parametrize("ledger", OPEN)
def test_a_rejected_token_is_renewed_once_and_the_write_made_again(mocked: responses.RequestsMock, ledger: str) -> None:
    done = {"xero": {"HistoryRecords": []}, "quickbooks": {"Attachable": {"Id": "5", "Note": "text"}}}[ledger]
    for method in ("PUT", "POST"):
        mocked.add(method, ANYWHERE, status=401, body=LOWER)
        mocked.add(method, ANYWHERE, json=done)
    token = Token()
    OPEN[ledger](token).add_note("i7", "text", "key")
    assert token.rejected == ["token-0"]
    assert [call.request.headers["Authorization"] for call in mocked.calls] == ["Bearer token-0", "Bearer token-1"]
