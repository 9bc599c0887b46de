"""One small company per ledger behind a common interface, which the contract tests use.

``unsupported`` names what a ledger does not have; tests that need it are skipped for that ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import requests

import providers
from providers.http import TransportLimits
from providers.ledger import (
    ChangePage,
    CreditRecord,
    CustomerRecord,
    InvoiceRecord,
    LateFeeInvoice,
    Ledger,
    PaymentRecord,
)
from providers.quickbooks.client import Client as QuickBooksClient
from providers.quickbooks.ledger import QuickBooksLedger
from providers.sign_in import JsonObject
from providers.xero.client import Client as XeroClient
from providers.xero.ledger import XeroLedger
from sandbox.server import Sandbox

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TODAY = NOON.date()
REDIRECT_URI = "http://localhost:8710/callback"
Record = TypeVar("Record", InvoiceRecord, CustomerRecord, PaymentRecord)
NO_SLEEP_LIMITS = TransportLimits(sleep=lambda _seconds: None)


class CallCounter:
    """Counts calls by kind."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()

    def before(self, kind: str) -> None:
        self.kinds[kind] += 1

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        pass


class InvoiceKey(NamedTuple):
    """How a ledger identifies an invoice that a test created."""

    id: str
    number: str
    customer_id: str
    currency: str


class Company:
    """A company, the consent to read it, and its bookkeeper.

    Amounts are text. Customers are given by name, invoices by number, payments and credits by the ledger's id.
    """

    name = ""
    unsupported: frozenset[str] = frozenset()

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox, self.url, self.calls = sandbox, url, CallCounter()
        self.provider = providers.get_ledger_provider(self.name)
        given = {key.lower(): value for key, value in sandbox.settings(url).items()}
        self.settings = SimpleNamespace(**{"xero_scopes": "", **given})
        self.create_company()
        self.consent_request = self.provider.begin_consent(self.settings, REDIRECT_URI)
        redirected_url = self.approve_consent(self.consent_request.url)
        self.consent = self.provider.finish_consent(
            self.settings, REDIRECT_URI, redirected_url, self.consent_request, self.calls
        )
        [self.company_ref] = self.consent.companies
        self.token: JsonObject = self.consent.token

    def create_company(self) -> None:
        raise NotImplementedError

    def approve_consent(self, url: str) -> str:
        """Approve access on the provider's page and return the URL it redirects to."""
        reply = requests.get(f"{url}&sandbox_allow=1&sandbox_organisation={self.id}", allow_redirects=False, timeout=5)
        return str(reply.headers["Location"])

    @property
    def id(self) -> str:
        raise NotImplementedError

    def access_token(self, *, rejected_token: str | None = None) -> str:
        if rejected_token == self.token["access_token"]:
            self.token = self.provider.refresh(self.settings, self.token, self.calls)
        return str(self.token["access_token"])

    def ledger(self) -> Ledger:
        """Open the ledger as a new process would."""
        return self.provider.open_ledger(self.settings, self.company_ref, self.access_token, self.calls)

    @property
    def now(self) -> datetime:
        return self.sandbox.clock.now()

    def advance(self, **by: float) -> None:
        self.sandbox.clock.advance(timedelta(**by or {"hours": 1}))

    def build_fee(self, original: InvoiceKey, number: str = "LF-1-1", amount: str = "12.50") -> LateFeeInvoice:
        due_on = TODAY + timedelta(days=14)
        return LateFeeInvoice(
            number,
            original.id,
            original.number,
            original.customer_id,
            original.currency,
            Decimal(amount),
            TODAY,
            due_on,
            "Late fee",
        )

    # What the bookkeeper does in the ledger

    def add_customer(self, name: str) -> None:
        raise NotImplementedError

    def add_invoice(self, customer: str, amount: str, currency: str = "GBP") -> InvoiceKey:
        raise NotImplementedError

    def pay(self, number: str, amount: str = "") -> str:
        """Record a payment of the balance, or of ``amount``, and return its id."""
        raise NotImplementedError

    def delete_payment(self, payment: str) -> None:
        raise NotImplementedError

    def void(self, number: str) -> None:
        raise NotImplementedError

    def overpay(self, customer: str, amount: str) -> None:
        raise NotImplementedError

    def prepay(self, customer: str, amount: str) -> None:
        raise NotImplementedError

    def credit(self, customer: str, amount: str) -> str:
        """Enter an unapplied credit note and return its id."""
        raise NotImplementedError

    def apply(self, credit: str, number: str, amount: str) -> None:
        raise NotImplementedError

    def merge(self, customer: str, into: str) -> None:
        raise NotImplementedError

    def archive(self, customer: str) -> None:
        raise NotImplementedError

    def close_books(self, on: date) -> None:
        raise NotImplementedError

    def disconnect(self) -> None:
        raise NotImplementedError

    def notes(self, number: str) -> list[str]:
        raise NotImplementedError

    def amounts_due(self) -> dict[str, Decimal]:
        """Return the open balance of each open invoice by its number."""
        raise NotImplementedError

    def unapplied(self) -> Decimal:
        """Return the sum of all unapplied payments and credits."""
        raise NotImplementedError


