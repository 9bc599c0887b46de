"""One small company on each ledger, spoken to in the same words: what the contract's cases are told with.

``cannot`` names what a ledger does not have; a case that is about one of them does not apply to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import requests

import providers
from providers.http import TransportLimits
from providers.ledger import ChangePage, JsonObject, LateFeeInvoice, Ledger
from providers.quickbooks.client import Client as QuickBooksClient
from providers.quickbooks.ledger import QuickBooksLedger
from providers.xero.client import Client as XeroClient
from providers.xero.ledger import XeroLedger
from sandbox.server import Sandbox

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TODAY = NOON.date()
REDIRECT_URI = "http://localhost:8710/callback"
NO_SLEEP_LIMITS = TransportLimits(sleep=lambda _seconds: None)


class CallCounter:
    """Calls by kind."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()

    def before(self, kind: str) -> None:
        self.kinds[kind] += 1

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        pass


class LedgerFixture:
    """A company, the consent to its books, and a bookkeeper. Amounts are text, customers and invoices their names."""

    name = ""
    unsupported: frozenset[str] = frozenset()

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox, self.url, self.calls = sandbox, url, CallCounter()
        self.provider = providers.get_ledger_provider(self.name)
        given = {key.lower(): value for key, value in sandbox.settings(url).items()}
        self.settings: Any = SimpleNamespace(**{"xero_scopes": "", **given})
        self.create_company()
        self.consent_request = self.provider.begin_consent(self.settings, REDIRECT_URI)
        back = self.approve_consent(self.consent_request.url)
        self.consent = self.provider.finish_consent(self.settings, REDIRECT_URI, back, self.consent_request, self.calls)
        [self.company] = self.consent.companies
        self.token: JsonObject = self.consent.token

    def create_company(self) -> None:
        """Found the company."""
        raise NotImplementedError

    def approve_consent(self, url: str) -> str:
        """Allow the access on the vendor's page; return the address it leads back to."""
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
        """Open the books as a new process would."""
        return self.provider.open_ledger(self.settings, self.company, self.access_token, self.calls)

    @property
    def now(self) -> datetime:
        return self.sandbox.clock.now()

    def advance(self, **by: float) -> None:
        self.sandbox.clock.advance(timedelta(**by or {"hours": 1}))

    def build_fee(self, original: InvoiceKey, number: str = "LF-1-1", amount: str = "12.50") -> LateFeeInvoice:
        due = TODAY + timedelta(days=14)
        return LateFeeInvoice(
            number, original[0], original[1], original[2], original[3], Decimal(amount), TODAY, due, "Late fee"
        )


InvoiceKey = tuple[str, str, str, str]  # id, number, customer's id, currency


class XeroFixture(LedgerFixture):
    name = "xero"

    def create_company(self) -> None:
        self._book = self.sandbox.xero.add_organisation("House Ltd")
        self._organisation = {"organisation": self._book.tenant_id}

    @property
    def id(self) -> str:
        return self._book.tenant_id

    def ledger(self) -> Ledger:
        return XeroLedger(XeroClient(self.url, self.id, self.access_token, self.calls, NO_SLEEP_LIMITS))

    def customer(self, name: str) -> None:
        self.sandbox.xero.add_contact(name, email=f"{name.lower()}@house.example", **self._organisation)

    def invoice(self, customer: str, amount: str, currency: str = "GBP") -> InvoiceKey:
        due = (TODAY - timedelta(days=5)).isoformat()
        made = self.sandbox.xero.add_invoice(
            customer, amount, due_on=due, currency=currency, sent=True, **self._organisation
        )
        return made.id, made.number, made.contact.id, made.currency

    def pay(self, number: str, amount: str = "") -> Any:
        return self.sandbox.xero.pay(number, amount, **self._organisation).id

    def delete_payment(self, payment: Any) -> None:
        self.sandbox.xero.delete_payment(payment, **self._organisation)

    def void(self, number: str) -> None:
        self.sandbox.xero.void(number, **self._organisation)

    def overpay(self, customer: str, amount: str) -> None:
        self.sandbox.xero.add_credit(customer, amount, "Overpayment", **self._organisation)

    def prepay(self, customer: str, amount: str) -> None:
        self.sandbox.xero.add_credit(customer, amount, "Prepayment", **self._organisation)

    def credit(self, customer: str, amount: str) -> Any:
        return self.sandbox.xero.add_credit(customer, amount, **self._organisation).id

    def apply(self, credit: Any, number: str, amount: str) -> None:
        self.sandbox.xero.allocate(credit, number, amount, **self._organisation)

    def merge(self, customer: str, into: str) -> None:
        self.sandbox.xero.merge(customer, into, **self._organisation)

    def archive(self, customer: str) -> None:
        self.sandbox.xero.archive(customer, **self._organisation)

    def close(self, on: date) -> None:
        self._book.period_lock_on = on

    def disconnect(self) -> None:
        self.sandbox.xero.disconnect(self.id)

    def notes(self, number: str) -> list[str]:
        return list(self.sandbox.xero.notes(number, **self._organisation))

    def amounts_due(self) -> dict[str, Decimal]:
        living = [one for one in self.sandbox.xero.invoices(self.id) if one.status == "AUTHORISED"]
        return {one.number: one.amount_due for one in living}

    def unapplied(self) -> Decimal:
        shelves = self._book.credits.values()
        return sum((one.remaining for shelf in shelves for one in shelf if one.status == "AUTHORISED"), Decimal(0))


