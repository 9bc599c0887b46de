"""One Gmail mailbox: its emails in threads, and the history of what was added and deleted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.core import JsonObject, SandboxCore
from sandbox.gmail.api_errors import ApiError, not_found
from sandbox.gmail.mail import StoredMail

HISTORY_KEPT = timedelta(days=7)  # "typically valid for at least a week"
_FIRST_HISTORY_ID = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the history: an email that was added or deleted."""

    history_id: int
    at: datetime
    email: JsonObject
    kind: str  # messagesAdded or messagesDeleted


@dataclass(slots=True)
class Alias:
    """An address from which the account may send; ``status`` is empty for one of the same Workspace domain."""

    address: str
    status: str = "accepted"


@dataclass
class Mailbox:
    """The mailbox of one account."""

    core: SandboxCore
    address: str
    emails: dict[str, StoredMail] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    aliases: list[Alias] = field(default_factory=list)
    history_id: int = _FIRST_HISTORY_ID
    _created: int = 0

    def add(self, raw: bytes, labels: list[str], envelope: tuple[str, ...] = (), thread_id: str = "") -> StoredMail:
        """Add an email, to the thread that it answers under the same subject or else to one of its own."""
        now = self.core.clock.now()
        new_id = self._new_id()
        email = StoredMail(new_id, thread_id or new_id, raw, labels, now, envelope=envelope)
        email.thread_id = thread_id or self._find_thread(email) or new_id
        email.history_id = self._record(email, "messagesAdded", now)
        self.emails[email.id] = email
        return email

    def delete(self, message_id: str) -> None:
        """Delete an email for good, as a user may right after it arrived."""
        email = self.emails.pop(message_id)
        self._record(email, "messagesDeleted", self.core.clock.now())

    def get(self, message_id: str) -> StoredMail:
        """Return an email. Raises ``ApiError`` where there is none."""
        email = self.emails.get(message_id)
        if email is None:
            raise not_found()
        return email

    def changes_since(self, start: int, kinds: set[str]) -> list[Change]:
        """Return the changes after a history id. Raises ``ApiError`` for one that is no longer kept."""
        oldest_at = self.core.clock.now() - HISTORY_KEPT
        forgotten = max((c.history_id for c in self.changes if c.at < oldest_at), default=0)
        if start <= forgotten or not _FIRST_HISTORY_ID <= start <= self.history_id:
            raise not_found()
        return [c for c in self.changes if c.history_id > start and (not kinds or c.kind in kinds)]

    def may_send_as(self, address: str) -> bool:
        """Return whether an address may stand in From as it is."""
        usable = {self.address, *(alias.address for alias in self.aliases if alias.status != "pending")}
        return address.lower() in {each.lower() for each in usable}

    def thread(self, thread_id: str) -> list[StoredMail]:
        """Return the emails of a thread, oldest first. Raises ``ApiError`` where there is none."""
        found = [email for email in self.emails.values() if email.thread_id == thread_id]
        if not found:
            raise not_found()
        return found

    def _find_thread(self, email: StoredMail) -> str:
        known = {other.message_id: other for other in self.emails.values()}
        for reference in reversed(email.references):
            other = known.get(reference)
            is_report = email.header("From").lower().find("mailer-daemon") >= 0
            if other is not None and (other.subject == email.subject or is_report):
                return other.thread_id
        return ""

    def _record(self, email: StoredMail, kind: str, at: datetime) -> int:
        digest = hashlib.blake2b(f"{self.core.seed}:{self.history_id}".encode(), digest_size=1).digest()[0]
        self.history_id += 1 + digest % 40  # ids grow with gaps
        self.changes.append(Change(self.history_id, at, {**email.short(), "labelIds": list(email.labels)}, kind))
        return self.history_id

    def _new_id(self) -> str:
        self._created += 1
        raw = f"{self.core.seed}:{self.address}:{self._created}".encode()
        return f"19{hashlib.blake2b(raw, digest_size=7).hexdigest()}"


def parse_start(text: str) -> int:
    """Return a history id from a request. Raises ``ApiError`` for what is none."""
    if not text.isdecimal():
        raise ApiError(400, "badRequest", "Invalid value at 'start_history_id' (TYPE_UINT64)")
    return int(text)
