"""The make-believe Xero as it is plugged into a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sandbox.core import SandboxCore
from sandbox.simulation import COMPANIES
from sandbox.webhook_sender import WebhookSender
from sandbox.xero import signin, webhook
from sandbox.xero.api import Api, Tenant
from sandbox.xero.bookkeeper import ACTIONS, Bookkeeper
from sandbox.xero.documents import ZERO
from sandbox.xero.routes import api_routes

SECOND_NAME = "Copperbeech Catering Ltd"


class Xero(Bookkeeper):
    """Xero with two organisations: sign-in, API, and what ``Desk`` does in their books."""

    def __init__(self, core: SandboxCore) -> None:
        """Found two organisations; their histories are made when somebody first looks."""
        super().__init__(core)
        self.sign_in = signin.SignIn(core, lambda: [tenant.book for tenant in self._tenants.values()])
        self._posted = 0
        self.api = Api(core, self.sign_in, self)
        self.webhook = WebhookSender(f"xero-webhook-key-{core.seed}", "x-xero-signature")
        self.add_organisation(COMPANIES["xero"].name, history_seed=core.seed)
        self.add_organisation(SECOND_NAME, history_seed=core.seed + 7919)

    # -- plugged into the sandbox ---------------------------------------------------------------------------------

    def routes(self) -> list[Any]:
        """Return every path of Xero."""
        return [*self.sign_in.routes(), *api_routes(self.api, self)]

    def settings(self, url: str) -> dict[str, str]:
        """Return the environment for this Xero."""
        hosts = {f"XERO_{name}_URL": url for name in ("LOGIN", "IDENTITY", "API")}
        own = {"XERO_CLIENT_ID": signin.CLIENT_ID, "XERO_CLIENT_SECRET": signin.CLIENT_SECRET}
        return {**own, "XERO_WEBHOOK_KEY": self.webhook.key, **hosts}

    def summary(self) -> dict[str, Any]:
        """Count what there is."""
        return {tenant.book.name: self._counts(tenant) for tenant in self._tenants.values()}

    def _counts(self, tenant: Tenant) -> dict[str, Any]:
        tenant.apply_due_events(self._core.clock.now())
        book = tenant.book
        sales = [invoice for invoice in book.invoices if invoice.type == "ACCREC"]
        due: dict[str, Decimal] = {}
        for invoice in sales:
            if invoice.status == "AUTHORISED":
                due[invoice.currency] = due.get(invoice.currency, ZERO) + invoice.amount_due
        return {
            "tenant_id": book.tenant_id,
            "contacts": len(book.contacts),
            "invoices": len(sales),
            "open": sum(invoice.status == "AUTHORISED" for invoice in sales),
            "due": {currency: str(amount) for currency, amount in sorted(due.items())},
            "made_by_app": [i.number for i in sales if i.created_by_app],
            "notes": sum(len(invoice.notes) for invoice in sales),
        }

    def perform_action(self, action: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a script asks for, by the names of the methods below."""
        if action == "webhook":
            return {"accepted": self.register_webhook(str(fields["url"]))}
        if action not in ACTIONS:
            raise LookupError(f"action {action!r}; there are {', '.join(sorted(ACTIONS))}")
        answer = getattr(self, action)(**fields)
        return {"id": answer.id} if hasattr(answer, "id") else {"answer": answer}

    def tenant(self, tenant_id: str) -> Tenant | None:
        """Return the organisation of that id."""
        return self._tenants.get(tenant_id)

    def register_webhook(self, url: str) -> bool:
        """Tell a webhook of changes from now on, if it passes the test of its intent to receive."""
        self.webhook.url, self.webhook.sent_until = url, self._core.clock.now()
        if not webhook.verify_intent_to_receive(self.webhook):
            self.webhook.url = ""
        return bool(self.webhook.url)

    def post_webhooks(self) -> int:
        """Tell what has changed since the last time; return the answer's status, 0 where there was nothing to tell."""
        with self._core.lock:
            now, since = self._core.clock.now(), self.webhook.sent_until
            books = self.organisations if since is not None else []
            events = [event for book in books for event in webhook.list_changes(book, since or now)]
        self._posted += len(events)
        return self.webhook.post(webhook.build_body(events, self._posted), now) if events else 0

    def disconnect(self, organisation: str = "") -> None:
        """Take the app's access to an organisation away, as a user does in Xero."""
        with self._core.lock:
            tenant_id = self.organisation(organisation).tenant_id
            kept = {c.id: c for c in self.sign_in.connections.values() if c.tenant_id != tenant_id}
            self.sign_in.connections = kept
