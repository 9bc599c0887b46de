"""The simulated Xero as the sandbox sees it."""

from __future__ import annotations

from decimal import Decimal

from sandbox.core import JsonObject, SandboxCore
from sandbox.simulation import COMPANIES
from sandbox.webhook_sender import WebhookSender
from sandbox.xero import signin, webhook
from sandbox.xero.api import Api, Tenant
from sandbox.xero.bookkeeper import ACTIONS, Bookkeeper
from sandbox.xero.documents import ZERO
from sandbox.xero.organisation import Organisation

SECOND_NAME = "Copperbeech Catering Ltd"


class Xero(Bookkeeper):
    """Xero with two organisations: sign-in, API, and the actions of their bookkeeper."""

    def __init__(self, core: SandboxCore) -> None:
        """Create two organisations; their histories are generated when they are first needed."""
        super().__init__(core)
        self.sign_in = signin.SignIn(core, self._list_organisations)
        self._events_posted = 0
        self.api = Api(core, self.sign_in, self)
        self.webhook = WebhookSender(f"xero-webhook-key-{core.seed}", "x-xero-signature")
        self.add_organisation(COMPANIES["xero"].name, history_seed=core.seed)
        self.add_organisation(SECOND_NAME, history_seed=core.seed + 7919)

    def _list_organisations(self) -> list[Organisation]:
        return [tenant.organisation for tenant in self._tenants.values()]

    def settings(self, url: str) -> dict[str, str]:
        """Return duewell's settings for this Xero."""
        hosts = {f"XERO_{name}_URL": url for name in ("LOGIN", "IDENTITY", "API")}
        own = {"XERO_CLIENT_ID": signin.CLIENT_ID, "XERO_CLIENT_SECRET": signin.CLIENT_SECRET}
        return {**own, "XERO_WEBHOOK_KEY": self.webhook.key, **hosts}

    def summary(self) -> JsonObject:
        """Return counts by organisation."""
        return {tenant.organisation.name: self._counts(tenant) for tenant in self._tenants.values()}

    def _counts(self, tenant: Tenant) -> JsonObject:
        tenant.apply_due_events(self._core.clock.now())
        organisation = tenant.organisation
        sales = [invoice for invoice in organisation.invoices if invoice.type == "ACCREC"]
        due: dict[str, Decimal] = {}
        for invoice in sales:
            if invoice.status == "AUTHORISED":
                due[invoice.currency] = due.get(invoice.currency, ZERO) + invoice.amount_due
        return {
            "tenant_id": organisation.tenant_id,
            "contacts": len(organisation.contacts),
            "invoices": len(sales),
            "open": sum(invoice.status == "AUTHORISED" for invoice in sales),
            "due": {currency: str(amount) for currency, amount in sorted(due.items())},
            "created_by_app": [invoice.number for invoice in sales if invoice.created_by_app],
            "notes": sum(len(invoice.notes) for invoice in sales),
        }

    def perform_action(self, action: str, fields: JsonObject) -> JsonObject:
        """Perform the action of a script, named like the method."""
        if action == "webhook":
            return {"accepted": self.register_webhook(str(fields["url"]))}
        if action not in ACTIONS:
            raise LookupError(f"action {action!r}; there are {', '.join(sorted(ACTIONS))}")
        result = getattr(self, action)(**fields)
        return {"id": result.id} if hasattr(result, "id") else {"result": result}

    def tenant(self, tenant_id: str) -> Tenant | None:
        """Return the organisation of that id."""
        return self._tenants.get(tenant_id)

    def register_webhook(self, url: str) -> bool:
        """Send changes to a webhook from now on, if it passes the test of the intent to receive."""
        self.webhook.url, self.webhook.sent_until = url, self._core.clock.now()
        if not webhook.verify_intent_to_receive(self.webhook):
            self.webhook.url = ""
        return bool(self.webhook.url)

    def post_webhooks(self) -> int:
        """Post what has changed since the last time; return the status of the reply, 0 if nothing was posted."""
        with self._core.lock:
            now, since = self._core.clock.now(), self.webhook.sent_until
            organisations = self.organisations if since is not None else []
            events = [event for one in organisations for event in webhook.list_changes(one, since or now)]
        self._events_posted += len(events)
        return self.webhook.post(webhook.build_body(events, self._events_posted), now) if events else 0

    def disconnect(self, organisation: str = "") -> None:
        """Remove the app's access to an organisation, as a user does in Xero."""
        with self._core.lock:
            tenant_id = self.organisation(organisation).tenant_id
            connections = self.sign_in.connections
            self.sign_in.connections = {c.id: c for c in connections.values() if c.tenant_id != tenant_id}
