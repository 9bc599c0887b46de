"""The make-believe QuickBooks Online as one object: its companies, its sign-in, its switches, and life going on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from starlette.routing import BaseRoute

from sandbox.core import SandboxCore
from sandbox.quickbooks import webhook
from sandbox.quickbooks.api_errors import ApiFault
from sandbox.quickbooks.bookkeeper import Bookkeeper
from sandbox.quickbooks.company import update_company_info
from sandbox.quickbooks.company_ledger import REALM, CompanyLedger, CompanyProfile
from sandbox.quickbooks.company_setup import (
    RATES,
    create_company,
    create_company_with_history,
    home_profile,
    home_today,
)
from sandbox.quickbooks.history import HistoryReplay
from sandbox.quickbooks.routes import routes
from sandbox.quickbooks.signin import CLIENT_ID, CLIENT_SECRET, SignIn
from sandbox.quickbooks.throttle import Throttle
from sandbox.simulation import CompanyHistory, get_history
from sandbox.webhook_sender import WebhookSender

JsonObject = dict[str, Any]
_ACTIONS = {
    "pay", "pay_unapplied", "apply", "delete_payment", "void_payment", "deposit", "credit", "apply_credit",
    "add_invoice", "edit", "void", "delete", "note", "add_customer", "edit_customer",
    "set_email", "deactivate", "merge",
}  # fmt: skip


@dataclass(slots=True)
class _HistoryProgress:
    """How far a company's life has come."""

    history: CompanyHistory
    replay: HistoryReplay
    applied_until: datetime
    next_at: datetime | None


