"""The make-believe SendGrid as one object: the mails it took, its keys, limits and webhook, for tests and the demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from starlette.routing import BaseRoute

from sandbox.core import SandboxCore, stable_uuid
from sandbox.sendgrid.message_store import Email, MessageStore
from sandbox.sendgrid.routes import routes
from sandbox.sendgrid.webhook import EventWebhook

API_KEY = "SG.sandbox.make-believe-key"
SENDER = "billing@larkspur.example"
_ACTIONS = frozenset(
    {"suppress", "unsuppress", "set_outcome", "bounce", "spam", "unsubscribe", "post_events", "webhook", "logs_lag"}
)


@dataclass(slots=True)
class RateLimit:
    """Requests per minute to everything but mail/send, told in X-RateLimit headers; by the sandbox's clock."""

    per_minute: int = 600
    enforced: bool = False
    _minute: int = 0
    _used: int = field(default=0)

    def count_request(self, now: datetime) -> dict[str, str]:
        """Count a request and return the headers; a negative rest means it is refused."""
        minute = int(now.timestamp()) // 60
        self._used = self._used + 1 if minute == self._minute else 1
        self._minute = minute
        left = self.per_minute - self._used
        left = left if self.enforced else max(left, 0)
        reset = (minute + 1) * 60
        names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
        return dict(zip(names, map(str, (self.per_minute, left, reset)), strict=True))


class SendGrid:
    """State to look into and to change.

    ``keys`` maps an API key to its scopes ("*" is all); ``senders``, if any, are the only allowed senders; ``logs_lag``
    is how long the e-mail logs take to know a mail; ``limit.enforced`` lets 429 happen; ``webhook.url`` gets the events
    by ``post_events``.
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
        """Return all mails taken, oldest first, also those that were then dropped or bounced."""
        with self.core.lock:
            return list(self.store.emails)

    def emails_to(self, email: str) -> list[Email]:
        """Return the mails to an address, oldest first."""
        return [mail for mail in self.emails() if email.lower() in {to.lower() for to in mail.to}]

    def suppress(self, email: str, name: str = "bounces", reason: str = "550 5.1.1 no such user here") -> None:
        """Put an address on a list: bounces, blocks, invalid_emails, spam_reports or unsubscribes."""
        with self.core.lock:
            if name not in self.store.lists:
                raise LookupError(f"list {name}")
            self.store.suppress(name, email, reason, "5.1.1" if name == "bounces" else "")

    def unsuppress(self, email: str) -> None:
        """Take an address off every list."""
        with self.core.lock:
            for listed in self.store.lists.values():
                listed.pop(email.lower(), None)

    def set_outcome(self, address: str, outcome: str) -> None:
        """Decide what becomes of mails to an address or domain: delivered, bounce, blocked or deferred."""
        if outcome not in {"delivered", "bounce", "blocked", "deferred"}:
            raise ValueError(f"no such fate: {outcome}")
        with self.core.lock:
            self.store.outcomes[address.lower()] = outcome

    def bounce(self, number: int) -> None:
        """Let a delivered mail (by its number) bounce after all."""
        facts = {"reason": "550 5.1.1 no such user here", "status": "5.1.1", "type": "bounce"}
        self._record_event(number, "bounce", **facts, bounce_classification="Invalid Address")

    def spam(self, number: int) -> None:
        """Let the receiver report a mail as spam."""
        self._record_event(number, "spamreport")

    def unsubscribe(self, number: int) -> None:
        """Let the receiver unsubscribe from everything."""
        self._record_event(number, "unsubscribe")

    def post_events(self) -> int:
        """Post what happened since the last time to the webhook; return its status, 0 if there was nothing to post."""
        with self.core.lock:
            events, now = list(self.store.events), int(self.core.clock.now().timestamp())
        return self.webhook.post(events, now)

    def new_batch(self) -> str:
        """Make a batch id."""
        self._batches += 1
        return stable_uuid(self.core.seed, "batch", self._batches).replace("-", "")

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes of API and pages."""
        return routes(self)

    def settings(self, url: str) -> dict[str, str]:
        """Return the environment that points a duewell here."""
        return {
            "SENDGRID_API_KEY": API_KEY,
            "SENDGRID_API_URL": url,
            "SENDGRID_WEBHOOK_PUBLIC_KEY": self.webhook.public_key,
            "MAIL_FROM": SENDER,
        }

    def summary(self) -> dict[str, Any]:
        """Return counts."""
        suppressed = sum(len(listed) for listed in self.store.lists.values())
        return {"emails": len(self.store.emails), "events": len(self.store.events), "suppressed addresses": suppressed}

    def perform_action(self, action: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Do what a script asks: the names of the methods, ``webhook`` (url) and ``logs_lag`` (seconds)."""
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
                raise LookupError(f"mail {number}")
            for message in self.store.emails[number - 1].messages:
                self.store.record_event(message, kind, **details)
