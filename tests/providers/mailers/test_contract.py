"""What every mailer must do, whatever is behind it: send an email once, as it was composed, or say what happened."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage

import pytest

from providers.calls import CallKind
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, RateLimited, TransientError
from providers.mailer import Attachment, Email, InlineImage
from providers.message import message_id
from sandbox.faults import Rule
from tests.providers.mailers.contract import NOW, SENDER, SITES, Site

KEY = "quickbooks:1:c7:past_due:2026-11-20"


@pytest.fixture(scope="module", params=list(SITES))
def _served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with SITES[request.param](tmp_path_factory.mktemp("emails")) as site:
        yield site


@pytest.fixture
def site(_served: Site) -> Iterator[Site]:
    _served.calls.kinds.clear()
    yield _served
    _served.sandbox.faults.clear()


@pytest.fixture
def reminder(email: Email, request: pytest.FixtureRequest) -> Email:
    """An email of its own for each test: a key, the Message-ID that derives from it, and a recipient."""
    key = f"{KEY}:{request.node.name}"
    own = ("Message-ID", message_id(key, "larkspur.example"))
    return dataclasses.replace(
        email,
        key=key,
        sender=SENDER,
        to=(f"ada@{abs(hash(key))}.example", "office@example.com"),
        cc=("cc@example.com",),
        headers=(own, *email.headers[1:]),
    )


def calls_a_service(site: Site) -> Site:
    if not site.service:
        pytest.skip("it calls no service")
    return site


def only(messages: list[EmailMessage]) -> EmailMessage:
    [message] = messages
    return message


def test_it_arrives_as_it_was_composed(site: Site, reminder: Email) -> None:
    receipt = site.mailer.send(reminder)
    arrived = only(site.delivered(reminder.to[0]))
    text, html = (arrived.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert receipt.message_id
    assert arrived["Subject"] == reminder.subject
    assert (arrived["Message-ID"] == dict(reminder.headers)["Message-ID"]) is site.keeps_message_ids
    assert arrived["List-Unsubscribe"] == dict(reminder.headers)["List-Unsubscribe"]
    assert text.get_content().replace("\r\n", "\n") == reminder.text
    assert html.get_content().strip() == reminder.html
    assert [each.get_content() for each in arrived.iter_attachments()] == [reminder.attachments[0].content]
    assert site.calls.kinds.count(CallKind.EMAIL) == 1


def test_an_inline_image_arrives_beside_the_html_that_shows_it(site: Site, reminder: Email) -> None:
    image = InlineImage("logo-1@duewell.example", "logo.png", "image/png", b"\x89PNG\r\n\x1a\n\x00")
    html = f'<p><img src="cid:{image.content_id}" alt="Larkspur"></p>'
    site.mailer.send(dataclasses.replace(reminder, html=html, inline=(image,)))
    arrived = only(site.delivered(reminder.to[0]))
    related = next(part for part in arrived.walk() if part.get_content_type() == "multipart/related")
    shown, picture = related.iter_parts()
    assert f"cid:{image.content_id}" in shown.get_content()
    assert (picture["Content-ID"], picture.get_content_disposition()) == (f"<{image.content_id}>", "inline")
    assert picture.get_content() == image.content
    assert [each.get_content() for each in arrived.iter_attachments()] == [reminder.attachments[0].content]


def test_a_blind_copy_arrives_and_nobody_sees_it(site: Site, reminder: Email) -> None:
    if site.name == "eml":
        pytest.skip("who gets a blind copy is in the envelope alone, which a file has not")
    site.mailer.send(dataclasses.replace(reminder, bcc=("owner@blind.example",)))
    if site.name in {"microsoft365", "gmail"}:
        arrived = site.delivered("owner@blind.example")[-1]
        assert arrived["Subject"] == reminder.subject
    assert "owner@blind.example" not in str(only(site.delivered(reminder.to[0])))


def test_what_was_sent_is_found_by_its_key(site: Site, reminder: Email) -> None:
    assert site.mailer.can_find_sent
    assert site.mailer.find_sent(reminder.key, reminder.to, NOW) is None
    site.mailer.send(reminder)
    assert site.mailer.find_sent(reminder.key, reminder.to, NOW) is not None
    assert site.mailer.find_sent(f"{reminder.key}:other", reminder.to, NOW) is None


@pytest.mark.parametrize(("action", "arrived"), [("drop_before", 0), ("drop_after", 1)])
def test_without_a_reply_the_outcome_is_unknown_until_it_is_searched(
    site: Site, reminder: Email, action: str, arrived: int
) -> None:
    calls_a_service(site).sandbox.faults.add(Rule(action, service=site.service, kind="email"))
    with pytest.raises(OutcomeUnknown):
        site.mailer.send(reminder)
    assert len(site.delivered(reminder.to[0])) == arrived
    assert (site.mailer.find_sent(reminder.key, reminder.to, NOW) is not None) == bool(arrived)


@pytest.mark.parametrize(("status", "expected"), [(429, RateLimited), (500, OutcomeUnknown), (503, OutcomeUnknown)])
def test_a_reply_says_whether_it_can_have_been_sent(
    site: Site, reminder: Email, status: int, expected: type[Exception]
) -> None:
    headers = {"Retry-After": "30"} if status == 429 else {}
    rule = Rule("refuse", service=calls_a_service(site).service, kind="email", status=status, headers=headers)
    site.sandbox.faults.add(rule)
    with pytest.raises(expected) as caught:
        site.mailer.send(reminder)
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_at == NOW + timedelta(seconds=30)
    assert site.delivered(reminder.to[0]) == []
    assert site.calls.kinds.count(CallKind.EMAIL) == 1, "an email is never sent again behind the caller's back"


def test_a_rejected_email_says_why_and_stops_no_other(site: Site, reminder: Email) -> None:
    calls_a_service(site)
    content = b"x" * (site.largest_bytes + 1)
    with pytest.raises(PermanentError) as caught:
        site.mailer.send(dataclasses.replace(reminder, attachments=(Attachment("a.pdf", "application/pdf", content),)))
    assert not isinstance(caught.value, TransientError)
    assert site.delivered(reminder.to[0]) == []
    site.mailer.send(reminder)
    assert len(site.delivered(reminder.to[0])) == 1


def test_without_access_nothing_is_sent_until_somebody_acts(
    tmp_path_factory: pytest.TempPathFactory, email: Email
) -> None:
    for name, make in SITES.items():
        with make(tmp_path_factory.mktemp("emails")) as site:
            if site.revoke is None:
                continue
            site.revoke()
            with pytest.raises(AuthorizationExpired):
                site.mailer.send(dataclasses.replace(email, sender=SENDER, key=f"{KEY}:{name}"))
            assert site.delivered(email.to[0]) == []
