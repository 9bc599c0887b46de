"""The simulated Microsoft 365: its mailbox, sign-in and limits, for tests and the demo."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any

from sandbox.core import JsonObject, SandboxCore
from sandbox.microsoft365.exchange import BOUNCES, Mailbox, StoredMessage, delivered
from sandbox.microsoft365.signin import CLIENT_ID, CLIENT_SECRET, SignIn

ADDRESS = "billing@larkspur.example"
_ACTIONS = frozenset({"reply", "receive_text", "set_outcome", "forget_positions", "revoke_consent", "expire_tokens"})

__all__ = ["ADDRESS", "CLIENT_ID", "Microsoft365"]


@dataclass(slots=True)
class Limits:
    """What Exchange Online takes of a mailbox; 0 switches a limit off.

    Source: learn.microsoft.com, "Exchange Online limits" (sending limits) and "Microsoft Graph throttling limits".
    """

    messages_a_minute: int = 30
    recipients_a_day: int = 10_000
    requests_in_ten_minutes: int = 10_000
    _requests: list[datetime] = field(default_factory=list)
    _messages: list[tuple[datetime, int]] = field(default_factory=list)

    def count_request(self, now: datetime) -> int:
        """Count a request; return the seconds to wait where it is too many, else 0."""
        self._requests = [at for at in self._requests if at > now - timedelta(minutes=10)]
        if self.requests_in_ten_minutes and len(self._requests) >= self.requests_in_ten_minutes:
            return 30
        self._requests.append(now)
        return 0

    def count_message(self, now: datetime, recipients: int) -> str:
        """Count a message; return "minute" or "day" where it is too many, else ""."""
        self._messages = [(at, count) for at, count in self._messages if at > now - timedelta(days=1)]
        lately = [at for at, _count in self._messages if at > now - timedelta(minutes=1)]
        if self.messages_a_minute and len(lately) >= self.messages_a_minute:
            return "minute"
        if self.recipients_a_day and sum(count for _at, count in self._messages) + recipients > self.recipients_a_day:
            return "day"
        self._messages.append((now, recipients))
        return ""


class Microsoft365:
    """The state of the simulated Microsoft 365.

    Attributes:
        mailbox: The one mailbox there is.
        signin: The identity platform.
        limits: What is too much.
        blocked_by: If set, Graph's error code for every ``sendMail``: the mailbox may not send.
        positions: What each delta token stands for; one that is not here is no longer known.
    """

    def __init__(self, core: SandboxCore) -> None:
        """Start with an empty mailbox."""
        self.core = core
        self.mailbox = Mailbox(core, ADDRESS)
        self.signin = SignIn(core, ADDRESS)
        self.limits = Limits()
        self.blocked_by = ""
        self.positions: dict[str, JsonObject] = {}

    def sent(self) -> list[StoredMessage]:
        """Return what was submitted, oldest first."""
        with self.core.lock:
            return [each for each in self.mailbox.messages if each.folder in {"sentitems", "drafts"}]

    def delivered_to(self, address: str) -> list[EmailMessage]:
        """Return what a recipient got, oldest first."""
        wanted = address.lower()
        return [
            delivered(each.content)
            for each in self.sent()
            if wanted in each.recipients and self.mailbox.outcomes.get(wanted, "") not in BOUNCES
        ]

    def receive(self, content: bytes, *, folder: str = "inbox", message_class: str = "IPM.Note") -> StoredMessage:
        """Add any message to a folder."""
        with self.core.lock:
            return self.mailbox.receive(content, folder=folder, message_class=message_class)

    def receive_text(self, sender: str, text: str, subject: str = "Hello", **headers: str) -> str:
        """Add a plain message to the inbox; return its id."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, ADDRESS, subject
        message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
        message["Date"] = format_datetime(self.core.clock.now())
        for name, value in headers.items():
            message[name.replace("_", "-")] = value
        message.set_content(text)
        return self.receive(message.as_bytes()).id

    def reply(self, number: int, text: str, sender: str = "") -> str:
        """Have a recipient answer the email with this number (from 1); return the message's id."""
        sent = self.sent()
        if not 1 <= number <= len(sent):
            raise LookupError(f"email {number}")
        original = sent[number - 1].mime
        own_id = str(original["Message-ID"])
        references = " ".join(filter(None, [str(original.get("References", "")), own_id]))
        return self.receive_text(
            sender or sent[number - 1].recipients[0],
            text,
            f"Re: {original['Subject']}",
            In_Reply_To=own_id,
            References=references,
        )

    def set_outcome(self, address: str, outcome: str) -> None:
        """Set what becomes of emails to an address: a key of ``BOUNCES``, or "" for arriving."""
        if outcome and outcome not in BOUNCES:
            raise ValueError(f"unknown outcome: {outcome}")
        with self.core.lock:
            self.mailbox.outcomes[address.lower()] = outcome

    def forget_positions(self) -> None:
        """Forget every delta token, as Microsoft may at any time."""
        with self.core.lock:
            self.positions.clear()

    def revoke_consent(self) -> None:
        """End the consent of every app."""
        with self.core.lock:
            self.signin.revoke_all()

    def expire_tokens(self) -> None:
        """End every access token; the consents stay."""
        with self.core.lock:
            self.signin.expire_access()

    def settings(self, url: str) -> dict[str, str]:
        """Return duewell's settings for this Microsoft 365."""
        return {
            "MICROSOFT365_CLIENT_ID": CLIENT_ID,
            "MICROSOFT365_CLIENT_SECRET": CLIENT_SECRET,
            "MICROSOFT365_LOGIN_URL": url,
            "MICROSOFT365_API_URL": url,
        }

    def summary(self) -> JsonObject:
        """Return the number of messages by folder."""
        folders: dict[str, int] = {}
        for each in self.mailbox.messages:
            folders[each.folder] = folders.get(each.folder, 0) + 1
        return dict(folders)

    def perform_action(self, action: str, fields: JsonObject) -> JsonObject:
        """Call one of the public methods by name. Raises ``LookupError`` for another one."""
        if action not in _ACTIONS:
            raise LookupError(f"action {action}")
        result: Any = getattr(self, action)(**fields)
        return {"done": action, "result": result}
