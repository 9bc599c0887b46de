"""The mailer port: one mail out, told apart into accepted, refused and not known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a mail; ``filename`` is ASCII."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Email:
    """One mail, ready to leave. ``key`` is the outbox key, ``attempt`` counts its calls from 1.

    ``headers`` are the extra ones (Message-ID, References, Auto-Submitted, List-Unsubscribe).
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


class SendReceipt(NamedTuple):
    """The mail system took responsibility for the mail; ``reference`` is its id for it."""

    message_id: str


class Mailer(Protocol):
    """Sends mail. ``name`` is what the log shows; ``reconciles`` tells whether ``find`` can ever answer."""

    name: str
    can_find_sent: bool

    def send(self, email: Email) -> SendReceipt:
        """Send once. Raises ``Rejected``, ``RateLimited``/``TryLater`` (nothing left), ``Unknown`` (it may have)."""
        ...

    def find_sent(self, key: str, to: tuple[str, ...], since_at: datetime) -> SendReceipt | None:
        """Look for an earlier send of ``key``; None means not found, never "was not sent"."""
        ...

    def get_suppression_reason(self, address: str) -> str:
        """Why this address gets no mail (bounced, blocked, unsubscribed …), or "" if it does."""
        ...