class XeroCompany(Company):
    name = "xero"

    def create_company(self) -> None:
        self._xero_organisation = self.sandbox.xero.add_organisation("Contract Test Ltd")
        self._by_id = {"organisation": self._xero_organisation.tenant_id}

    @property
    def id(self) -> str:
        return self._xero_organisation.tenant_id

    def ledger(self) -> Ledger:
        return XeroLedger(XeroClient(self.url, self.id, self.access_token, self.calls, NO_SLEEP_LIMITS))

    def add_customer(self, name: str) -> None:
        self.sandbox.xero.add_contact(name, email=f"{name.lower()}@customer.example", **self._by_id)

    def add_invoice(self, customer: str, amount: str, currency: str = "GBP") -> InvoiceKey:
        due = (TODAY - timedelta(days=5)).isoformat()
        invoice = self.sandbox.xero.add_invoice(
            customer, amount, due_on=due, currency=currency, sent=True, **self._by_id
        )
        return InvoiceKey(invoice.id, invoice.number, invoice.contact.id, invoice.currency)

    def pay(self, number: str, amount: str = "") -> str:
        return self.sandbox.xero.pay(number, amount, **self._by_id).id

    def delete_payment(self, payment: str) -> None:
        self.sandbox.xero.delete_payment(payment, **self._by_id)

    def void(self, number: str) -> None:
        self.sandbox.xero.void(number, **self._by_id)

    def overpay(self, customer: str, amount: str) -> None:
        self.sandbox.xero.add_credit(customer, amount, "Overpayment", **self._by_id)

    def prepay(self, customer: str, amount: str) -> None:
        self.sandbox.xero.add_credit(customer, amount, "Prepayment", **self._by_id)

    def credit(self, customer: str, amount: str) -> str:
        return self.sandbox.xero.add_credit(customer, amount, **self._by_id).id

    def apply(self, credit: str, number: str, amount: str) -> None:
        self.sandbox.xero.allocate(credit, number, amount, **self._by_id)

    def merge(self, customer: str, into: str) -> None:
        self.sandbox.xero.merge(customer, into, **self._by_id)

    def archive(self, customer: str) -> None:
        self.sandbox.xero.archive(customer, **self._by_id)

    def close_books(self, on: date) -> None:
        self._xero_organisation.period_lock_on = on

    def disconnect(self) -> None:
        self.sandbox.xero.disconnect(self.id)

    def notes(self, number: str) -> list[str]:
        return list(self.sandbox.xero.notes(number, **self._by_id))

    def amounts_due(self) -> dict[str, Decimal]:
        invoices = self.sandbox.xero.invoices(self.id)
        return {invoice.number: invoice.amount_due for invoice in invoices if invoice.status == "AUTHORISED"}

    def unapplied(self) -> Decimal:
        credits = (credit for store in self._xero_organisation.credits.values() for credit in store)
        return sum((credit.remaining for credit in credits if credit.status == "AUTHORISED"), Decimal(0))


