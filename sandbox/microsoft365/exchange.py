"""The mailbox and its transport: what is submitted is stored, sent on, and comes back where it cannot be delivered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import default
from email.utils import format_datetime, getaddresses

from sandbox.core import SandboxCore, stable_uuid

# What Exchange Online is reported to take out on the way: github.com/microsoftgraph/msgraph-sdk-dotnet/issues/2209
STRIPPED_HEADERS = ("Auto-Submitted", "Return-Path", "Bcc")
BOUNCES = {  # by outcome: action, status, and the server's words
    "unknown": ("failed", "5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address"),
    "full": ("failed", "5.2.2", "552 5.2.2 The recipient's mailbox is full"),
    "blocked": ("failed", "5.7.1", "550 5.7.1 Message rejected due to content restrictions"),
    "daily limit": (
        "failed", "5.1.90", "550 5.1.90 Your message can't be sent: you've reached your daily limit for recipients",
    ),
    "domain limit": ("failed", "5.7.236", "550 5.7.236 Message rejected: onmicrosoft.com has exceeded its daily quota"),
    "delayed": ("delayed", "4.4.7", "451 4.4.7 Message delayed; still trying"),
}  # fmt: skip


@dataclass(slots=True)
class StoredMessage:
    """A message in the mailbox; ``number`` grows with each change, ``folder`` is a well-known name."""

    id: str
    number: int
    folder: str
    received_at: datetime
    content: bytes
    conversation_id: str
    message_class: str = "IPM.Note"
    is_draft: bool = False
    is_deleted: bool = False

    @property
    def mime(self) -> EmailMessage:
        """The message, parsed."""
        return parse(self.content)

    @property
    def recipients(self) -> list[str]:
        """Everybody it goes to, in lower case."""
        return list(recipients_of(self.mime))


@dataclass(slots=True)
class Mailbox:
    """One mailbox. ``outcomes`` are what becomes of email to an address: a key of ``BOUNCES``; else it arrives.

    ``keeps_drafts`` leaves what is submitted among the drafts, as while the transport has not picked it up.
    """

    core: SandboxCore
    address: str
    account_id: str = "8c2f0d8e-5a7c-4a6e-9a51-0d6f5f2b7a11"  # which stays when the address is changed
    aliases: set[str] = field(default_factory=set)
    messages: list[StoredMessage] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    keeps_drafts: bool = False
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10**9)))

    def may_send_as(self, address: str) -> bool:
        """Return whether the mailbox may send as an address."""
        return address.lower() in {self.address.lower(), *(each.lower() for each in self.aliases)}

    def submit(self, content: bytes) -> StoredMessage:
        """Take a message for sending, store the copy in Sent Items, and return what cannot be delivered."""
        draft = self._store(content, "drafts" if self.keeps_drafts else "sentitems", is_draft=self.keeps_drafts)
        for address in draft.recipients:
            if (outcome := self.outcomes.get(address.lower(), "")) in BOUNCES:
                self.receive(build_report(self, draft, address, outcome), message_class="REPORT.IPM.Note.NDR")
        return draft

    def receive(self, content: bytes, *, folder: str = "inbox", message_class: str = "IPM.Note") -> StoredMessage:
        """Add a message to a folder, as if it had come from outside."""
        return self._store(content, folder, message_class=message_class)

    def find(self, message_id: str) -> StoredMessage | None:
        """Return a message by its id, unless it was deleted."""
        return next((each for each in self.messages if each.id == message_id and not each.is_deleted), None)

    def _store(
        self, content: bytes, folder: str, *, message_class: str = "IPM.Note", is_draft: bool = False
    ) -> StoredMessage:
        number = next(self._numbers)
        parsed = parse(content)
        thread = str(parsed.get("References", "") or parsed.get("In-Reply-To", "") or parsed.get("Message-ID", number))
        stored = StoredMessage(
            id="AAkALg" + stable_uuid("message", self.address, number).replace("-", ""),
            number=number,
            folder=folder,
            received_at=self.core.clock.now(),
            content=content,
            conversation_id=stable_uuid("conversation", thread.split(maxsplit=1)[0]),
            message_class=message_class,
            is_draft=is_draft,
        )
        self.messages.append(stored)
        return stored


def parse(content: bytes) -> EmailMessage:
    """Return a message that was submitted or received."""
    return message_from_bytes(content, EmailMessage, policy=default)


def delivered(content: bytes) -> EmailMessage:
    """Return a submitted message as its recipients get it."""
    message = parse(content)
    for name in STRIPPED_HEADERS:
        del message[name]
    return message


def recipients_of(message: EmailMessage) -> Iterator[str]:
    """Yield the addresses in To, Cc and Bcc."""
    fields = [str(value) for name in ("To", "Cc", "Bcc") for value in message.get_all(name, [])]
    yield from dict.fromkeys(address.lower() for _name, address in getaddresses(fields) if "@" in address)


def build_report(mailbox: Mailbox, sent: StoredMessage, address: str, outcome: str) -> bytes:
    """Build the report of a server about one recipient, in the form of RFC 3464, as Exchange Online writes it."""
    action, status, words = BOUNCES[outcome]
    original, domain = sent.mime, mailbox.address.rpartition("@")[2]
    at = mailbox.core.clock.now() + timedelta(seconds=1)
    report = MIMEMultipart("report")
    report.set_param("report-type", "delivery-status")
    report["From"] = f"Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@{domain}>"
    report["To"] = mailbox.address
    report["Date"] = format_datetime(at)
    report["Subject"] = f"{'Undeliverable' if action == 'failed' else 'Delivery delayed'}: {original['Subject']}"
    report["Message-ID"] = f"<{stable_uuid('report', sent.id, address, outcome)}@{domain}>"
    report["In-Reply-To"] = original["Message-ID"]
    report["References"] = original["Message-ID"]
    report["Auto-Submitted"] = "auto-replied"
    report.attach(MIMEText(f"Your message to {address} couldn't be delivered.\n{words}\n"))
    fields = (
        f"Reporting-MTA: dns;{domain}\r\n\r\nFinal-Recipient: rfc822;{address}\r\nAction: {action}\r\n"
        f"Status: {status}\r\nDiagnostic-Code: smtp;{words}\r\n"
    )
    machine = message_from_bytes(f"Content-Type: message/delivery-status\r\n\r\n{fields}".encode())
    report.attach(machine)
    headers = EmailMessage(policy=default)
    for name in ("From", "To", "Subject", "Message-ID", "Date"):
        if original[name]:
            headers[name] = str(original[name])
    headers.set_content("")
    report.attach(MIMEMessage(headers))
    return report.as_bytes()
