"""The services that emails are sent through: what arrived at each, and what each lets one find out.

SendGrid keeps our key with each email. A mailbox keeps a copy of what it sent, whose Message-ID derives from the key.
"""

from __future__ import annotations

import base64
import json
import smtplib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import Message
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin

import requests

from connector.connections.consent import begin_consent, finish_consent
from connector.emails import message_ids
from providers.gmail.mailbox import ID_HEADER
from tests.faults.campaign.in_process import Sent

if TYPE_CHECKING:
    from tests.faults.campaign.world import World

SENDGRID, MICROSOFT365, GMAIL, SMTP = "sendgrid", "microsoft365", "gmail", "smtp"
MAILBOXES = (MICROSOFT365, GMAIL)
OTHERS = (*MAILBOXES, SMTP)
SMTP_URL = "smtp://127.0.0.1:9"  # never reached: the server answers in this process


class Arrived(NamedTuple):
    """An email that a service accepted; ``key`` is that of its outbox entry, or its id where no entry is known."""

    key: str
    to: tuple[str, ...]
    at: datetime


def connect_mailbox(world: World) -> None:
    """Connect the mailbox that sends the emails, as its owner does."""
    request = begin_consent(world.app, world.mailer)
    reply = requests.get(f"{request.url}&sandbox_allow=1", allow_redirects=False, timeout=10)
    finish_consent(world.app, world.mailer, urljoin(request.url, reply.headers["Location"]))


def list_arrived(world: World) -> list[Arrived]:
    """Return the emails at the service that sends them, in their order."""
    sandbox = world.sandbox
    if world.mailer == SENDGRID:
        return [
            Arrived(str(each.custom_args.get("duewell_key")), each.to, each.at) for each in sandbox.sendgrid.emails()
        ]
    with closing(sqlite3.connect(f"file:{world.database}?mode=ro", uri=True)) as database:
        keys = _keys_by_id(database)
    if world.mailer == SMTP:
        copies = [(str(each.mime["Message-ID"]), each.to, each.at) for each in world.smtp_server]
    elif world.mailer == MICROSOFT365:
        copies = [
            (str(each.mime["Message-ID"]), each.recipients, each.received_at) for each in sandbox.microsoft365.sent()
        ]
    else:
        copies = [(each.header(ID_HEADER), list(each.envelope), each.at) for each in sandbox.gmail.emails()]
    return [Arrived(_find_key(keys, own_id), tuple(to), at) for own_id, to, at in copies]


def key_of(world: World, database: sqlite3.Connection, sent: Sent) -> str:
    """Return the key of the outbox entry that a request sends."""
    if world.mailer == SENDGRID:
        message = json.loads(sent.body)
        recipient = message["personalizations"][0]
        return str({**message.get("custom_args", {}), **recipient.get("custom_args", {})}["duewell_key"])
    content = base64.b64decode(sent.body) if world.mailer == MICROSOFT365 else sent.body
    return _find_key(_keys_by_id(database), str(message_from_bytes(content)["Message-ID"]))


class TakenEmail(NamedTuple):
    """An email that the SMTP server took."""

    mime: Message
    to: list[str]
    at: datetime


class SmtpSession:
    """A session at the SMTP server. What goes wrong does so after the email's last byte: it may have been sent."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._to: list[str] = []
        self._content = b""

    def rcpt(self, address: str) -> tuple[int, bytes]:
        """Take a recipient."""
        self._to.append(address)
        return 250, b"OK"

    def docmd(self, _command: str) -> tuple[int, bytes]:
        """Ask for the email."""
        return 354, b"go ahead"

    def send(self, content: bytes) -> None:
        """Take the email's bytes."""
        self._content = content

    def getreply(self) -> tuple[int, bytes]:
        """Accept the email, refuse it, or say nothing."""
        services = self._world.services
        services.count += 1
        sent = Sent(services.count, SMTP, "email", "DATA", "/", "", self._content)
        fault = services.begin_call(sent)
        if fault is None or fault.applied:
            taken = TakenEmail(message_from_bytes(self._content), self._to, self._world.clock.now())
            self._world.smtp_server.append(taken)
        services.end_call(sent, fault)
        if fault is None:
            return 250, b"OK"
        if not fault.status or fault.applied:
            raise smtplib.SMTPServerDisconnected("gone")
        return (451 if fault.status in {429, 500, 503} else 554), b"refused on purpose"

    def has_extn(self, _name: str) -> bool:
        """Offer nothing more."""
        return False

    def __getattr__(self, _name: str) -> Callable[..., tuple[int, bytes]]:
        """Accept every other command."""
        return lambda *_arguments: (250, b"OK")


def serve_smtp(world: World) -> None:
    """Answer SMTP in this process."""
    module: Any = smtplib
    module.SMTP = lambda *_arguments, **_options: SmtpSession(world)


def delay_search(world: World, by: timedelta) -> None:
    """Make what was sent findable only later. A mailbox at Microsoft 365 finds it at once."""
    world.sandbox.sendgrid.logs_lag = by
    world.sandbox.gmail.behaviour.search_lag = by


def is_search(sent: Sent) -> bool:
    """Return whether a request searches for an email that may have been sent."""
    return (
        sent.path.startswith(("/v3/logs", "/v1.0/me/messages", "/gmail/v1/users/me/messages")) and sent.kind == "read"
    )


def _keys_by_id(database: sqlite3.Connection) -> dict[str, str]:
    return {message_ids.local_part(key): key for (key,) in database.execute("SELECT key FROM outbox").fetchall()}


def _find_key(keys: dict[str, str], own_id: str) -> str:
    return keys.get(own_id.strip("<> ").partition("@")[0], own_id)
