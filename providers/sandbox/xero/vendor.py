"""The make-believe Xero as it is plugged into a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from providers.sandbox.core import Core
from providers.sandbox.world import COMPANIES
from providers.sandbox.xero import signin
from providers.sandbox.xero.api import Api, Tenant
from providers.sandbox.xero.desk import ACTIONS, Desk
from providers.sandbox.xero.documents import ZERO
from providers.sandbox.xero.routes import api_routes

SECOND_NAME = "Copperbeech Catering Ltd"


class Xero(Desk):
    """Xero with two organisations: sign-in, API, and what ``Desk`` does in their books."""

    def __init__(self, core: Core) -> None:
        """Found two organisations; their histories are made when somebody first looks."""
        super().__init__(core)
        self.sign_in = signin.SignIn(core, lambda: [tenant.book for tenant in self._tenants.values()])
        self.api = Api(core, self.sign_in, self)
        self.add_organisation(COMPANIES["xero"].name, history_seed=core.seed)
        self.add_organisation(SECOND_NAME, history_seed=core.seed + 7919)

    # -- plugged into the sandbox ---------------------------------------------------------------------------------

    def routes(self) -> list[Any]:
        """Return every path of Xero."""
        return [*self.sign_in.routes(), *api_routes(self.api, self)]

    def settings(self, url: str) -> dict[str, str]:
        """Return the environment for this Xero."""
        hosts = {f"XERO_{name}_URL": url for name in ("LOGIN", "IDENTITY", "API")}
        return {"XERO_CLIENT_ID": signin.CLIENT_ID, "XERO_CLIENT_SECRET": signin.CLIENT_SECRET, **hosts}

    def summary(self) -> dict[str, Any]:
        """Count what there is."""
        return {tenant.book.name: self._counts(tenant) for tenant in self._tenants.values()}

    def _counts(self, tenant: Tenant) -> dict[str, Any]:
        tenant.catch_up(self._core.clock.now())
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

    def act(self, action: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a script asks for, by the names of the methods below."""
        if action not in ACTIONS:
            raise LookupError(f"action {action!r}; there are {', '.join(sorted(ACTIONS))}")
        answer = getattr(self, action)(**fields)
        return {"id": answer.id} if hasattr(answer, "id") else {"answer": answer}

    def tenant(self, tenant_id: str) -> Tenant | None:
        """Return the organisation of that id."""
        return self._tenants.get(tenant_id)

    def disconnect(self, organisation: str = "") -> None:
        """Take the app's access to an organisation away, as a user does in Xero."""
        with self._core.lock:
            tenant_id = self.organisation(organisation).tenant_id
            kept = {c.id: c for c in self.sign_in.connections.values() if c.tenant_id != tenant_id}
            self.sign_in.connections = kept
