"""The mailers that all tests of the contract run on: each with what became of its emails, at its simulated service."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from providers.eml.mailer import EmlMailer
from providers.gmail.client import Client
from providers.gmail.mailbox import GmailMailbox
from providers.http import TransportLimits
from providers.mailer import Mailer
from providers.microsoft365.mailbox import Microsoft365Mailbox
from providers.sendgrid.mailer import SendGridMailer
from sandbox import Sandbox, gmail
from sandbox.gmail.mail import without_bcc
from sandbox.microsoft365 import ADDRESS, CLIENT_ID
from sandbox.microsoft365.exchange import parse
from sandbox.microsoft365.signin import CLIENT_SECRET
from sandbox.sendgrid import API_KEY
from tests.providers.mailers.conftest import CallCounter

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SENDER = ADDRESS  # every simulated service takes it
LIMITS = TransportLimits(sleep=lambda _seconds: None, now=lambda: NOW)
SCOPES = "offline_access User.Read Mail.Send Mail.Read"


@dataclass
class Site:
    """A mailer at its service.

    ``delivered`` returns what an address got, as messages. ``service`` is the simulated service's name for fault rules,
    "" for a mailer that calls none. ``revoke`` ends its access. ``keeps_message_ids`` is false where the service gives
    an email another Message-ID.
    """

    name: str
    sandbox: Sandbox
    mailer: Mailer
    calls: CallCounter
    delivered: Callable[[str], list[EmailMessage]]
    service: str = ""
    revoke: Callable[[], object] | None = None
    largest_bytes: int = 0
    keeps_message_ids: bool = True


@contextmanager
def eml_site(folder: Path) -> Iterator[Site]:
    calls = CallCounter()

    def delivered(address: str) -> list[EmailMessage]:
        messages = [parse(each.read_bytes()) for each in sorted(folder.glob("*.eml"))]
        return [each for each in messages if address in f"{each['To']} {each['Cc']}"]

    yield Site("eml", Sandbox(now=NOW), EmlMailer(folder, calls), calls, delivered)


@contextmanager
def sendgrid_site(_folder: Path) -> Iterator[Site]:
    sandbox, calls = Sandbox(now=NOW), CallCounter()
    with sandbox.serve() as url:
        yield Site(
            "sendgrid",
            sandbox,
            SendGridMailer(url, API_KEY, calls, LIMITS),
            calls,
            lambda address: [_from_sendgrid(each) for each in sandbox.sendgrid.emails_to(address)],
            service="sendgrid",
            revoke=sandbox.sendgrid.keys.clear,
            largest_bytes=30_000_000,
        )


@contextmanager
def microsoft365_site(_folder: Path) -> Iterator[Site]:
    sandbox, calls = Sandbox(now=NOW), CallCounter()
    with sandbox.serve() as url:
        token = sign_in(sandbox, url)
        yield Site(
            "microsoft365",
            sandbox,
            Microsoft365Mailbox(url, "larkspur.example", lambda **_: token, calls, LIMITS),
            calls,
            sandbox.microsoft365.delivered_to,
            service="microsoft365",
            revoke=sandbox.microsoft365.revoke_consent,
            largest_bytes=3_000_000,
        )


@contextmanager
def gmail_site(_folder: Path) -> Iterator[Site]:
    sandbox, calls = Sandbox(now=NOW), CallCounter()
    with sandbox.serve() as url:
        token = sign_in_at_google(url)
        yield Site(
            "gmail",
            sandbox,
            GmailMailbox(Client(url, lambda **_: token, calls, LIMITS), SENDER),
            calls,
            lambda address: [parse(without_bcc(each.raw)) for each in sandbox.gmail.emails_to(address)],
            service="gmail",
            revoke=sandbox.gmail.revoke_all,
            largest_bytes=36_700_160,
            keeps_message_ids=False,
        )


SITES: dict[str, Any] = {
    "eml": eml_site,
    "sendgrid": sendgrid_site,
    "microsoft365": microsoft365_site,
    "gmail": gmail_site,
}


def sign_in_at_google(url: str) -> str:
    """Sign in at the simulated Google, without the product; return an access token."""
    app = {"client_id": gmail.CLIENT_ID, "redirect_uri": "http://localhost/callback"}
    scopes = " ".join(f"https://www.googleapis.com/auth/gmail.{name}" for name in ("send", "readonly"))
    asked = {**app, "response_type": "code", "scope": scopes, "sandbox_allow": "1"}
    reply = requests.get(f"{url}/o/oauth2/v2/auth", params=asked, allow_redirects=False, timeout=10)
    code = parse_qs(urlsplit(reply.headers["Location"]).query)["code"][0]
    form = {**app, "client_secret": gmail.CLIENT_SECRET, "grant_type": "authorization_code", "code": code}
    return str(requests.post(f"{url}/token", data=form, timeout=10).json()["access_token"])


def sign_in(sandbox: Sandbox, url: str) -> str:
    """Sign in at the simulated Microsoft, without the product; return an access token."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"v" * 50).digest()).rstrip(b"=").decode()
    app = {"client_id": CLIENT_ID, "redirect_uri": "http://localhost/callback"}
    asked = {
        **app,
        "response_type": "code",
        "scope": SCOPES,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "sandbox_allow": "1",
    }
    reply = requests.get(f"{url}/organizations/oauth2/v2.0/authorize", params=asked, allow_redirects=False, timeout=10)
    code = reply.headers["Location"].partition("code=")[2].partition("&")[0]
    form = {
        **app,
        "client_secret": CLIENT_SECRET,
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": "v" * 50,
    }
    token = requests.post(f"{url}/organizations/oauth2/v2.0/token", data=form, timeout=10).json()
    return str(token["access_token"])


def _from_sendgrid(email: Any) -> EmailMessage:
    """Return what SendGrid was given as the message it makes of it."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = email.sender, ", ".join(email.to), email.subject
    for name, value in email.headers.items():
        message[name] = value
    message.set_content(email.text)
    message.add_alternative(email.html, subtype="html")
    html = message.get_body(("html",))
    assert html is not None
    for each in email.attachments:
        main, _, sub = each.content_type.partition("/")
        if each.inline:
            html.add_related(each.content, maintype=main, subtype=sub, cid=f"<{each.content_id}>", disposition="inline")
            continue
        message.add_attachment(each.content, maintype=main, subtype=sub, filename=each.filename)
    return message
