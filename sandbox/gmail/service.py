"""The simulated Gmail: its accounts and limits, what recipients do, and what reaches the mailboxes from outside."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime, parseaddr

from sandbox.core import JsonObject, SandboxCore
from sandbox.gmail import mail
from sandbox.gmail.api_errors import ApiError, minute_quota, sending_limit
from sandbox.gmail.mail import OUTCOMES, StoredMail
from sandbox.gmail.mailbox import Alias, Mailbox
from sandbox.gmail.signin import CLIENT_ID, CLIENT_SECRET, SignIn

ACCOUNT = "billing@larkspur.example"
_DAY = timedelta(days=1)
_ACTIONS = frozenset({"reply", "bounce", "receive", "set_outcome", "revoke_all", "add_alias"})


@dataclass(slots=True)
class Limits:
    """Gmail's limits: quota units a minute and recipients a day of one account; None where not the point."""

    units_per_minute: int | None = None
    recipients_per_day: int | None = None
    tells_by_email: bool = False  # the email is accepted, and a notice says afterwards that it was not sent


@dataclass(slots=True)
class Behaviour:
    """What differs from account to account and from day to day.

    Attributes:
        keeps_message_ids: Leave the Message-ID of the sender, as Gmail seldom does.
        search_lag: The delay until an email is found by a search.
        empty_pages: Answer a history in pages, some of which hold nothing.
    """

    keeps_message_ids: bool = False
    search_lag: timedelta = timedelta()
    empty_pages: bool = False


