"""The state of the simulated SendGrid: accepted emails, what happened to them, and the suppression lists."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.core import JsonObject, SandboxCore

LISTS = ("bounces", "blocks", "invalid_emails", "spam_reports", "unsubscribes")
# Lists that make SendGrid drop an email: the reason in the event, and the mail_settings option that bypasses them.
DROP_REASONS = {
    "bounces": ("Bounced Address", "bypass_bounce_management"),
    "invalid_emails": ("Invalid", "bypass_bounce_management"),
    "spam_reports": ("Spam Reporting Address", "bypass_spam_management"),
    "unsubscribes": ("Unsubscribed Address", "bypass_unsubscribe_management"),
}
STATUS_BY_EVENT = {"processed": "processed", "dropped": "dropped", "deferred": "deferred", "delivered": "delivered"}
IP = "192.0.2.25"
SENDER_DROPS = {  # not about the address
    "spam_content": "Spam Content",
    "over_quota": "Recipient List over Package Quota",
    "bad_header": "Invalid SMTPAPI header",
}
BOUNCES = {  # by outcome: type, status, reason and classification
    "bounce": ("bounce", "5.1.1", "550 5.1.1 no such user here", "Invalid Address"),
    "blocked": ("blocked", "4.2.1", "421 4.2.1 try later", "Reputation"),
    "mailbox_full": (
        "bounce",
        "4.2.2",
        "452 4.2.2 The recipient's inbox is out of storage space",
        "Mailbox Unavailable",
    ),
    "expired": ("expired", "", "unable to get mx info: no answer within 72 hours", "Technical"),
}
OUTCOMES = {"delivered", "deferred", *BOUNCES, *SENDER_DROPS}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file attached to an email; an image that its HTML shows is ``inline``."""

    filename: str
    content_type: str
    content: bytes
    inline: bool = False
    content_id: str = ""


@dataclass(slots=True)
class Message:
    """An email to one recipient, as in the logs, with its events, oldest first."""

    sg_message_id: str
    email: str
    created_at: datetime
    events: list[JsonObject] = field(default_factory=list)

    @property
    def status(self) -> str:
        """Its status in the logs."""
        last = self.events[-1]
        if last["event"] == "bounce":
            return "blocked" if last["type"] == "blocked" else "bounced"
        return STATUS_BY_EVENT.get(last["event"], "delivered")

    @property
    def reason(self) -> str:
        """The reason why it was dropped or bounced."""
        return str(self.events[-1].get("reason") or self.events[-1].get("response") or "")


@dataclass(slots=True)
class Email:
    """An email as sent: one personalization of an accepted request. ``number`` counts from 1."""

    number: int
    at: datetime
    message_id: str
    sender: str
    sender_name: str
    reply_to: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    subject: str
    text: str
    html: str
    categories: tuple[str, ...]
    custom_args: dict[str, str]
    headers: dict[str, str]
    attachments: tuple[Attachment, ...]
    messages: list[Message] = field(default_factory=list)
    tracked: frozenset[str] = frozenset()  # the kinds of event of its readers that are recorded: open, click

    @property
    def status(self) -> str:
        """Its status for the first recipient."""
        return self.messages[0].status


@dataclass(frozen=True, slots=True)
class Suppression:
    """An entry of a suppression list."""

    email: str
    created: int
    reason: str = ""
    status: str = ""