class QuickBooksFixture(LedgerFixture):
    name = "quickbooks"

    def create_company(self) -> None:
        self._realm = self.sandbox.quickbooks.add_company("House Ltd", country="GB", currency="GBP")
        self._bookkeeper = self.sandbox.quickbooks.bookkeeper(self._realm)
        self._invoice_count = 0

    @property
    def id(self) -> str:
        return self._realm

    def ledger(self) -> Ledger:
        return QuickBooksLedger(QuickBooksClient(self.url, self.id, self.access_token, self.calls, NO_SLEEP_LIMITS))

    def customer(self, name: str) -> None:
        currency = "EUR" if name == "Eva" else "GBP"  # each customer has one currency there
        self._bookkeeper.add_customer(name, email=f"{name.lower()}@house.example", currency=currency)

    def invoice(self, customer: str, amount: str, currency: str = "GBP") -> InvoiceKey:
        self._invoice_count += 1
        number = f"I-{self._invoice_count:04}"
        made = self._bookkeeper.add_invoice(customer, amount, number=number, due_on=TODAY - timedelta(days=5))
        return made["Id"], number, made["CustomerRef"]["value"], made["CurrencyRef"]["value"]

    def pay(self, number: str, amount: str = "") -> Any:
        return self._bookkeeper.pay(number, amount or None)["Id"]

    def delete_payment(self, payment: Any) -> None:
        self._bookkeeper.delete_payment(payment)

    def void(self, number: str) -> None:
        self._bookkeeper.void(number)

    def overpay(self, customer: str, amount: str) -> None:
        self._bookkeeper.pay_unapplied(customer, amount)

    prepay = overpay

    def credit(self, customer: str, amount: str) -> Any:
        return self._bookkeeper.credit(customer, amount)["Id"]

    def apply(self, credit: Any, number: str, amount: str) -> None:
        self._bookkeeper.apply_credit(credit, number, amount)

    def merge(self, customer: str, into: str) -> None:
        self._bookkeeper.merge(customer, into)

    def archive(self, customer: str) -> None:
        self._bookkeeper.deactivate(customer)

    def close(self, on: date) -> None:
        self.sandbox.quickbooks.close_books(on, self._realm)

    def disconnect(self) -> None:
        self.sandbox.quickbooks.disconnect(self._realm)

    def notes(self, number: str) -> list[str]:
        return list(self._bookkeeper.notes(number))

    def amounts_due(self) -> dict[str, Decimal]:
        return {one["DocNumber"]: Decimal(str(one["Balance"])) for one in self._bookkeeper.invoices() if one["Balance"]}

    def unapplied(self) -> Decimal:
        loose = [one["UnappliedAmt"] for one in self._bookkeeper.payments()]
        return Decimal(str(sum(loose) + sum(one["Balance"] for one in self._bookkeeper.credit_memos())))


class LocalCopy:
    """What a connector keeps of the pages: enough to compare sums and states."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.invoices: dict[str, Any] = {}
        self.customers: dict[str, Any] = {}
        self.payments: dict[str, Any] = {}
        self.credits: dict[tuple[str, str], Any] = {}
        self.changed: list[Any] = []

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
            for kept in (self.invoices, self.customers, self.payments, self.credits):
                kept.clear()
        for records, kept in (
            (page.invoices, self.invoices), (page.customers, self.customers), (page.payments, self.payments),
        ):  # fmt: skip
            for one in records:
                self.changed += [] if kept.get(one.external_id) == one else [one]
                kept[one.external_id] = one
        for credit in page.credits:
            self.credits[credit.kind, credit.external_id] = credit
        for gone in page.deleted:
            kept_of = {"invoice": self.invoices, "customer": self.customers, "payment": self.payments}
            kept_of.get(gone.kind, {}).pop(gone.external_id, None)
            self.credits.pop((gone.kind, gone.external_id), None)

    def amounts_due(self) -> dict[str, Decimal]:
        return {one.number: one.due for one in self.invoices.values() if one.due and one.status == "open"}

    def unapplied(self) -> Decimal:
        loose = sum((one.unapplied for one in self.payments.values()), Decimal(0))
        return loose + sum((one.remaining for one in self.credits.values()), Decimal(0))
