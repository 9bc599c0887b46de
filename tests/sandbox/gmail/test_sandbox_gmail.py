"""The simulated Gmail: what it does to emails, what it keeps of changes, whom it lets in, and its limits."""

from __future__ import annotations

import base64
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
import requests

from sandbox.gmail import Gmail
from sandbox.gmail.service import ACCOUNT
from sandbox.gmail.signin import PREFIX
from sandbox.server import Sandbox
from tests.sandbox.gmail.conftest import RAW, SignIn, exchange

ME = "gmail/v1/users/me"


def post_raw(http: requests.Session, url: str, raw: bytes = RAW) -> requests.Response:
    return http.post(f"{url}/{ME}/messages/send", json={"raw": base64.urlsafe_b64encode(raw).decode()})


def upload(http: requests.Session, url: str, raw: bytes = RAW) -> requests.Response:
    headers = {"Content-Type": "message/rfc822"}
    return http.post(f"{url}/upload/{ME}/messages/send?uploadType=media", data=raw, headers=headers)


def read(http: requests.Session, url: str, path: str, **params: Any) -> Any:
    return http.get(f"{url}/{ME}/{path}", params=params).json()


@pytest.mark.parametrize("send", [post_raw, upload])
def test_email_is_sent_with_another_message_id_and_is_found_by_it(
    http: requests.Session, url: str, gmail: Gmail, send: Any
) -> None:
    sent = send(http, url).json()
    assert sent["labelIds"] == ["SENT"]
    shown = read(http, url, f"messages/{sent['id']}", format="metadata", metadataHeaders=["Message-ID"])
    given = shown["payload"]["headers"][0]["value"]
    assert given != "<own@larkspur.example>"
    assert read(http, url, "messages", q=f"in:sent rfc822msgid:{given}")["messages"] == [
        {"id": sent["id"], "threadId": sent["threadId"]}
    ]
    assert "messages" not in read(http, url, "messages", q="in:sent rfc822msgid:own@larkspur.example")
    assert [email.envelope for email in gmail.emails()] == [("ada@ada.example",)]


def test_sender_that_is_no_alias_is_replaced_and_a_blind_copy_is_an_address(
    http: requests.Session, url: str, gmail: Gmail
) -> None:
    gmail.add_alias("books@larkspur.example", "pending")
    gmail.add_alias("office@larkspur.example", "")
    for sender in ("books@larkspur.example", "office@larkspur.example"):
        raw = RAW.replace(b"billing@larkspur.example\nTo", b"%s\nBcc: eve@eve.example\nTo" % sender.encode())
        upload(http, url, raw)
    senders = [email.header("From") for email in gmail.emails()]
    assert senders == ["billing@larkspur.example", "office@larkspur.example"]
    assert [email.envelope for email in gmail.emails_to("eve@eve.example")] == [
        ("ada@ada.example", "eve@eve.example")
    ] * 2


def test_reply_is_in_the_thread_and_one_with_another_subject_is_not(
    http: requests.Session, url: str, gmail: Gmail
) -> None:
    sent = upload(http, url).json()
    same, other = gmail.reply(1, "Paid."), gmail.reply(1, "Paid.", subject="Something else")
    threads = [read(http, url, f"messages/{each}")["threadId"] for each in (same, other)]
    assert threads[0] == sent["threadId"] != threads[1]
    assert len(read(http, url, f"threads/{sent['threadId']}")["messages"]) == 2


def test_bounce_is_a_report_in_the_mailbox(http: requests.Session, url: str, gmail: Gmail) -> None:
    gmail.set_outcome("ada.example", "bounce")
    sent = upload(http, url).json()
    start = read(http, url, f"messages/{sent['id']}")["historyId"]
    (record,) = read(http, url, "history", startHistoryId=start, historyTypes="messageAdded")["history"]
    added = record["messagesAdded"][0]["message"]
    assert added["threadId"] == sent["threadId"]
    raw = read(http, url, f"messages/{added['id']}", format="raw")["raw"]
    report = message_from_bytes(base64.urlsafe_b64decode(raw), policy=policy.default)
    assert report.get_content_type() == "multipart/report"
    assert [part.get_content_type() for part in report.iter_parts()] == [
        "text/plain", "message/delivery-status", "message/rfc822",
    ]  # fmt: skip
    assert report["X-Failed-Recipients"] == "ada@ada.example"


