"""SendGrid: the payload, responses classified by what to do, searching, and suppressed addresses."""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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
from providers.mailer import Email, SendReceipt
from providers.sendgrid import build_mailer
from providers.sendgrid.client import build_payload
from providers.sendgrid.mailer import SendGridMailer
from sandbox.faults import Rule
from sandbox.sendgrid.service import API_KEY
from sandbox.server import Sandbox
from tests.providers.mailers.conftest import CallCounter, serve_once

API = "https://api.sendgrid.com"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SPEC = Path(__file__).parents[3].parent / "shared" / "vendor" / "sendgrid" / "tsg_mail_v3.json"


def limits(**changed: Any) -> TransportLimits:
    return TransportLimits(sleep=lambda _seconds: None, now=lambda: NOW, **changed)


@pytest.fixture
def mailer(calls: CallCounter) -> SendGridMailer:
    return SendGridMailer(API, "SG.key", calls, limits())


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(1, NOW)


@pytest.fixture
def sandbox_mailer(sandbox: Sandbox, calls: CallCounter) -> Iterator[SendGridMailer]:
    with sandbox.serve() as url:
        yield SendGridMailer(url, API_KEY, calls, limits())


# the payload


def test_key_is_a_custom_argument_so_that_events_contain_it(email: Email) -> None:
    (personalization,) = build_payload(email)["personalizations"]
    assert personalization["custom_args"] == {"duewell_key": email.key, "duewell_attempt": "1"}
    assert personalization["headers"]["Message-ID"] == "<abc123@larkspur.example>"
    assert [one["email"] for one in personalization["to"]] == ["ada@example.com", "office@example.com"]


@pytest.mark.parametrize(("opens", "clicks"), [(True, False), (False, True), (True, True)])
def test_opens_and_clicks_are_tracked_only_where_the_email_says_so(email: Email, *, opens: bool, clicks: bool) -> None:
    assert build_payload(dataclasses.replace(email, track_opens=opens, track_clicks=clicks))["tracking_settings"] == {
        "click_tracking": {"enable": clicks, "enable_text": False},
        "open_tracking": {"enable": opens},
        "subscription_tracking": {"enable": False},
    }


def test_text_precedes_html_and_tracking_is_off(email: Email) -> None:
    body = build_payload(email)
    assert [one["type"] for one in body["content"]] == ["text/plain", "text/html"]
    assert body["categories"] == ["reminder-past_due"]
    assert body["reply_to"] == {"email": "books@larkspur.example"}
    assert body["tracking_settings"] == {
        "click_tracking": {"enable": False, "enable_text": False},
        "open_tracking": {"enable": False},
        "subscription_tracking": {"enable": False},
    }
    assert body["attachments"][0]["filename"] == "invoice-1038.pdf"
    assert "asm" not in body
    assert "mail_settings" not in body


def test_duplicate_address_gets_one_email(email: Email) -> None:
    twice = dataclasses.replace(email, to=("ada@example.com", "Ada@Example.com"))
    assert len(build_payload(twice)["personalizations"][0]["to"]) == 1


