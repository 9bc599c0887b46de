"""The simulated SendGrid: its emails, keys, limits and webhook, for tests and the demo."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.core import JsonObject, SandboxCore, stable_uuid
from sandbox.sendgrid.message_store import OUTCOMES, Email, MessageStore
from sandbox.sendgrid.webhook import EventWebhook

API_KEY = "SG.sandbox.make-believe-key"
SENDER = "billing@larkspur.example"
_ACTIONS = frozenset(
    {
        "suppress",
        "unsuppress",
        "set_outcome",
        "bounce",
        "spam",
        "unsubscribe",
        "group_unsubscribe",
        "group_resubscribe",
        "post_events",
        "webhook",
        "logs_lag",
    }
)


@dataclass(slots=True)
class RateLimit:
    """The limit of requests per minute, except mail/send, by the sandbox's clock, in X-RateLimit headers."""

    per_minute: int = 600
    enforced: bool = False
    _minute: int = 0
    _used: int = field(default=0)

    def count_request(self, now: datetime) -> dict[str, str]:
        """Count a request and return the headers; a negative rest means that it is rejected."""
        minute = int(now.timestamp()) // 60
        self._used = self._used + 1 if minute == self._minute else 1
        self._minute = minute
        left = self.per_minute - self._used
        left = left if self.enforced else max(left, 0)
        reset = (minute + 1) * 60
        names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
        return dict(zip(names, map(str, (self.per_minute, left, reset)), strict=True))


class SendGrid:
    """The state of the simulated SendGrid.

    Attributes:
        keys: The scopes of each API key ("*" is all).
        senders: If any, the only allowed senders.
        logs_lag: The delay until an email is in the logs.
        limit: With ``enforced``, exceeding it is answered 429.
        webhook: Where ``post_events`` posts.
    """

    def __init__(self, core: SandboxCore) -> None:
        self.core = core
        self.store = MessageStore(core)
        self.keys: dict[str, frozenset[str]] = {API_KEY: frozenset({"*"})}
        self.senders: set[str] = set()
        self.logs_lag = timedelta()
        self.limit = RateLimit()
        self.webhook = EventWebhook(core.seed)
        self._batches = 0

    def emails(self) -> list[Email]:
        """Return all accepted emails, oldest first, including those dropped or bounced."""
        with self.core.lock:
            return list(self.store.emails)

    def emails_to(self, email: str) -> list[Email]:
        """Return the emails to an address, oldest first."""
        return [one for one in self.emails() if email.lower() in {to.lower() for to in one.to}]

    def suppress(self, email: str, name: str = "bounces", reason: str = "550 5.1.1 no such user here") -> None:
        """Add an address to a list: bounces, blocks, invalid_emails, spam_reports or unsubscribes."""
        with self.core.lock:
            if name not in self.store.lists:
                raise LookupError(f"list {name}")
            self.store.suppress(name, email, reason, "5.1.1" if name == "bounces" else "")

    def unsuppress(self, email: str) -> None:
        """Remove an address from all lists."""
        with self.core.lock:
            for listed in self.store.lists.values():
                listed.pop(email.lower(), None)

    def set_outcome(self, address: str, outcome: str) -> None:
        """Set what happens to emails to an address or domain: one of ``OUTCOMES``."""
        if outcome not in OUTCOMES:
            raise ValueError(f"unknown outcome: {outcome}")
        with self.core.lock:
            self.store.outcomes[address.lower()] = outcome

    def bounce(self, number: int) -> None:
        """Report a late bounce of a delivered email (by its number)."""
        facts = {"reason": "550 5.1.1 no such user here", "status": "5.1.1", "type": "bounce"}
        self._record_event(number, "bounce", **facts, bounce_classification="Invalid Address")

    def spam(self, number: int) -> None:
        """Report an email as spam."""
        self._record_event(number, "spamreport")

    def group_unsubscribe(self, number: int) -> None:
        """Unsubscribe the recipient from one group of emails."""
        self._record_event(number, "group_unsubscribe", asm_group_id=1)

    def group_resubscribe(self, number: int) -> None:
        """Subscribe the recipient to that group again."""
        self._record_event(number, "group_resubscribe", asm_group_id=1)

    def unsubscribe(self, number: int) -> None:
        """Unsubscribe the recipient from all emails."""
        self._record_event(number, "unsubscribe")

    def post_events(self) -> int:
        """Post new events to the webhook; return its status, 0 if nothing was posted."""
        with self.core.lock:
            events, now = list(self.store.events), int(self.core.clock.now().timestamp())
        return self.webhook.post(events, now)

    def new_batch(self) -> str:
        """Return a new batch id."""
        self._batches += 1
        return stable_uuid(self.core.seed, "batch", self._batches).replace("-", "")

    def settings(self, url: str) -> dict[str, str]:
        """Return duewell's settings for this SendGrid."""
        return {
            "SENDGRID_API_KEY": API_KEY,
            "SENDGRID_API_URL": url,
            "SENDGRID_WEBHOOK_PUBLIC_KEY": self.webhook.public_key,
            "MAIL_FROM": SENDER,
        }

    def summary(self) -> JsonObject:
        """Return the number of emails, events and suppressed addresses."""
        suppressed = sum(len(listed) for listed in self.store.lists.values())
        return {"emails": len(self.store.emails), "events": len(self.store.events), "suppressed addresses": suppressed}

    def perform_action(self, action: str, fields: JsonObject) -> JsonObject:
        """Perform the action of a script: a method, ``webhook`` (url) or ``logs_lag`` (seconds)."""
        if action not in _ACTIONS:
            raise LookupError(f"action {action}")
        if action == "webhook":
            self.webhook.url = str(fields["url"])
        elif action == "logs_lag":
            self.logs_lag = timedelta(seconds=float(fields["seconds"]))
        else:
            done = getattr(self, action)(**fields)
            return {"done": action, "result": done}
        return {"done": action}

    def _record_event(self, number: int, kind: str, **details: Any) -> None:
        with self.core.lock:
            if not 1 <= number <= len(self.store.emails):
                raise LookupError(f"email {number}")
            for message in self.store.emails[number - 1].messages:
                self.store.record_event(message, kind, **details)