def test_history_is_kept_for_a_week_and_has_pages_that_may_be_empty(
    http: requests.Session, url: str, gmail: Gmail, sandbox: Sandbox, sign_in: SignIn
) -> None:
    start = read(http, url, "profile")["historyId"]
    for n in range(3):
        gmail.receive("bo@bo.example", f"Lunch {n}", "?")
    gmail.behaviour.empty_pages = True
    page = read(http, url, "history", startHistoryId=start, maxResults=2)
    assert "history" not in page
    seen = 0
    while "nextPageToken" in page:
        page = read(http, url, "history", startHistoryId=start, maxResults=2, pageToken=page["nextPageToken"])
        seen += len(page["history"])
    assert seen == 3
    sandbox.clock.advance(timedelta(days=8))
    gmail.receive("bo@bo.example", "Lunch again", "?")
    http.headers["Authorization"] = f"Bearer {sign_in('gmail.readonly')['access_token']}"
    assert http.get(f"{url}/{ME}/history", params={"startHistoryId": start}).status_code == 404
    assert http.get(f"{url}/{ME}/history", params={"startHistoryId": "0"}).status_code == 404


def test_limits_come_as_403_as_429_or_as_an_email(
    http: requests.Session, url: str, gmail: Gmail, sandbox: Sandbox
) -> None:
    gmail.limits.recipients_per_day = 1
    assert upload(http, url).status_code == 200
    refused = upload(http, url)
    assert refused.status_code == 429
    assert "Retry after 2026-11-22T12:00:00.000Z" in refused.json()["error"]["message"]
    gmail.limits.tells_by_email = True
    assert upload(http, url).status_code == 200
    assert "X-Failed-Recipients" in str(next(reversed(gmail.mailboxes[ACCOUNT].emails.values())).raw)
    gmail.limits.units_per_minute = 10
    sandbox.clock.advance(timedelta(minutes=1))
    refused = upload(http, url)
    assert (refused.status_code, refused.json()["error"]["errors"][0]["reason"]) == (403, "rateLimitExceeded")


@pytest.mark.parametrize(
    ("scopes", "path", "allowed"),
    [
        (("gmail.send",), "profile", False),
        (("gmail.send",), "messages", False),
        (("gmail.metadata",), "messages", True),
        (("gmail.metadata",), "messages?q=in:sent", False),
        (("gmail.metadata",), "settings/sendAs", False),
        (("gmail.readonly",), "settings/sendAs", True),
        (("gmail.readonly",), "history?startHistoryId=1000", True),
    ],
)
def test_scopes_decide_what_may_be_read(
    sign_in: SignIn, url: str, scopes: tuple[str, ...], path: str, *, allowed: bool
) -> None:
    headers = {"Authorization": f"Bearer {sign_in(*scopes)['access_token']}"}
    reply = requests.get(f"{url}/{ME}/{path}", headers=headers, timeout=5)
    assert reply.status_code == (200 if allowed else 403)


def test_refresh_token_comes_once_and_lives_for_seven_days_in_testing(
    sign_in: SignIn, url: str, gmail: Gmail, sandbox: Sandbox
) -> None:
    gmail.sign_in.testing = True
    first = sign_in("gmail.send")
    assert first["refresh_token_expires_in"] == 604_799
    assert "refresh_token" not in sign_in("gmail.send")
    assert sign_in("gmail.send", prompt="consent")["refresh_token"]
    renew = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert "refresh_token" not in exchange(url, **renew)
    sandbox.clock.advance(timedelta(days=7))
    assert exchange(url, **renew)["error"] == "invalid_grant"


def test_permission_that_was_unticked_is_not_granted(sign_in: SignIn) -> None:
    token = sign_in("gmail.send", "gmail.readonly", sandbox_without="gmail.readonly")
    assert token["scope"] == f"{PREFIX}gmail.send"