class MessageStore:
    """Accepts emails; ``outcomes`` maps an address or domain to one of ``OUTCOMES``."""

    def __init__(self, core: SandboxCore) -> None:
        self._core = core
        self.emails: list[Email] = []
        self.lists: dict[str, dict[str, Suppression]] = {name: {} for name in LISTS}
        self.outcomes: dict[str, str] = {}
        self.events: list[JsonObject] = []
        self.messages: dict[str, Message] = {}
        self._email_of: dict[str, Email] = {}
        self._ids_created = 0

    def accept(self, body: JsonObject) -> str:
        """Store a valid request: an email per personalization, a message per recipient; return its id."""
        message_id = self._new_id("message", 16)
        for item in body["personalizations"]:
            email = self._build_email(body, item, message_id)
            self.emails.append(email)
            for n, address in enumerate((*email.to, *email.cc, *email.bcc)):
                self._deliver(email, address, n, body.get("mail_settings") or {})
        return message_id

    def email_of(self, sg_message_id: str) -> Email:
        """Return the email of a message."""
        return self._email_of[sg_message_id]

    def newest_first(self) -> Iterator[Message]:
        """Yield messages, the latest first."""
        return reversed(self.messages.values())

    def read(self, address: str) -> None:
        """Open the newest email to an address: an event where opens are tracked."""
        message = next(each for each in self.newest_first() if each.email == address)
        if "open" in self._email_of[message.sg_message_id].tracked:
            self.record_event(message, "open", useragent="Mozilla/5.0", ip=IP, sg_machine_open=False)

    def suppress(self, name: str, email: str, reason: str = "", status: str = "") -> None:
        """Add an address to a list."""
        created = int(self._core.clock.now().timestamp())
        self.lists[name][email.lower()] = Suppression(email.lower(), created, reason, status)

    def record_event(self, message: Message, kind: str, **details: Any) -> None:
        """Record an event of a message, and the suppression that some kinds imply."""
        email = self._email_of[message.sg_message_id]
        at = int(self._core.clock.now().timestamp()) + len(message.events)
        event: JsonObject = {
            "email": message.email, "timestamp": at, "event": kind, "sg_event_id": self._new_id("event", 16),
            "sg_message_id": message.sg_message_id,
            "smtp-id": email.headers.get("Message-ID", f"<{email.message_id}@ismtpd>"),
        }  # fmt: skip
        if email.categories:
            event["category"] = list(email.categories)
        event |= details
        if email.custom_args:
            event["custom_args"] = email.custom_args
        message.events.append(event)
        self.events.append(event)
        if kind == "bounce":
            soft = details["type"] in {"blocked", "expired"} or details["status"].startswith("4")
            name = "blocks" if soft else "bounces"  # its support says so (sendgrid/docs, pull request 2976)
            self.suppress(name, message.email, details["reason"], details["status"])
        elif kind == "spamreport":
            self.suppress("spam_reports", message.email)
        elif kind == "unsubscribe":
            self.suppress("unsubscribes", message.email)

    def _deliver(self, email: Email, address: str, n: int, settings: JsonObject) -> None:
        sg_message_id = f"{email.message_id}.recvd-sandbox-1-{email.number:X}-{n}.{n}"
        message = Message(sg_message_id, address, self._core.clock.now())
        email.messages.append(message)
        self.messages[sg_message_id] = message
        self._email_of[sg_message_id] = email
        dropped = self._drop_reason(address, settings)
        if dropped:
            self.record_event(message, "dropped", reason=dropped)
            return
        domain = address.rpartition("@")[2].lower()
        outcome = self.outcomes.get(address.lower()) or self.outcomes.get(domain, "delivered")
        if outcome in SENDER_DROPS:
            self.record_event(message, "dropped", reason=SENDER_DROPS[outcome])
            return
        self.record_event(message, "processed")
        if outcome in BOUNCES:
            kind, status, reason, classification = BOUNCES[outcome]
            details = {"reason": reason, "status": status, "ip": IP, "tls": 1, "bounce_classification": classification}
            self.record_event(message, "bounce", type=kind, **details)
        elif outcome == "deferred":
            self.record_event(message, "deferred", response="451 4.7.1 greylisted, try again", attempt="0", ip=IP)
        else:
            self.record_event(message, "delivered", response="250 2.0.0 OK", ip=IP, tls=1)

    def _drop_reason(self, address: str, settings: JsonObject) -> str:
        if (settings.get("bypass_list_management") or {}).get("enable"):
            return ""
        for name, (reason, bypass) in DROP_REASONS.items():
            if address.lower() in self.lists[name] and not (settings.get(bypass) or {}).get("enable"):
                return reason
        return ""

    def _build_email(self, body: JsonObject, item: JsonObject, message_id: str) -> Email:
        contents = {content["type"]: content["value"] for content in body.get("content") or []}
        recipients = {kind: tuple(one["email"] for one in item.get(kind) or ()) for kind in ("to", "cc", "bcc")}
        return Email(
            number=len(self.emails) + 1,
            at=self._core.clock.now(),
            message_id=message_id,
            sender=body["from"]["email"],
            sender_name=body["from"].get("name") or "",
            reply_to=(body.get("reply_to") or {}).get("email", ""),
            to=recipients["to"], cc=recipients["cc"], bcc=recipients["bcc"],
            subject=item.get("subject") or body.get("subject") or "",
            text=contents.get("text/plain", ""),
            html=contents.get("text/html", ""),
            categories=tuple(body.get("categories") or ()),
            custom_args={**(body.get("custom_args") or {}), **(item.get("custom_args") or {})},
            headers={**(body.get("headers") or {}), **(item.get("headers") or {})},
            attachments=tuple(_attachment(content) for content in body.get("attachments") or ()),
            tracked=frozenset(_tracked_kinds(body.get("tracking_settings") or {})),
        )  # fmt: skip

    def _new_id(self, kind: str, size: int) -> str:
        self._ids_created += 1
        raw = hashlib.blake2b(f"{self._core.seed}:{kind}:{self._ids_created}".encode(), digest_size=size).digest()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _tracked_kinds(settings: JsonObject) -> Iterator[str]:
    """Yield what is tracked: as in a new account, what an email does not switch off."""
    for kind in ("open", "click"):
        if (settings.get(f"{kind}_tracking") or {}).get("enable", True):
            yield kind


def _attachment(part: JsonObject) -> Attachment:
    content = base64.b64decode(part["content"])
    kind = part.get("type") or "application/octet-stream"
    is_inline, content_id = part.get("disposition") == "inline", part.get("content_id") or ""
    return Attachment(part["filename"], kind, content, inline=is_inline, content_id=content_id)


def is_in_logs(message: Message, lag: timedelta, now: datetime) -> bool:
    """Return whether a message is in the logs yet."""
    return message.created_at + lag <= now
