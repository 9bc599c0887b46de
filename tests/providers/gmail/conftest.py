"""A Gmail mailbox of the sandbox, connected as the product connects it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from providers.gmail import MAILBOX
from providers.gmail.client import Client
from providers.gmail.mailbox import GmailMailbox
from providers.http import TransportLimits
from providers.mailbox import MailboxConsent
from providers.mailer import Email
from providers.message import message_id
from sandbox.gmail import CLIENT_ID, CLIENT_SECRET, Gmail
from sandbox.gmail.service import ACCOUNT
from sandbox.server import Sandbox
from tests.providers.mailers.conftest import CallCounter

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
BACK = "http://localhost:8710/callback/gmail"
LIMITS = TransportLimits(sleep=lambda _seconds: None, now=lambda: NOW)


@dataclass
class Settings:
    gmail_login_url: str
    gmail_identity_url: str
    gmail_api_url: str
    gmail_client_id: str = CLIENT_ID
    gmail_client_secret: str = CLIENT_SECRET


@dataclass
class World:
    """The sandbox, and the settings that point to it."""

    sandbox: Sandbox
    settings: Settings
    calls: CallCounter

    @property
    def gmail(self) -> Gmail:
        return self.sandbox.gmail

    def connect(self, more: str = "") -> MailboxConsent:
        """Consent at the simulated Google; ``more`` are parameters of the sandbox."""
        begun = MAILBOX.begin_consent(self.settings, BACK)
        reply = requests.get(f"{begun.url}&sandbox_allow=1{more}", allow_redirects=False, timeout=10)
        return MAILBOX.finish_consent(self.settings, BACK, reply.headers["Location"], begun, self.calls)

    def open(self, token: dict[str, Any] | None = None) -> GmailMailbox:
        """Return the mailbox, whose token is refreshed where it was rejected."""
        kept = token or self.connect().token

        def access_token(*, rejected_token: str | None = None) -> str:
            nonlocal kept
            if rejected_token is not None:
                kept = MAILBOX.refresh(self.settings, kept, self.calls)
            return str(kept["access_token"])

        return GmailMailbox(Client(self.settings.gmail_api_url, access_token, self.calls, LIMITS), ACCOUNT)


@pytest.fixture
def world() -> Iterator[World]:
    sandbox = Sandbox(seed=1, now=NOW)
    with sandbox.serve() as url:
        yield World(sandbox, Settings(url, url, url), CallCounter())


@pytest.fixture
def mailbox(world: World) -> GmailMailbox:
    return world.open()


def reminder(key: str, to: str = "ada@ada.example", **changed: Any) -> Email:
    """Return an email as it is composed for a key."""
    email = Email(
        key=key, attempt=1, to=(to,), to_name="Ada", sender=ACCOUNT, sender_name="Larkspur", reply_to=ACCOUNT,
        subject="Invoice 7 is overdue", text="Dear Ada\n", html="<p>Dear Ada</p>", category="reminder-past_due",
        headers=(("Message-ID", message_id(key, "larkspur.example")), ("Auto-Submitted", "auto-generated")),
    )  # fmt: skip
    return dataclasses.replace(email, **changed)