@dataclass
class Gmail:
    """The state of the simulated Gmail."""

    core: SandboxCore
    mailboxes: dict[str, Mailbox] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    behaviour: Behaviour = field(default_factory=Behaviour)
    problem: ApiError | None = None  # answered to every call, such as that the API is not enabled
    _units: dict[tuple[str, int], int] = field(default_factory=dict)
    _ids: int = 0

    def __post_init__(self) -> None:
        """Open the first account."""
        self.sign_in = SignIn(self.core, self.mailboxes)
        self.add_account(ACCOUNT)

    # For tests and scripts

    def add_account(self, address: str) -> Mailbox:
        """Add an account with an empty mailbox."""
        self.mailboxes[address] = Mailbox(self.core, address)
        return self.mailboxes[address]

    def rename_account(self, address: str, new: str) -> None:
        """Change the address of an account, as the administrator of a Workspace may; its grants go on."""
        with self.core.lock:
            self.mailboxes[new] = self.mailboxes.pop(address)
            self.mailboxes[new].address = new
            for grant in self.sign_in.grants:
                grant.address = new if grant.address == address else grant.address

    def add_alias(self, address: str, status: str = "accepted", *, account: str = ACCOUNT) -> None:
        """Add an address from which an account may send too; "pending" is not verified yet."""
        with self.core.lock:
            self.mailboxes[account].aliases.append(Alias(address, status))

    def emails(self, account: str = ACCOUNT) -> list[StoredMail]:
        """Return the emails an account has sent, oldest first."""
        with self.core.lock:
            return [email for email in self.mailboxes[account].emails.values() if "SENT" in email.labels]

    def emails_to(self, address: str, account: str = ACCOUNT) -> list[StoredMail]:
        """Return the emails sent to an address, oldest first."""
        return [email for email in self.emails(account) if address.lower() in email.envelope]

    def set_outcome(self, address: str, outcome: str) -> None:
        """Set what happens to emails to an address or domain: one of ``OUTCOMES``, or "delivered"."""
        if outcome not in {"delivered", *OUTCOMES}:
            raise ValueError(f"unknown outcome: {outcome}")
        with self.core.lock:
            self.outcomes[address.lower()] = outcome

    def reply(self, number: int, text: str, *, sender: str = "", subject: str = "", account: str = ACCOUNT,
              headers: dict[str, str] | None = None, labels: tuple[str, ...] = ("INBOX", "UNREAD")) -> str:  # fmt: skip
        """Answer the email with this number (from 1); another subject starts another thread."""
        with self.core.lock:
            original = self._sent(number, account)
            sender = sender or original.envelope[0]
            to = original.header("Reply-To") or original.header("From")
            raw = mail.write_reply(
                original, sender, to, text, self._message_id("customer.example"), self.core.clock.now(),
                headers or {}, subject,
            )  # fmt: skip
            return self.mailboxes[account].add(raw, list(labels)).id

    def bounce(self, number: int, outcome: str = "bounce", *, account: str = ACCOUNT, complete: bool = True) -> str:
        """Return an email late to its sender; one that is not ``complete`` has no machine-readable part."""
        with self.core.lock:
            original = self._sent(number, account)
            return self._report(original, original.envelope[0], outcome, account, complete=complete)

    def receive(self, sender: str, subject: str, text: str, *, account: str = ACCOUNT) -> str:
        """Add an email to the mailbox that has nothing to do with ours."""
        with self.core.lock:
            date = format_datetime(self.core.clock.now())
            lines = (
                f"From: {sender}", f"To: {account}", f"Subject: {subject}",
                f"Date: {date}", f"Message-ID: {self._message_id('elsewhere.example')}",
                "Content-Type: text/plain; charset=utf-8", "", text,
            )  # fmt: skip
            return self.mailboxes[account].add("\r\n".join(lines).encode(), ["INBOX", "UNREAD"]).id

    def revoke_all(self) -> None:
        """Revoke every grant, as a changed password does for apps with access to Gmail."""
        with self.core.lock:
            for grant in self.sign_in.grants:
                grant.revoked = True

    # Called by the endpoints, under the lock

    def send(self, address: str, raw: bytes, thread_id: str = "") -> StoredMail:
        """Send an email for an account. Raises ``ApiError`` for what Gmail refuses."""
        box, now = self.mailboxes[address], self.core.clock.now()
        raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        draft = StoredMail("", "", raw, [], now)
        envelope = tuple(dict.fromkeys(draft.addresses("To", "Cc", "Bcc")))
        if not envelope:
            raise ApiError(400, "invalidArgument", "Recipient address required")
        if any("@" not in each for each in envelope):
            raise ApiError(400, "invalidArgument", "Invalid To header")
        over_limit = self._count_recipients(box, len(envelope), now)
        if not box.may_send_as(parseaddr(draft.header("From"))[1]):
            raw = mail.set_header(raw, "From", address)
        if not self.behaviour.keeps_message_ids or not draft.message_id:
            raw = mail.set_header(raw, "Message-ID", self._message_id("mail.gmail.com"))
        sent = box.add(raw, ["SENT"], envelope, thread_id)
        for recipient in envelope:
            outcome = "sending_limit" if over_limit else self._outcome(recipient)
            if outcome != "delivered":
                self._report(sent, recipient, outcome, address, complete=True)
        return sent

    def count_units(self, address: str, units: int) -> None:
        """Count the quota units of a call. Raises ``ApiError`` once too many were used in this minute."""
        if self.problem is not None:
            raise self.problem
        minute = (address, int(self.core.clock.now().timestamp()) // 60)
        self._units[minute] = self._units.get(minute, 0) + units
        most = self.limits.units_per_minute
        if most is not None and self._units[minute] > most:
            raise minute_quota("123456789012")

    def _count_recipients(self, box: Mailbox, more: int, now: datetime) -> bool:
        """Return whether the day's limit is passed and only an email says so; else Gmail refuses: ``ApiError``."""
        sent = [email for email in box.emails.values() if "SENT" in email.labels and email.at > now - _DAY]
        most = self.limits.recipients_per_day
        if most is None or sum(len(email.envelope) for email in sent) + more <= most:
            return False
        if self.limits.tells_by_email:
            return True
        raise sending_limit(min((email.at for email in sent), default=now) + _DAY)

    def _outcome(self, recipient: str) -> str:
        domain = recipient.rpartition("@")[2]
        return self.outcomes.get(recipient) or self.outcomes.get(domain, "delivered")

    def _report(self, sent: StoredMail, recipient: str, outcome: str, account: str, *, complete: bool) -> str:
        message_id = self._message_id("mx.google.com")
        now = self.core.clock.now()
        raw = mail.write_report(sent, recipient, outcome, account, message_id, now, complete=complete)
        return self.mailboxes[account].add(raw, ["INBOX", "UNREAD"]).id

    def _sent(self, number: int, account: str) -> StoredMail:
        sent = self.emails(account)
        if not 1 <= number <= len(sent):
            raise LookupError(f"email {number}")
        return sent[number - 1]

    def _message_id(self, domain: str) -> str:
        self._ids += 1
        digest = hashlib.blake2b(f"{self.core.seed}:{domain}:{self._ids}".encode(), digest_size=15).hexdigest()
        return f"<CA{digest}@{domain}>"

    # The sandbox's own interface

    def settings(self, url: str) -> dict[str, str]:
        """Return duewell's settings for this Gmail."""
        return {
            "GMAIL_CLIENT_ID": CLIENT_ID,
            "GMAIL_CLIENT_SECRET": CLIENT_SECRET,
            "GMAIL_LOGIN_URL": url,
            "GMAIL_IDENTITY_URL": url,
            "GMAIL_API_URL": url,
        }

    def summary(self) -> JsonObject:
        """Return the number of emails sent and kept."""
        kept = [email for box in self.mailboxes.values() for email in box.emails.values()]
        return {"emails sent": sum("SENT" in email.labels for email in kept), "emails in mailboxes": len(kept)}

    def perform_action(self, action: str, fields: JsonObject) -> JsonObject:
        """Perform the action of a script: a method."""
        if action not in _ACTIONS:
            raise LookupError(f"action {action}")
        return {"done": action, "result": getattr(self, action)(**fields)}
