"""The mailer port: sends one email, which is then accepted, rejected or of unknown outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable


class RefusalCause(StrEnum):
    """What the refusal of an email is about. Only the first means that no more email should go to the address."""

    ADDRESS = "address"  # it does not exist, or its owner wants no email
    RECIPIENT = "recipient"  # the recipient's server or mailbox, for now
    SENDER = "sender"  # our content, headers, reputation or quota


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file attached to an email; ``filename`` is ASCII."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class InlineImage:
    """An image that the HTML shows as ``<img src="cid:…">``: it travels in the email, and no server is asked for it.

    ``content_id`` is ASCII with an ``@`` and without angle brackets; ``filename`` is ASCII.
    """

    content_id: str
    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Email:
    """An email ready to be sent. ``key`` is the outbox key, ``attempt`` counts its calls from 1.

    ``headers`` are the additional ones (Message-ID, References, Auto-Submitted, List-Unsubscribe). An address in
    ``to`` is not in ``cc``, and one in either not in ``bcc``: SendGrid rejects a repeated address. Opens and clicks are
    recorded only with ``track_opens`` and ``track_clicks``, and only by a service that can.
    """

    key: str
    attempt: int
    to: tuple[str, ...]
    to_name: str
    sender: str
    sender_name: str
    reply_to: str
    subject: str
    text: str
    html: str
    category: str
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    inline: tuple[InlineImage, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    track_opens: bool = False
    track_clicks: bool = False

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everybody who gets the email."""
        return (*self.to, *self.cc, *self.bcc)


class SendReceipt(NamedTuple):
    """The email system has accepted the email under this id.

    ``given_message_id`` is the Message-ID that its recipients see, where the system replaces ours, "" elsewhere.
    """

    message_id: str
    given_message_id: str = ""


class Suppression(NamedTuple):
    """Why an address gets no email; ``refused_at``: when one to it came back, None where its owner wants none."""

    reason: str
    refused_at: datetime | None = None


@runtime_checkable
class PacedMailer(Protocol):
    """A mailer that may send so many emails a minute only."""

    def wait_for_room(self) -> None:
        """Wait until the next email may be sent; before it is marked as being sent, and its facts grow old.

        Raises ``TransientError`` where the program is asked to stop meanwhile.
        """
        ...


class Mailer(Protocol):
    """Sends emails. ``name`` is shown in the log; ``can_find_sent`` is whether ``find_sent`` can ever find one."""

    name: str
    can_find_sent: bool

    def send(self, email: Email) -> SendReceipt:
        """Send the email once.

        Raises:
            PermanentError: It was rejected.
            TransientError: Nothing was sent (``RateLimited`` for a limit).
            OutcomeUnknown: It may have been sent.
        """
        ...

    def find_sent(self, key: str, to: tuple[str, ...], since_at: datetime) -> SendReceipt | None:
        """Find an earlier send of ``key``; None means that none was found, never that none was sent."""
        ...

    def find_suppressions(self, addresses: Sequence[str]) -> dict[str, Suppression]:
        """Return those of these addresses that get no email (bounced, invalid, unsubscribed …), each with the reason.

        Asked for all addresses of a batch at once, so that it takes a few calls and not some for each.
        """
        ...
