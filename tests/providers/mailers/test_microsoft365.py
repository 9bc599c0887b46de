"""Microsoft 365: what Graph's replies mean, how large an email may be, and what of the inbox is listed."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import responses

from providers.errors import (
    AuthorizationExpired,
    LimitWindow,
    OutcomeUnknown,
    PermanentError,
    ProviderError,
    RateLimited,
    TransientError,
)
from providers.mailer import Email
from providers.message import message_id
from providers.microsoft365 import mailbox as module
from providers.microsoft365.mailbox import MESSAGES_A_MINUTE, Microsoft365Mailbox
from providers.microsoft365.service import _SOMEBODY_MUST_ACT
from sandbox import Sandbox
from sandbox.faults import Rule
from tests.providers.mailers.conftest import CallCounter
from tests.providers.mailers.contract import LIMITS, NOW, SENDER, Site, microsoft365_site

API = "https://graph.microsoft.com"
SENDMAIL = f"{API}/v1.0/me/sendMail"
DAY = timedelta(days=1)


@pytest.fixture
def reminder(email: Email) -> Email:
    own = ("Message-ID", message_id(email.key, "larkspur.example"))
    return dataclasses.replace(email, sender=SENDER, headers=(own, *email.headers[1:]))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with microsoft365_site(tmp_path) as site:
        yield site


@pytest.fixture
def sandbox(site: Site) -> Sandbox:
    return site.sandbox


@pytest.fixture
def mailbox(site: Site) -> Microsoft365Mailbox:
    assert isinstance(site.mailer, Microsoft365Mailbox)
    return site.mailer


def at_graph(calls: CallCounter, token: Callable[..., str] = lambda **_: "token") -> Microsoft365Mailbox:
    return Microsoft365Mailbox(API, "larkspur.example", token, calls, LIMITS)


def refusal(status: int, code: str, message: str = "No.") -> dict[str, Any]:
    return {"status": status, "json": {"error": {"code": code, "message": message, "innerError": {}}}}


# replies


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (refusal(400, "ErrorMimeContentInvalidBase64String"), PermanentError),
        (refusal(400, "ErrorInvalidRecipients"), PermanentError),
        (refusal(413, "RequestEntityTooLarge"), PermanentError),
        (refusal(403, "ErrorSendAsDenied"), AuthorizationExpired),
        (refusal(403, "SomethingElse"), AuthorizationExpired),
        (refusal(401, "InvalidAuthenticationToken"), AuthorizationExpired),
        (refusal(507, "ErrorQuotaExceeded"), OutcomeUnknown),  # a server error may come after the email was taken
        (refusal(403, "ErrorExceededMessageLimit"), RateLimited),
        (refusal(429, "ApplicationThrottled"), RateLimited),
        (refusal(504, "ErrorServerBusy"), OutcomeUnknown),
        ({"status": 200, "body": "<html>hello</html>"}, OutcomeUnknown),
        ({"status": 302, "headers": {"Location": "https://elsewhere.example"}}, OutcomeUnknown),
    ],
    ids=lambda value: value["json"]["error"]["code"] if isinstance(value, dict) and "json" in value else "",
)
@responses.activate
def test_each_reply_says_what_to_do(
    calls: CallCounter, reminder: Email, reply: dict[str, Any], expected: type[ProviderError]
) -> None:
    responses.add(responses.POST, SENDMAIL, **reply)
    with pytest.raises(expected) as caught:
        at_graph(calls).send(reminder)
    assert type(caught.value) is expected
    assert "ada@" not in str(caught.value)


@responses.activate
def test_the_limit_of_recipients_a_day_ends_sending_for_longer_than_a_minute(
    calls: CallCounter, reminder: Email
) -> None:
    responses.add(responses.POST, SENDMAIL, **refusal(403, "ErrorExceededMessageLimit"))
    with pytest.raises(RateLimited) as caught:
        at_graph(calls).send(reminder)
    assert caught.value.limit is LimitWindow.DAY


def test_readme_names_each_code_for_which_somebody_must_act() -> None:
    readme = Path("providers/microsoft365/README.md")
    text = (Path(__file__).parents[3] / readme).read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z]\w+)`", text))
    assert set(_SOMEBODY_MUST_ACT) <= named


@responses.activate
def test_a_202_that_names_a_time_to_wait_is_sent_once(calls: CallCounter, reminder: Email) -> None:
    # github.com/microsoftgraph/msgraph-sdk-java/issues/1487: a client that waits and sends again doubles the email
    responses.add(responses.POST, SENDMAIL, status=202, headers={"Retry-After": "5"})
    assert at_graph(calls).send(reminder).message_id == dict(reminder.headers)["Message-ID"]
    assert len(responses.calls) == 1


def test_what_was_sent_although_graph_said_429_is_not_sent_again(
    sandbox: Sandbox, mailbox: Microsoft365Mailbox, reminder: Email
) -> None:
    headers = {"Retry-After": "30"}
    rule = Rule("refuse", service="microsoft365", kind="email", status=429, headers=headers, applied=True)
    sandbox.faults.add(rule)
    with pytest.raises(RateLimited):
        mailbox.send(reminder)
    receipt = mailbox.send(dataclasses.replace(reminder, attempt=2))
    assert receipt.message_id == dict(reminder.headers)["Message-ID"]
    assert len(sandbox.microsoft365.sent()) == 1


def test_a_second_attempt_at_what_was_not_sent_sends_it(
    sandbox: Sandbox, mailbox: Microsoft365Mailbox, reminder: Email
) -> None:
    mailbox.send(dataclasses.replace(reminder, attempt=2))
    assert len(sandbox.microsoft365.sent()) == 1


def test_a_draft_that_exchange_has_not_sent_is_not_taken_for_sent(
    sandbox: Sandbox, mailbox: Microsoft365Mailbox, reminder: Email
) -> None:
    sandbox.microsoft365.mailbox.keeps_drafts = True
    mailbox.send(reminder)
    assert mailbox.find_sent(reminder.key, reminder.to, NOW) is None


def test_a_second_attempt_while_the_first_is_still_a_draft_sends_nothing(
    sandbox: Sandbox, mailbox: Microsoft365Mailbox, reminder: Email
) -> None:
    sandbox.microsoft365.mailbox.keeps_drafts = True
    mailbox.send(reminder)
    with pytest.raises(OutcomeUnknown, match="may yet send it"):
        mailbox.send(dataclasses.replace(reminder, attempt=2))
    assert len(sandbox.microsoft365.sent()) == 1


def test_it_is_found_wherever_its_owner_moved_it(
    sandbox: Sandbox, mailbox: Microsoft365Mailbox, reminder: Email
) -> None:
    mailbox.send(reminder)
    sandbox.microsoft365.sent()[0].folder = "deleteditems"
    assert mailbox.find_sent(reminder.key, reminder.to, NOW) is not None


def test_a_rejected_token_is_replaced_once_and_the_email_is_sent_once(calls: CallCounter, reminder: Email) -> None:
    asked: list[str | None] = []

    def token(*, rejected_token: str | None = None) -> str:
        asked.append(rejected_token)
        return "new" if rejected_token else "old"

    with responses.RequestsMock() as mocked:
        mocked.add(responses.POST, SENDMAIL, **refusal(401, "InvalidAuthenticationToken"))
        mocked.add(responses.POST, SENDMAIL, status=202)
        at_graph(calls, token).send(reminder)
        assert [each.request.headers["Authorization"] for each in mocked.calls] == ["Bearer old", "Bearer new"]
    assert asked == [None, "old"]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [(OutcomeUnknown("lost"), TransientError), (PermanentError("the secret"), AuthorizationExpired)],
)
def test_a_failing_token_refresh_says_nothing_about_the_email(
    calls: CallCounter, reminder: Email, failure: ProviderError, expected: type[ProviderError]
) -> None:
    def token(**_: object) -> str:
        raise failure

    with pytest.raises(expected):
        at_graph(calls, token).send(reminder)


@responses.activate
def test_emails_are_spread_so_that_exchange_takes_them(
    calls: CallCounter, reminder: Email, monkeypatch: pytest.MonkeyPatch
) -> None:
    responses.add(responses.POST, SENDMAIL, status=202)
    seconds, waited = [0.0], []

    def sleep(duration: float) -> None:
        waited.append(duration)
        seconds[0] += duration

    monkeypatch.setattr("providers.microsoft365.mailbox.time.monotonic", lambda: seconds[0])
    limits = dataclasses.replace(LIMITS, sleep=sleep)
    mailbox = Microsoft365Mailbox(API, "larkspur.example", lambda **_: "token", calls, limits)
    for number in range(MESSAGES_A_MINUTE + 1):
        mailbox.send(dataclasses.replace(reminder, key=str(number)))
    assert sum(waited) == pytest.approx(60, abs=1)


# the message


@responses.activate
def test_the_message_is_base64_of_mime_with_our_own_headers(calls: CallCounter, reminder: Email) -> None:
    responses.add(responses.POST, SENDMAIL, status=202)
    at_graph(calls).send(dataclasses.replace(reminder, bcc=("owner@larkspur.example",)))
    request = responses.calls[0].request
    assert request.headers["Content-Type"] == "text/plain"
    mime = base64.b64decode(request.body or "", validate=True).decode()
    assert f"Message-ID: {dict(reminder.headers)['Message-ID']}\r\n" in mime
    assert "Bcc: owner@larkspur.example\r\n" in mime
    assert f"List-Unsubscribe: {dict(reminder.headers)['List-Unsubscribe']}\r\n" in mime


# arrivals


def references_of(mailbox: Microsoft365Mailbox, cursor: str = "") -> list[tuple[str, ...]]:
    pages = list(mailbox.list_arrivals(cursor, NOW - DAY))
    return [each.references for page in pages for each in page.arrivals]


def test_a_reply_names_what_it_answers_and_can_be_read_whole(
    sandbox: Sandbox, mailbox: Microsoft365Mailbox, reminder: Email
) -> None:
    mailbox.send(reminder)
    sandbox.microsoft365.reply(1, "Paid on Monday.")
    [page] = mailbox.list_arrivals("", NOW - DAY)
    [arrival] = page.arrivals
    assert arrival.references == (dict(reminder.headers)["Message-ID"],)
    assert arrival.sender == reminder.to[0]
    assert not arrival.may_be_report
    assert b"Paid on Monday." in (mailbox.read_arrival(arrival.id) or b"")


def test_only_what_is_needed_of_a_message_is_asked_for(sandbox: Sandbox, mailbox: Microsoft365Mailbox) -> None:
    list(mailbox.list_arrivals("", NOW - DAY))
    [request] = sandbox.requests.filter_by("microsoft365", "read")
    assert "$select=receivedDateTime,from,conversationId&" in request.query.replace("%24", "$").replace("%2C", ",")
    assert "subject" not in request.query
    assert "body" not in request.query


def test_a_round_goes_on_where_the_last_one_ended(
    sandbox: Sandbox, mailbox: Microsoft365Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    for number in range(5):
        sandbox.microsoft365.receive_text("ann@ann.example", "hello", In_Reply_To=f"<{number}@x.example>")
    pages = list(mailbox.list_arrivals("", NOW - DAY))
    assert [len(page.arrivals) for page in pages] == [2, 2, 1]
    assert references_of(mailbox, pages[0].cursor) == [("<2@x.example>",), ("<3@x.example>",), ("<4@x.example>",)]
    assert references_of(mailbox, pages[-1].cursor) == []
    sandbox.microsoft365.receive_text("ann@ann.example", "hello", In_Reply_To="<6@x.example>")
    assert references_of(mailbox, pages[-1].cursor) == [("<6@x.example>",)]


def test_a_position_that_graph_forgot_begins_again_at_the_date(sandbox: Sandbox, mailbox: Microsoft365Mailbox) -> None:
    [first] = mailbox.list_arrivals("", NOW - DAY)
    sandbox.microsoft365.forget_positions()
    sandbox.microsoft365.receive_text("ann@ann.example", "hello", In_Reply_To="<1@x.example>")
    [again] = mailbox.list_arrivals(first.cursor, NOW - DAY)
    assert again.restarted
    assert [each.references for each in again.arrivals] == [("<1@x.example>",)]
    [third] = mailbox.list_arrivals(first.cursor, NOW + DAY)
    assert third.arrivals == []


def test_a_position_is_stored_without_a_host(mailbox: Microsoft365Mailbox) -> None:
    [page] = mailbox.list_arrivals("", NOW - DAY)
    assert page.cursor.startswith("/me/mailFolders/inbox/messages/delta?")


@responses.activate
def test_a_link_to_another_host_is_never_followed(calls: CallCounter) -> None:
    link = "https://graph.microsoft.com.evil.example/v1.0/me/messages/delta?$skiptoken=x"
    url = f"{API}/v1.0/me/mailFolders/inbox/messages/delta"
    responses.add(responses.GET, url, json={"value": [], "@odata.nextLink": link})
    with pytest.raises(TransientError):
        list(at_graph(calls).list_arrivals("", NOW - DAY))
    assert len(responses.calls) == 1


@responses.activate
def test_a_removed_message_and_one_without_a_sender_are_no_trouble(calls: CallCounter) -> None:
    url = f"{API}/v1.0/me/mailFolders/inbox/messages/delta"
    value = [
        {"id": "1", "@removed": {"reason": "deleted"}},
        {"id": "2", "receivedDateTime": "2026-11-20T10:00:00Z"},
        {"id": "3", "from": {"emailAddress": {"name": "System"}}, "singleValueExtendedProperties": []},
        {"id": "4", "singleValueExtendedProperties": [{"id": "String 0x1a", "value": "REPORT.IPM.Note.NDR"}]},
    ]
    link = f"{API}/v1.0/me/mailFolders/inbox/messages/delta?$deltatoken=x"
    responses.add(responses.GET, url, json={"value": value, "@odata.deltaLink": link})
    [page] = at_graph(calls).list_arrivals("", NOW - DAY)
    assert [(each.id, each.may_be_report) for each in page.arrivals] == [("2", False), ("3", False), ("4", True)]


def test_a_message_that_is_gone_is_none(mailbox: Microsoft365Mailbox) -> None:
    assert mailbox.read_arrival("AAkAgone") is None