class QuickBooksCompany(Company):
    name = "quickbooks"

    def create_company(self) -> None:
        self._realm = self.sandbox.quickbooks.add_company("Contract Test Ltd", country="GB", currency="GBP")
        self._bookkeeper = self.sandbox.quickbooks.bookkeeper(self._realm)
        self._invoice_count = 0

    @property
    def id(self) -> str:
        return self._realm

    def ledger(self) -> Ledger:
        return QuickBooksLedger(QuickBooksClient(self.url, self.id, self.access_token, self.calls, NO_SLEEP_LIMITS))

    def add_customer(self, name: str) -> None:
        currency = "EUR" if name == "Eva" else "GBP"  # a QuickBooks customer has one currency
        self._bookkeeper.add_customer(name, email=f"{name.lower()}@customer.example", currency=currency)

    def add_invoice(self, customer: str, amount: str, currency: str = "GBP") -> InvoiceKey:
        self._invoice_count += 1
        number = f"I-{self._invoice_count:04}"
        invoice = self._bookkeeper.add_invoice(customer, amount, number=number, due_on=TODAY - timedelta(days=5))
        return InvoiceKey(invoice["Id"], number, invoice["CustomerRef"]["value"], invoice["CurrencyRef"]["value"])

    def pay(self, number: str, amount: str = "") -> str:
        return str(self._bookkeeper.pay(number, amount or None)["Id"])

    def delete_payment(self, payment: str) -> None:
        self._bookkeeper.delete_payment(payment)

    def void(self, number: str) -> None:
        self._bookkeeper.void(number)

    def overpay(self, customer: str, amount: str) -> None:
        self._bookkeeper.pay_unapplied(customer, amount)

    prepay = overpay

    def credit(self, customer: str, amount: str) -> str:
        return str(self._bookkeeper.credit(customer, amount)["Id"])

    def apply(self, credit: str, number: str, amount: str) -> None:
        self._bookkeeper.apply_credit(credit, number, amount)

    def merge(self, customer: str, into: str) -> None:
        self._bookkeeper.merge(customer, into)

    def archive(self, customer: str) -> None:
        self._bookkeeper.deactivate(customer)

    def close_books(self, on: date) -> None:
        self.sandbox.quickbooks.close_books(on, self._realm)

    def disconnect(self) -> None:
        self.sandbox.quickbooks.disconnect(self._realm)

    def notes(self, number: str) -> list[str]:
        return list(self._bookkeeper.notes(number))

    def amounts_due(self) -> dict[str, Decimal]:
        invoices = self._bookkeeper.invoices()
        return {one["DocNumber"]: Decimal(str(one["Balance"])) for one in invoices if one["Balance"]}

    def unapplied(self) -> Decimal:
        payments = sum(payment["UnappliedAmt"] for payment in self._bookkeeper.payments())
        return Decimal(str(payments + sum(memo["Balance"] for memo in self._bookkeeper.credit_memos())))


class LocalCopy:
    """What a connector stores of the change pages: enough to compare totals and statuses."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.invoices: dict[str, InvoiceRecord] = {}
        self.customers: dict[str, CustomerRecord] = {}
        self.payments: dict[str, PaymentRecord] = {}
        self.credits: dict[tuple[str, str], CreditRecord] = {}
        self.changed: list[InvoiceRecord | CustomerRecord | PaymentRecord] = []

    def pull(self, ledger: Ledger, now: datetime) -> list[ChangePage]:
        pages = []
        self.changed.clear()
        for page in ledger.list_changes(self.cursor, now):
            pages.append(page)
            self.store(page)
            self.cursor = page.cursor
        return pages

    def store(self, page: ChangePage) -> None:
        if page.full_resync:
            for stored in (self.invoices, self.customers, self.payments, self.credits):
                stored.clear()
        self._store_records(page.invoices, self.invoices)
        self._store_records(page.customers, self.customers)
        self._store_records(page.payments, self.payments)
        for credit in page.credits:
            self.credits[credit.kind, credit.external_id] = credit
        by_kind: dict[str, dict[str, Any]] = {
            "invoice": self.invoices,
            "customer": self.customers,
            "payment": self.payments,
        }
        for deleted in page.deleted:
            by_kind.get(deleted.kind, {}).pop(deleted.external_id, None)
            self.credits.pop((deleted.kind, deleted.external_id), None)

    def _store_records(self, records: list[Record], stored: dict[str, Record]) -> None:
        for record in records:
            if stored.get(record.external_id) != record:
                self.changed.append(record)
            stored[record.external_id] = record

    def amounts_due(self) -> dict[str, Decimal]:
        open_invoices = (one for one in self.invoices.values() if one.due and one.status == "open")
        return {invoice.number: invoice.due for invoice in open_invoices}

    def unapplied(self) -> Decimal:
        payments = sum((payment.unapplied for payment in self.payments.values()), Decimal(0))
        return payments + sum((credit.remaining for credit in self.credits.values()), Decimal(0))
