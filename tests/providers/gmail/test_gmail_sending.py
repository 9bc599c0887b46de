"""Sending from Gmail: to whom and from whom, how often, what is found again, and what each refusal means."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import responses

import providers.gmail
from providers import errors
from providers.errors import AuthorizationExpired, OutcomeUnknown, RateLimited
from providers.gmail.client import Client
from providers.gmail.mailbox import GmailMailbox
from providers.mailer import Attachment
from sandbox.faults import Rule
from sandbox.gmail.service import ACCOUNT
from tests.providers.gmail.conftest import LIMITS, NOW, World, reminder
from tests.providers.mailers.conftest import CallCounter

README = Path(providers.gmail.__file__).with_name("README.md")
API = "https://gmail.googleapis.com"
SEND = f"{API}/upload/gmail/v1/users/me/messages/send"
ALIASES = f"{API}/gmail/v1/users/me/settings/sendAs"


def test_blind_copies_are_recipients_and_nobody_sees_them(world: World, mailbox: GmailMailbox) -> None:
    mailbox.send(reminder("k1", cc=("bo@bo.example",), bcc=("owner@larkspur.example",)))
    (sent,) = world.gmail.emails()
    assert sent.envelope == ("ada@ada.example", "bo@bo.example", "owner@larkspur.example")
    world.gmail.set_outcome("bo@bo.example", "bounce")  # its report returns what the recipients got
    world.gmail.bounce(1)
    *_, report = world.gmail.mailboxes[ACCOUNT].emails.values()
    assert b"owner@larkspur.example" not in report.raw


def test_email_too_large_for_json_is_sent(world: World, mailbox: GmailMailbox) -> None:
    pdf = Attachment("invoices.pdf", "application/pdf", b"%PDF" + b"x" * 6_000_000)
    mailbox.send(reminder("k1", attachments=(pdf,)))
    assert len(world.gmail.emails()) == 1


def test_sender_that_gmail_would_replace_is_refused_before_anything_is_sent(
    world: World, mailbox: GmailMailbox
) -> None:
    world.gmail.add_alias("pending@larkspur.example", "pending")
    for sender in ("stranger@larkspur.example", "pending@larkspur.example"):
        with pytest.raises(AuthorizationExpired, match=r"would send from billing@larkspur\.example instead"):
            mailbox.send(reminder("k1", sender=sender))
    assert world.gmail.emails() == []


@pytest.mark.parametrize("status", ["accepted", ""])
def test_confirmed_alias_and_one_of_the_own_domain_are_sent_from(world: World, status: str) -> None:
    world.gmail.add_alias("Books@larkspur.example", status)
    world.open().send(reminder("k1", sender="books@larkspur.example"))
    (sent,) = world.gmail.emails()
    assert "books@larkspur.example" in sent.header("From")


@pytest.mark.parametrize("keeps_message_ids", [False, True])
def test_sent_email_is_found_by_its_key_whatever_gmail_made_of_its_message_id(
    world: World, mailbox: GmailMailbox, *, keeps_message_ids: bool
) -> None:
    world.gmail.behaviour.keeps_message_ids = keeps_message_ids
    mailbox.send(reminder("k0"))
    sent = mailbox.send(reminder("k1", to="pat.o'neil@example.com"))
    assert mailbox.find_sent("k1", ("pat.o'neil@example.com",), NOW) == sent
    assert mailbox.find_sent("k1", ("pat.o'neil@example.com",), NOW + timedelta(hours=1)) is None
    assert mailbox.find_sent("k2", ("ada@ada.example",), NOW) is None
    assert b"k1" not in world.gmail.emails()[1].raw, "the key is nobody's business"


def test_sent_email_is_found_although_the_next_one_is_deleted_meanwhile(world: World, mailbox: GmailMailbox) -> None:
    sent, later = mailbox.send(reminder("k1")), mailbox.send(reminder("k2"))
    box = world.gmail.mailboxes[ACCOUNT]
    world.sandbox.faults.call(lambda _request: box.emails.pop(later.message_id, None), path="/messages/.", times=1)
    assert mailbox.find_sent("k1", ("ada@ada.example",), NOW) == sent


def test_lost_reply_is_not_repeated(world: World, mailbox: GmailMailbox) -> None:
    world.sandbox.faults.add(Rule("drop_after", service="gmail", kind="email"))
    with pytest.raises(OutcomeUnknown):
        mailbox.send(reminder("k1"))
    assert len(world.gmail.emails()) == 1


def test_expired_access_token_is_renewed_and_the_email_sent_once(world: World, mailbox: GmailMailbox) -> None:
    world.sandbox.clock.advance(timedelta(hours=2))
    mailbox.send(reminder("k1"))
    assert len(world.gmail.emails()) == 1


def test_days_limit_is_waited_for_until_gmail_says_although_no_header_says_so(
    world: World, mailbox: GmailMailbox
) -> None:
    world.gmail.limits.recipients_per_day = 1
    mailbox.send(reminder("k1"))
    with pytest.raises(RateLimited) as limited:
        mailbox.send(reminder("k2"))
    assert limited.value.retry_at == NOW + timedelta(days=1)


def test_quota_that_comes_as_403_is_a_limit_and_no_lost_access(world: World, mailbox: GmailMailbox) -> None:
    world.gmail.limits.units_per_minute = 102
    mailbox.send(reminder("k1"))
    with pytest.raises(RateLimited):
        mailbox.send(reminder("k2"))


class Row(NamedTuple):
    status: int
    reason: str
    message: str
    becomes: str


def table() -> list[Row]:
    """Return the README's table of refusals."""
    lines = README.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| status | reason |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        status, reason, message, becomes = (cell.strip().strip("`") for cell in line.strip().strip("|").split("|")[:4])
        rows.append(Row(int(status), reason, message, becomes))
    return rows


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row.status} {row.reason}")
@responses.activate
def test_each_row_of_the_table_is_what_a_refusal_becomes(row: Row) -> None:
    body = {"error": {"code": row.status, "message": row.message, "errors": [{"reason": row.reason}]}}
    responses.get(ALIASES, json={"sendAs": []})
    responses.post(SEND, status=row.status, body=json.dumps(body) if row.reason else "<html>Sorry</html>")
    calls = CallCounter()
    expected = getattr(errors, row.becomes)
    with pytest.raises(expected) as raised:
        GmailMailbox(Client(API, lambda **_: "secret", calls, LIMITS), ACCOUNT).send(reminder("k1"))
    assert type(raised.value) is expected
    assert "secret" not in str(raised.value)
    named = re.search(r"\d{4}-\d\d-\d\dT[\d:.]+Z", row.message)
    if named:
        assert isinstance(raised.value, RateLimited)
        assert raised.value.retry_at == datetime.fromisoformat(named.group())
    assert calls.kinds.count("email") == (2 if row.status == 401 else 1), "once more only with another token"


@pytest.mark.parametrize("body", ["{}", '{"id": 7}', "", "<html>"])
@responses.activate
def test_success_without_an_id_is_an_unknown_outcome(body: str) -> None:
    responses.get(ALIASES, json={"sendAs": []})
    responses.post(SEND, body=body)
    with pytest.raises(OutcomeUnknown):
        GmailMailbox(Client(API, lambda **_: "secret", CallCounter(), LIMITS), ACCOUNT).send(reminder("k1"))
