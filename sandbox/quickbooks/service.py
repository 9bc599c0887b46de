"""The simulated QuickBooks Online: its companies, sign-in and options, and the history that goes on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial

from sandbox.core import JsonObject, SandboxCore
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
from sandbox.quickbooks.signin import CLIENT_ID, CLIENT_SECRET, SignIn
from sandbox.quickbooks.throttle import Throttle
from sandbox.simulation import CompanyHistory, get_history
from sandbox.webhook_sender import WebhookSender

_ACTIONS = {
    "pay", "pay_unapplied", "apply", "delete_payment", "void_payment", "deposit", "credit", "apply_credit",
    "add_invoice", "edit", "renumber", "void", "delete", "note", "add_customer", "edit_customer",
    "set_email", "deactivate", "merge",
}  # fmt: skip


@dataclass(slots=True)
class _HistoryProgress:
    """How far the history of a company has been applied."""

    history: CompanyHistory
    replay: HistoryReplay
    applied_until: datetime
    next_at: datetime | None


class QuickBooks(Bookkeeper):
    """Companies by realm id; the ``Bookkeeper`` methods work on the first one, ``bookkeeper(realm)`` returns another's.

    Attributes:
        replays_requests: Off to ignore ``requestid``, as some have reported.
        xml_throttle: On to reply to throttled calls in XML, as observed.
        legacy_webhooks: On to send webhooks in the form before CloudEvents.
    """

    def __init__(self, core: SandboxCore) -> None:
        super().__init__(core.lock, partial(self.ledger, REALM))
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
        """Return all companies, the one with a history first, without generating it."""
        home = self._companies[REALM].profile if REALM in self._companies else home_profile()
        return {REALM: home} | {realm: ledger.profile for realm, ledger in self._companies.items()}

    def find_ledger(self, realm: str) -> CompanyLedger | None:
        """Return a company's ledger, or None; a history is generated on the first call and applied up to now."""
        if realm != REALM:
            return self._companies.get(realm)
        now = self.core.clock.now()
        lived = self._history_progress = self._history_progress or self._create_home_company(now)
        if lived.next_at is not None and lived.next_at <= now:
            lived.replay.apply_events(lived.history.between(lived.applied_until, now))
            lived.applied_until, lived.next_at = now, lived.history.next_at(now)
        return self._companies[REALM]

    def ledger(self, realm: str = REALM) -> CompanyLedger:
        """Return a company's ledger. Raises ``LookupError`` if there is none."""
        found_books = self.find_ledger(realm)
        if found_books is None:
            raise LookupError(f"company {realm}")
        return found_books

    def bookkeeper(self, realm: str) -> Bookkeeper:
        """Return the bookkeeper of a company."""
        return Bookkeeper(self._lock, partial(self.ledger, realm))

    def add_company(
        self, name: str, *, country: str = "US", currency: str = "USD", time_zone: str = "America/Los_Angeles",
        multicurrency: bool = True,
    ) -> str:  # fmt: skip
        """Create a company without documents and return its realm id."""
        with self._lock:
            self._companies_added += 1
            realm = str(int(REALM) + self._companies_added)
            profile = CompanyProfile(name, country, currency, time_zone, multicurrency, rates=dict(RATES))
            self._companies[realm] = create_company(realm, profile, self.core.clock.now(), self.core.clock.now)
            return realm

    def disconnect(self, realm: str = REALM) -> None:
        """Disconnect the app, as a bookkeeper does: all tokens of this company become invalid."""
        with self._lock:
            self.sign_in.end_grants(realm)

    def register_webhook(self, url: str) -> None:
        """Send changes to a webhook from now on."""
        self.webhook.url, self.webhook.sent_until = url, self.core.clock.now()

    def post_webhooks(self) -> int:
        """Post what has changed since the last time; return the status of the reply, 0 if nothing was posted."""
        with self._lock:
            now, since = self.core.clock.now(), self.webhook.sent_until
            realms = [
                realm
                for realm in self.list_companies()
                if since is not None and (realm != REALM or self._history_progress)
            ]
            changed = [one for realm in realms for one in webhook.changes(realm, self.ledger(realm), since or now)]
        payload = webhook.legacy_events(changed) if self.legacy_webhooks else webhook.cloud_events(changed)
        return self.webhook.post(payload, now) if changed else 0

    def close_books(self, on: date | None, realm: str = REALM) -> None:
        """Close the periods up to and including a date, or reopen them."""
        with self._lock:
            ledger = self.ledger(realm)
            ledger.profile.books_closed_on = on
            update_company_info(ledger)

    def add_bulk_invoices(self, count: int = 50_000, realm: str = REALM) -> None:
        """Add that many open invoices, for benchmarks."""
        with self._lock:
            names = [entry.body["DisplayName"] for entry in self.ledger(realm).all("Customer") if entry.body["Active"]]
            bookkeeper = self.bookkeeper(realm)
            for n in range(count):
                bookkeeper.add_invoice(names[n % len(names)], Decimal(5000 + n % 90_000) / 100, sent=False)

    def settings(self, url: str) -> dict[str, str]:
        """Return duewell's settings for this QuickBooks."""
        return {
            "QUICKBOOKS_CLIENT_ID": CLIENT_ID,
            "QUICKBOOKS_CLIENT_SECRET": CLIENT_SECRET,
            "QUICKBOOKS_ENVIRONMENT": "sandbox",
            "QUICKBOOKS_DISCOVERY_URL": f"{url}/.well-known/openid_sandbox_configuration/",
            "QUICKBOOKS_API_URL": url,
            "QUICKBOOKS_WEBHOOK_TOKEN": self.webhook.key,
        }

    def summary(self) -> JsonObject:
        """Return counts of the company with a history, and the number of all companies."""
        ledger = self.ledger(REALM)
        counts: JsonObject = {"company": ledger.profile.name, "companies": len(self.list_companies())}
        for entity in ("Customer", "Invoice", "Payment", "CreditMemo", "Attachable"):
            counts[entity.lower() + "s"] = len(ledger.stores[entity])
        counts["open invoices"] = sum(1 for entry in ledger.all("Invoice") if entry.body["Balance"])
        return counts

    def perform_action(self, action: str, fields: JsonObject) -> JsonObject:
        """Perform the action of a script, named like the method; ``realm`` selects the company."""
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
        payload = {name: str(done[name]) for name in ("Id", "DocNumber", "Balance", "TotalAmt") if name in done}
        return {"done": action, **payload}

    def _create_home_company(self, now: datetime) -> _HistoryProgress:
        past = get_history(self.core.seed, "quickbooks", home_today(self.core.started_at))
        self._companies[REALM], life = create_company_with_history(past, self.core.seed, self.core.clock.now)
        return _HistoryProgress(past, life, now, past.next_at(now))