def test_payload_matches_sendgrids_openapi_document(email: Email) -> None:
    if not SPEC.exists():
        pytest.skip("SendGrid's OpenAPI document is not beside this checkout (../shared/vendor)")
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    spec = json.loads(SPEC.read_text(encoding="utf-8"))
    asked = spec["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    validator = jsonschema_rs.validator_for({**asked, "components": spec["components"]})
    assert not validator.is_valid({**build_payload(email), "from": {}}), "the document does check"
    assert [error.message for error in validator.iter_errors(build_payload(email))] == []


# the table of responses (README.md), row by row

REPLY_CASES = [
    (200, {"X-Message-Id": "abc"}, "", OutcomeUnknown),  # the response in sandbox mode
    (202, {}, "", OutcomeUnknown),
    (301, {"Location": "https://example.org/"}, "", OutcomeUnknown),
    (303, {"Location": f"{API}/v3/mail/send"}, "", OutcomeUnknown),
    (400, {}, '{"errors": [{"message": "Does not contain a valid address.", "field": "from.email"}]}', PermanentError),
    (404, {}, "", PermanentError),
    (405, {}, "", PermanentError),
    (413, {}, '{"errors": [{"message": "too large"}]}', PermanentError),
    (415, {}, "<html>", PermanentError),
    (401, {}, '{"errors": [{"message": "The provided authorization grant is invalid"}]}', AuthorizationExpired),
    (403, {}, '{"errors": [{"message": "The from address does not match a verified Sender"}]}', AuthorizationExpired),
    (429, {}, "", RateLimited),
    (500, {}, "", OutcomeUnknown),
    (502, {}, "<html>", OutcomeUnknown),
    (503, {}, "", OutcomeUnknown),
    (504, {}, "", OutcomeUnknown),
]


@pytest.mark.parametrize(("status", "headers", "body", "error"), REPLY_CASES)
@responses.activate
def test_each_response_is_classified_by_what_to_do(
    mailer: SendGridMailer,
    email: Email,
    status: int,
    headers: dict[str, str],
    body: str,
    error: type[ProviderError],
) -> None:
    responses.post(f"{API}/v3/mail/send", status=status, headers=headers, body=body)
    with pytest.raises(error) as raised:
        mailer.send(email)
    assert type(raised.value) is error
    assert len(responses.calls) == 1, "an email is sent at most once"
    assert "SG.key" not in str(raised.value)


@responses.activate
def test_accepted_means_202_with_an_id(mailer: SendGridMailer, email: Email, calls: CallCounter) -> None:
    responses.post(f"{API}/v3/mail/send", status=202, headers={"X-Message-Id": "abc"})
    assert mailer.send(email) == SendReceipt("abc")
    assert calls.kinds == ["email"]
    assert responses.calls[0].request.headers["Authorization"] == "Bearer SG.key"


@responses.activate
def test_rejection_contains_sendgrids_message(mailer: SendGridMailer, email: Email) -> None:
    problem = {"message": "Does not contain a valid address.", "field": "personalizations.0.to.0.email"}
    responses.post(f"{API}/v3/mail/send", status=400, json={"errors": [problem]})
    with pytest.raises(PermanentError, match=r"valid address\. \(personalizations.0.to.0.email\)"):
        mailer.send(email)


@responses.activate
def test_rate_limit_is_waited_for_as_long_as_sendgrid_says(mailer: SendGridMailer, email: Email) -> None:
    reset_at = NOW + timedelta(seconds=17)
    headers = {"X-RateLimit-Reset": str(int(reset_at.timestamp()))}
    responses.post(f"{API}/v3/mail/send", status=429, headers=headers)
    with pytest.raises(RateLimited) as limited:
        mailer.send(email)
    assert limited.value.retry_at == reset_at


def test_refused_connection_means_the_email_was_not_sent(email: Email, calls: CallCounter, closed_port: int) -> None:
    with pytest.raises(TransientError, match="nothing was sent"):
        SendGridMailer(f"http://127.0.0.1:{closed_port}", "SG.key", calls, limits()).send(email)


def received(connection: socket.socket) -> None:
    """Read the whole request."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 202 Acc", b"HTTP/1.1 202 Accepted\r\nX-Message-Id: abc\r\nContent-Length: 9\r\n\r\nab"]
)
def test_connection_lost_after_sending_makes_the_outcome_unknown(
    email: Email, calls: CallCounter, answer: bytes
) -> None:
    def cut(connection: socket.socket) -> None:
        received(connection)
        connection.sendall(answer)

    with serve_once(cut) as port, pytest.raises(OutcomeUnknown):
        SendGridMailer(f"http://127.0.0.1:{port}", "SG.key", calls, limits()).send(email)


def test_no_response_after_sending_makes_the_outcome_unknown(email: Email, calls: CallCounter) -> None:
    def hush(connection: socket.socket) -> None:
        received(connection)
        connection.settimeout(3)
        connection.recv(1)  # until the mailer hangs up

    with serve_once(hush) as port, pytest.raises(OutcomeUnknown):
        SendGridMailer(f"http://127.0.0.1:{port}", "SG.key", calls, limits(read_timeout_s=0.05)).send(email)


# at the sandbox


def test_email_arrives_as_composed(sandbox_mailer: SendGridMailer, sandbox: Sandbox, email: Email) -> None:
    accepted = sandbox_mailer.send(email)
    (arrived,) = sandbox.sendgrid.emails_to("ada@example.com")
    assert arrived.subject == email.subject
    assert arrived.custom_args["duewell_key"] == email.key
    assert accepted.message_id


def test_email_whose_response_was_lost_is_found_by_its_key(
    sandbox_mailer: SendGridMailer, sandbox: Sandbox, email: Email
) -> None:
    sandbox_mailer.send(dataclasses.replace(email, key="another"))
    sandbox.faults.add(Rule("drop_after", kind="email"))
    with pytest.raises(OutcomeUnknown):
        sandbox_mailer.send(email)
    assert sandbox_mailer.find_sent(email.key, email.to, NOW) is not None
    assert sandbox_mailer.find_sent("never sent", email.to, NOW) is None
    assert len(sandbox.sendgrid.emails()) == 2


def test_email_to_an_address_with_an_apostrophe_is_found(
    sandbox_mailer: SendGridMailer, sandbox: Sandbox, email: Email
) -> None:
    irish = dataclasses.replace(email, to=("pat.o'neil@example.com",))
    sandbox_mailer.send(irish)
    assert sandbox_mailer.find_sent(irish.key, irish.to, NOW) is not None


def test_email_of_the_previous_day_is_not_searched_for(sandbox_mailer: SendGridMailer, email: Email) -> None:
    sandbox_mailer.send(email)
    assert sandbox_mailer.find_sent(email.key, email.to, NOW + timedelta(hours=1)) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bounces", "bounced (550 5.1.1 no such user here)"),
        ("invalid_emails", "invalid"),
        ("spam_reports", "spam"),
        ("unsubscribes", "unsubscribed"),
    ],
)
def test_suppressed_addresses_are_read_with_their_reasons(
    sandbox_mailer: SendGridMailer, sandbox: Sandbox, name: str, reason: str
) -> None:
    sandbox.sendgrid.suppress("ada@example.com", name)
    suppressed = sandbox_mailer.find_suppressions(["bo@example.com", "Ada@example.com"])
    assert list(suppressed) == ["Ada@example.com"]
    found = suppressed["Ada@example.com"]
    assert reason in found.reason
    assert (found.refused_at is not None) == (name in {"bounces", "invalid_emails"})


@pytest.mark.parametrize(
    ("listed", "asked_about", "calls_at_most"), [(3, 40, 4), (1200, 40, 6), (1200, 1, 5), (30_000, 2, 7)]
)
def test_suppression_lists_are_read_in_bulk_unless_they_are_longer_than_the_batch(
    sandbox_mailer: SendGridMailer, sandbox: Sandbox, listed: int, asked_about: int, calls_at_most: int
) -> None:
    for n in range(listed):
        sandbox.sendgrid.suppress(f"gone{n}@example.com")
    last = f"gone{listed - 1}@example.com"
    before = len(sandbox.requests)
    found = sandbox_mailer.find_suppressions([*(f"well{n}@example.com" for n in range(asked_about - 1)), last])
    assert list(found) == [last]
    assert len(sandbox.requests) - before <= calls_at_most


def test_api_key_limited_to_sending_can_send(sandbox: Sandbox, calls: CallCounter, email: Email) -> None:
    sandbox.sendgrid.keys["SG.small"] = frozenset({"mail"})
    with sandbox.serve() as url:
        small = SendGridMailer(url, "SG.small", calls, limits())
        assert small.find_suppressions(["ada@example.com"]) == {}
        assert small.send(email).message_id
        with pytest.raises(AuthorizationExpired):
            small.find_sent(email.key, email.to, NOW)


def test_mailer_is_built_from_the_settings(sandbox: Sandbox, calls: CallCounter) -> None:
    class Settings:
        sendgrid_api_url = API
        sendgrid_api_key = "SG.key"

    made = build_mailer(Settings(), calls)
    assert (made.name, made.can_find_sent) == ("SendGrid", True)
