"""Emails as Gmail keeps them: their raw bytes, with what is read of their headers; and the emails it writes itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses

from sandbox.core import JsonObject

_ID = re.compile(r"<[^<>\s]+>")
OUTCOMES = {  # by name: action, status and the words of the other server
    "bounce": ("failed", "5.1.1", "550 5.1.1 The email account that you tried to reach does not exist."),
    "mailbox_full": ("failed", "4.2.2", "452 4.2.2 The recipient's inbox is out of storage space."),
    "blocked": ("failed", "5.7.1", "550 5.7.1 Message rejected due to content restrictions"),
    "delayed": ("delayed", "4.4.1", "The recipient server did not accept our requests to connect."),
    "sending_limit": ("failed", "", "You have reached a limit for sending mail. Your message was not sent."),
}
DAEMON = "Mail Delivery Subsystem <mailer-daemon@googlemail.com>"


@dataclass(slots=True)
class StoredMail:
    """An email in a mailbox."""

    id: str
    thread_id: str
    raw: bytes
    labels: list[str]
    at: datetime
    history_id: int = 0
    envelope: tuple[str, ...] = ()
    parsed: EmailMessage = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Parse the email once."""
        self.parsed = parse(self.raw)

    def header(self, name: str) -> str:
        """Return a header, "" where there is none."""
        return str(self.parsed.get(name, ""))

    @property
    def message_id(self) -> str:
        """Its Message-ID."""
        return self.header("Message-ID").strip()

    @property
    def references(self) -> list[str]:
        """The Message-IDs that it answers."""
        return _ID.findall(f"{self.header('References')} {self.header('In-Reply-To')}")

    @property
    def subject(self) -> str:
        """Its subject without what replies put before it."""
        return re.sub(r"^(?:\s*(?:re|fwd?|aw|sv)\s*:)+\s*", "", self.header("Subject"), flags=re.IGNORECASE).strip()

    def addresses(self, *names: str) -> list[str]:
        """Return the addresses in some headers, in lower case."""
        found = getaddresses([str(value) for name in names for value in self.parsed.get_all(name, [])])
        return [address.lower() for _name, address in found if address]

    def short(self) -> JsonObject:
        """Return what lists show."""
        return {"id": self.id, "threadId": self.thread_id}


def parse(raw: bytes) -> EmailMessage:
    """Parse raw bytes."""
    parsed = message_from_bytes(raw, policy=policy.default)
    assert isinstance(parsed, EmailMessage)  # noqa: S101 - by the policy
    return parsed


def without_bcc(raw: bytes) -> bytes:
    """Return an email as its recipients get it."""
    head, blank, body = raw.partition(b"\r\n\r\n")
    return re.sub(rb"(?im)^bcc:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n", b"", head + b"\r\n").rstrip(b"\r\n") + blank + body


def set_header(raw: bytes, name: str, value: str) -> bytes:
    """Return an email with a header replaced, or added at its end."""
    head, _blank, body = raw.partition(b"\r\n\r\n")
    line = f"{name}: {value}".encode()
    pattern = re.compile(rb"(?im)^" + name.encode() + rb":[^\r\n]*(?:\r\n[ \t][^\r\n]*)*")
    changed, count = pattern.subn(lambda _match: line, head, count=1)
    return (changed if count else head + b"\r\n" + line) + b"\r\n\r\n" + body


def write_reply(original: StoredMail, sender: str, to: str, text: str, message_id: str, at: datetime,
                headers: dict[str, str], subject: str) -> bytes:  # fmt: skip
    """Write a customer's answer, with the original quoted beneath it as email programs do."""
    reply = EmailMessage(policy=policy.SMTP)
    reply["From"], reply["To"] = sender, to
    reply["Subject"] = subject or f"Re: {original.subject}"
    reply["Date"], reply["Message-ID"] = format_datetime(at), message_id
    reply["In-Reply-To"] = original.message_id
    reply["References"] = " ".join(dict.fromkeys([*original.references, original.message_id]))
    for name, value in headers.items():
        reply[name] = value
    body = original.parsed.get_body(("plain",))
    quoted = "".join(f"> {line}\n" for line in (body.get_content() if body else "").splitlines())
    reply.set_content(f"{text}\n\nOn {at:%a, %d %b %Y}, {original.header('From')} wrote:\n{quoted}")
    return reply.as_bytes()


def write_report(original: StoredMail, address: str, outcome: str, to: str, message_id: str, at: datetime,
                 *, complete: bool) -> bytes:  # fmt: skip
    """Write the delivery report (RFC 3464) that Gmail puts in the sender's mailbox.

    Its notice of a sending limit, and any report that is not ``complete``, has no machine-readable part.
    """
    action, status, words = OUTCOMES[outcome]
    is_delay, is_complete = action == "delayed", complete and bool(status)
    text = f"{'Delivery incomplete' if is_delay else 'Message not delivered'}\r\n\r\n{address}\r\n\r\n{words}\r\n"
    boundary = f"=_{message_id.strip('<>').partition('@')[0]}"
    kind = f'multipart/report; boundary="{boundary}"; report-type=delivery-status'
    head = [
        f"From: {DAEMON}", f"To: {to}", "Auto-Submitted: auto-replied",
        f"Subject: Delivery Status Notification ({'Delay' if is_delay else 'Failure'})",
        f"Date: {format_datetime(at)}", f"Message-ID: {message_id}",
        f"In-Reply-To: {original.message_id}", f"References: {original.message_id}", "MIME-Version: 1.0",
        f"Content-Type: {kind if is_complete else 'text/plain; charset=utf-8'}",
    ]  # fmt: skip
    head.append(f"X-Failed-Recipients: {address}")  # also where it is only delayed
    if not is_complete:
        return "\r\n".join([*head, "", text]).encode()
    parts = {
        "text/plain; charset=utf-8": text.encode(),
        "message/delivery-status": _delivery_status(address, action, status, words, at).encode(),
        "message/rfc822": without_bcc(original.raw),
    }
    body = b"".join(f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode() + part + b"\r\n"
                    for kind, part in parts.items())  # fmt: skip
    return "\r\n".join([*head, "", ""]).encode() + body + f"--{boundary}--\r\n".encode()


def _delivery_status(address: str, action: str, status: str, words: str, at: datetime) -> str:
    return (
        f"Reporting-MTA: dns; googlemail.com\r\nArrival-Date: {format_datetime(at)}\r\n\r\n"
        f"Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; {words}\r\nLast-Attempt-Date: {format_datetime(at)}\r\n"
    )