class QuickBooks(Bookkeeper):
    """Companies by realm id; the methods of ``Desk`` work on the first one, ``desk(realm)`` gives another's.

    ``replays_requests`` off: ``requestid`` is ignored, as some have reported. ``xml_throttle`` on: throttling answers
    in XML, as it has. ``old_webhooks`` on: webhooks have the form they had before CloudEvents.
    """

    def __init__(self, core: SandboxCore) -> None:
        super().__init__(core.lock, lambda: self.ledger(REALM))
        self.core = core
        self.sign_in = SignIn(core.seed, core.clock)
        self.throttle = Throttle()
        self.replays_requests = True
        self.xml_throttle = False
        self.webhook = WebhookSender(f"quickbooks-verifier-token-{core.seed}", "intuit-signature")
        self.legacy_webhooks = False
        self.reply_count = 0
        self._companies: dict[str, CompanyLedger] = {}
        self._history_progress: _HistoryProgress | None = None
        self._companies_added = 0

    def list_companies(self) -> dict[str, CompanyProfile]:
        """Return all companies, the one with a history first, without making that history."""
        home = self._companies[REALM].profile if REALM in self._companies else home_profile()
        return {REALM: home} | {realm: books.profile for realm, books in self._companies.items()}

    def find_ledger(self, realm: str) -> CompanyLedger | None:
        """Return a company's books, or None; a history is made at the first look, and lives up to now at every one."""
        if realm != REALM:
            return self._companies.get(realm)
        now = self.core.clock.now()
        lived = self._history_progress = self._history_progress or self._create_home_company(now)
        if lived.next_at is not None and lived.next_at <= now:
            lived.replay.apply_events(lived.history.between(lived.applied_until, now))
            lived.applied_until, lived.next_at = now, lived.history.next_at(now)
        return self._companies[REALM]

    def ledger(self, realm: str = REALM) -> CompanyLedger:
        """Return a company's books; raises ``LookupError`` where there is none."""
        found_books = self.find_ledger(realm)
        if found_books is None:
            raise LookupError(f"company {realm}")
        return found_books

    def bookkeeper(self, realm: str) -> Bookkeeper:
        """Return the bookkeeper's desk of a company."""
        return Bookkeeper(self._lock, lambda: self.ledger(realm))

    def add_company(
        self, name: str, *, country: str = "US", currency: str = "USD", time_zone: str = "America/Los_Angeles",
        multicurrency: bool = True,
    ) -> str:  # fmt: skip
        """Found a company with empty books and return its realm id."""
        with self._lock:
            self._companies_added += 1
            realm = str(int(REALM) + self._companies_added)
            profile = CompanyProfile(name, country, currency, time_zone, multicurrency, rates=dict(RATES))
            self._companies[realm] = create_company(realm, profile, self.core.clock.now(), self.core.clock.now)
            return realm

    def disconnect(self, realm: str = REALM) -> None:
        """Let the bookkeeper disconnect the app: tokens of this company are dead at once."""
        with self._lock:
            self.sign_in.end_grants(realm)

    def register_webhook(self, url: str) -> None:
        """Tell a webhook of changes from now on."""
        self.webhook.url, self.webhook.sent_until = url, self.core.clock.now()

    def post_webhooks(self) -> int:
        """Tell what has changed since the last time; return the answer's status, 0 where there was nothing to tell."""
        with self._lock:
            now, since = self.core.clock.now(), self.webhook.sent_until
            realms = [
                realm
                for realm in self.list_companies()
                if since is not None and (realm != REALM or self._history_progress)
            ]
            changed = [one for realm in realms for one in webhook.changes(realm, self.ledger(realm), since or now)]
        told = webhook.legacy_events(changed) if self.legacy_webhooks else webhook.cloud_events(changed)
        return self.webhook.post(told, now) if changed else 0

    def close_books(self, on: date | None, realm: str = REALM) -> None:
        """Close the books up to and including a day, or open them."""
        with self._lock:
            books = self.ledger(realm)
            books.profile.books_closed_on = on
            update_company_info(books)

    def add_bulk_invoices(self, count: int = 50_000, realm: str = REALM) -> None:
        """Add that many open invoices, as a big company has them, for measuring."""
        with self._lock:
            names = [entry.body["DisplayName"] for entry in self.ledger(realm).all("Customer") if entry.body["Active"]]
            desk = self.bookkeeper(realm)
            for n in range(count):
                desk.add_invoice(names[n % len(names)], Decimal(5000 + n % 90_000) / 100, sent=False)

    # what the sandbox asks of a vendor

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes of the API and the sign-in."""
        return routes(self)

    def settings(self, url: str) -> dict[str, str]:
        """Return the environment that points a duewell here."""
        return {
            "QUICKBOOKS_CLIENT_ID": CLIENT_ID,
            "QUICKBOOKS_CLIENT_SECRET": CLIENT_SECRET,
            "QUICKBOOKS_ENVIRONMENT": "sandbox",
            "QUICKBOOKS_DISCOVERY_URL": f"{url}/.well-known/openid_sandbox_configuration/",
            "QUICKBOOKS_API_URL": url,
            "QUICKBOOKS_WEBHOOK_TOKEN": self.webhook.key,
        }

    def summary(self) -> dict[str, Any]:
        """Return counts of the company with a history, and how many others there are."""
        books = self.ledger(REALM)
        counts: dict[str, Any] = {"company": books.profile.name, "companies": len(self.list_companies())}
        for entity in ("Customer", "Invoice", "Payment", "CreditMemo", "Attachable"):
            counts[entity.lower() + "s"] = len(books.stores[entity])
        counts["open invoices"] = sum(1 for entry in books.all("Invoice") if entry.body["Balance"])
        return counts

    def perform_action(self, action: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Do at the desk what a script asks: the method's name and its arguments; ``realm`` chooses the company."""
        fields = dict(fields)
        if action == "webhook":
            self.register_webhook(str(fields["url"]))
            return {"done": action}
        realm = str(fields.pop("realm", REALM))
        self.ledger(realm)
        if action == "disconnect":
            self.disconnect(realm)
            return {"realm": realm}
        if action not in _ACTIONS:
            raise LookupError(f"action {action}")
        for name in ("on", "due_on"):
            if name in fields:
                fields[name] = date.fromisoformat(fields[name])
        try:
            done = getattr(self.bookkeeper(realm), action)(**fields)
        except ApiFault as refusal:
            raise ValueError(str(refusal)) from refusal
        told = {name: str(done[name]) for name in ("Id", "DocNumber", "Balance", "TotalAmt") if name in done}
        return {"done": action, **told}

    def _create_home_company(self, now: datetime) -> _HistoryProgress:
        past = get_history(self.core.seed, "quickbooks", home_today(self.core.started_at))
        self._companies[REALM], life = create_company_with_history(past, self.core.seed, self.core.clock.now)
        return _HistoryProgress(past, life, now, past.next_at(now))
