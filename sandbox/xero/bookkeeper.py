"""What a bookkeeper does in the simulated Xero: for tests, and for scripts by ``POST /sandbox/xero/<action>``."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from sandbox.core import JsonObject, SandboxCore, stable_uuid
from sandbox.simulation import get_history
from sandbox.xero.api import Tenant, app_window, new_meter
from sandbox.xero.bulk import add_bulk_invoices
from sandbox.xero.documents import ZERO, Allocation, Contact, Credit, Invoice, LineItem, Payment
from sandbox.xero.history import HistoryReplay
from sandbox.xero.limits import Limits
from sandbox.xero.organisation import Organisation

Money = Decimal | int | str
ACTIONS = (
    "pay",
    "delete_payment",
    "void",
    "credit",
    "add_credit",
    "allocate",
    "unallocate",
    "edit",
    "edit_contact",
    "set_email",
    "archive",
    "merge",
    "add_contact",
    "add_invoice",
    "notes",
    "note",
    "dispute",
    "add_bulk_invoices",
    "disconnect",
)


class Bookkeeper:
    """The organisations and their bookkeeper. Methods work on the first one unless ``organisation`` names another."""

    def __init__(self, core: SandboxCore) -> None:
        """Start without organisations."""
        self.limits = Limits()
        self._core = core
        self._app = app_window()
        self._tenants: dict[str, Tenant] = {}

    # Organisations

    def add_organisation(self, name: str, *, history_seed: int | None = None) -> Organisation:
        """Create an organisation: empty, or with a history of its own."""
        with self._core.lock:
            number = len(self._tenants)
            org = Organisation(stable_uuid("tenant", self._core.seed, number), name, self._core.clock)
            tenant = Tenant(org, new_meter(self.limits, self._app, number))
            if history_seed is not None:
                today = self._core.started_at.astimezone(org.time_zone).date()
                tenant.history = HistoryReplay(lambda: get_history(history_seed, "xero", today), org)
            self._tenants[org.tenant_id] = tenant
            return org

    @property
    def organisations(self) -> list[Organisation]:
        """All organisations, up to date."""
        with self._core.lock:
            return [self.organisation(tenant_id) for tenant_id in self._tenants]

    def organisation(self, name: str = "") -> Organisation:
        """Return an organisation by id or name (the first one for ""), with everything that is due by now."""
        with self._core.lock:
            known = self._tenants.values()
            found = next((t for t in known if name in {"", t.organisation.tenant_id, t.organisation.name}), None)
            if found is None:
                raise LookupError(f"organisation {name!r}")
            found.apply_due_events(self._core.clock.now())
            return found.organisation

    # Bookkeeping

    def invoices(self, organisation: str = "") -> list[Invoice]:
        """Return all sales invoices."""
        with self._core.lock:
            return [i for i in self.organisation(organisation).invoices if i.type == "ACCREC"]

    def find(self, invoice: str, organisation: str = "") -> Invoice:
        """Return an invoice by number or id. Raises ``LookupError``."""
        with self._core.lock:
            org = self.organisation(organisation)
            found = org.find_number(invoice) or org.invoices.get(invoice)
        if found is None:
            raise LookupError(f"invoice {invoice!r}")
        return found

    def contact(self, contact: str, organisation: str = "") -> Contact:
        """Return a contact by id, name or email address. Raises ``LookupError``."""
        with self._core.lock:
            org = self.organisation(organisation)
            found = org.contacts.get(contact) or next((c for c in org.contacts if contact in {c.name, c.email}), None)
        if found is None:
            raise LookupError(f"contact {contact!r}")
        return found

    def find_anywhere(self, invoice_id: str) -> Invoice | None:
        """Return an invoice of any organisation by id."""
        with self._core.lock:
            found = (tenant.organisation.invoices.get(invoice_id) for tenant in self._tenants.values())
            return next((invoice for invoice in found if invoice is not None), None)

    def pay(
        self, invoice: str, amount: Money = "", on: str = "", organisation: str = "", *, account: str = "090",
        rate: Money = 1,
    ) -> Payment:  # fmt: skip
        """Enter a payment of the amount due, or of ``amount``, to an account: one of bad debts is a write-off.

        ``rate`` is that of the day where the invoice is in another currency than the account.
        """
        with self._core.lock:
            org, found = self.organisation(organisation), self.find(invoice, organisation)
            paid = Decimal(amount) if amount else found.amount_due
            return org.pay(found, paid, _parse_date(on, org), account=account, rate=Decimal(rate))

    def delete_payment(self, payment: str, organisation: str = "") -> Payment:
        """Delete a payment by its id."""
        with self._core.lock:
            org = self.organisation(organisation)
            found = org.payments.get(payment)
            if found is None:
                raise LookupError(f"payment {payment!r}")
            org.delete_payment(found)
            return found

    def void(self, invoice: str, organisation: str = "") -> Invoice:
        """Void an unpaid invoice, or delete a draft."""
        with self._core.lock:
            found = self.find(invoice, organisation)
            self.organisation(organisation).void(found)
            return found

    def credit(self, invoice: str, amount: Money, organisation: str = "") -> Credit:
        """Enter a credit note and allocate it to the invoice."""
        with self._core.lock:
            org, found = self.organisation(organisation), self.find(invoice, organisation)
            credit = self._add_credit(org, "CreditNote", found.contact, found.currency, Decimal(amount))
            org.allocate(credit, found, credit.total, org.today())
            return credit

    def add_credit(
        self, contact: str, amount: Money, kind: str = "CreditNote", currency: str = "", organisation: str = ""
    ) -> Credit:
        """Enter an unallocated credit note, ``Overpayment`` or ``Prepayment``."""
        with self._core.lock:
            org, found = self.organisation(organisation), self.contact(contact, organisation)
            return self._add_credit(org, kind, found, currency or found.currency or org.currency, Decimal(amount))

    def _add_credit(
        self, organisation: Organisation, kind: str, contact: Contact, currency: str, amount: Decimal
    ) -> Credit:
        line = LineItem("Credit", Decimal(1), amount, "", "200", "NONE", ZERO, amount)
        number = f"CN-T{sum(map(len, organisation.credits.values()))}"
        return organisation.add_credit(kind, contact, currency, organisation.today(), [line], number=number)

    def allocate(self, credit: str, invoice: str, amount: Money = "", organisation: str = "") -> Allocation:
        """Allocate a credit (by id) to an invoice."""
        with self._core.lock:
            org, found = self.organisation(organisation), self.find(invoice, organisation)
            source = self._credit(org, credit)
            most = min(source.remaining, found.amount_due)
            return org.allocate(source, found, Decimal(amount) if amount else most, org.today())

    def unallocate(self, credit: str, organisation: str = "") -> Credit:
        """Remove all allocations of a credit."""
        with self._core.lock:
            org = self.organisation(organisation)
            found = self._credit(org, credit)
            for allocation in tuple(found.allocations):
                org.unallocate(allocation)
            return found

    def _credit(self, organisation: Organisation, credit: str) -> Credit:
        found = next((c for shelf in organisation.credits.values() if (c := shelf.get(credit)) is not None), None)
        if found is None:
            raise LookupError(f"credit {credit!r}")
        return found

    def edit(self, invoice: str, organisation: str = "", **fields: Any) -> Invoice:
        """Change fields of an invoice, named as in ``documents.Invoice`` (``due_on``, ``reference``, ``sent`` ...)."""
        with self._core.lock:
            org, found = self.organisation(organisation), self.find(invoice, organisation)
            for name, value in fields.items():
                is_day = name.endswith("_on") and isinstance(value, str)
                setattr(found, name, date.fromisoformat(value) if is_day else value)
            org.record_change(found)
            return found

    def edit_contact(self, contact: str, organisation: str = "", **fields: str) -> Contact:
        """Change fields of a contact, named as in ``documents.Contact`` (``email``, ``name``, ``status`` ...)."""
        with self._core.lock:
            found = self.contact(contact, organisation)
            self.organisation(organisation).rename(found, **fields)
            return found

    def set_email(self, contact: str, email: str, organisation: str = "") -> Contact:
        """Change a contact's address."""
        return self.edit_contact(contact, organisation, email=email)

    def set_outstanding(self, contact: str, amount: Money, organisation: str = "") -> None:
        """Set the balance that Xero shows for a contact; like any balance, it does not count as a change of it."""
        with self._core.lock:
            found = self.contact(contact, organisation)
            found.outstanding, found.json = Decimal(amount), None

    def archive(self, contact: str, organisation: str = "") -> Contact:
        """Archive a contact."""
        return self.edit_contact(contact, organisation, status="ARCHIVED")

    def merge(self, source: str, target: str, organisation: str = "") -> Contact:
        """Merge one contact into another."""
        with self._core.lock:
            target_contact = self.contact(target, organisation)
            self.organisation(organisation).merge(self.contact(source, organisation), target_contact)
            return target_contact

    def add_contact(self, name: str, organisation: str = "", **fields: Any) -> Contact:
        """Enter a contact; fields are named as in ``documents.Contact``."""
        with self._core.lock:
            org = self.organisation(organisation)
            return org.add_contact(Contact(org.new_id("contact"), org.now(), name, **fields))

    def add_invoice(
        self, contact: str, amount: Money, on: str = "", due_on: str = "", organisation: str = "", **fields: Any
    ) -> Invoice:
        """Enter an approved sales invoice of one untaxed line; fields are named as in ``documents.Invoice``."""
        with self._core.lock:
            org, found = self.organisation(organisation), self.contact(contact, organisation)
            line = LineItem("Work", Decimal(1), Decimal(amount), "", "200", "NONE", ZERO, Decimal(amount))
            given: JsonObject = {
                "id": org.new_id("invoice"),
                "updated_at": org.now(),
                "type": "ACCREC",
                "number": org.next_number(),
                "contact": found,
                "currency": found.currency or org.currency,
                "on": _parse_date(on, org),
                "due_on": _parse_date(due_on, org),
                "lines": [line],
                "total": Decimal(amount),
            }
            return org.add_invoice(Invoice(**given | fields))

    def notes(self, invoice: str, organisation: str = "") -> list[str]:
        """Return the notes on an invoice, oldest first."""
        return [text for _, text in self.find(invoice, organisation).notes]

    def note(self, invoice: str, text: str, organisation: str = "") -> Invoice:
        """Write a note on an invoice."""
        with self._core.lock:
            found = self.find(invoice, organisation)
            self.organisation(organisation).add_note(found, text)
            return found

    def dispute(self, invoice: str, reason: str = "the customer disagrees", organisation: str = "") -> Invoice:
        """Mark a dispute in the only way that Xero has: by a note on the invoice."""
        return self.note(invoice, f"Disputed: {reason}", organisation)

    def add_bulk_invoices(self, count: int = 50_000, organisation: str = "") -> int:
        """Add ``count`` invoices with lines, for benchmarks, and return the number of all invoices."""
        with self._core.lock:
            org = self.organisation(organisation)
            add_bulk_invoices(org, count, self._core.seed)
            return len(org.invoices)


def _parse_date(text: str, organisation: Organisation) -> date:
    return date.fromisoformat(text) if text else organisation.today()
