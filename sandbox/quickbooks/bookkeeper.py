"""The bookkeeper's desk: what a person can do in a company's books without the API, for tests and for the demo."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sandbox.quickbooks import writes
from sandbox.quickbooks.company_ledger import CompanyLedger
from sandbox.quickbooks.entity_store import Entry
from sandbox.quickbooks.formats import parse_amount as figure
from sandbox.quickbooks.history import link_credit, write_note
from sandbox.quickbooks.list_entities import name_key
from sandbox.quickbooks.payments import application_line

JsonObject = dict[str, Any]
Money = Decimal | int | str


class Bookkeeper:
    """One company's books in a person's hands. Invoices are named by number or id, customers by name or id.

    Every method returns the document's JSON (a copy) and takes the sandbox's lock. What the books refuse raises
    ``refusals.Refusal``; what is not there raises ``LookupError``.
    """

    def __init__(self, lock: threading.RLock, ledger: Callable[[], CompanyLedger]) -> None:
        self._lock = lock
        self._get_ledger = ledger

    # looking

    def invoices(self) -> list[JsonObject]:
        """Return all invoices, by id."""
        return self._bodies("Invoice")

    def payments(self) -> list[JsonObject]:
        """Return all payments, by id."""
        return self._bodies("Payment")

    def credit_memos(self) -> list[JsonObject]:
        """Return all credit memos, by id."""
        return self._bodies("CreditMemo")

    def customers(self) -> list[JsonObject]:
        """Return all customers, the inactive too, by id."""
        return self._bodies("Customer")

    def find(self, invoice: str) -> JsonObject:
        """Return an invoice."""
        with self._lock:
            return dict(self._invoice(invoice).body)

    def customer(self, name: str) -> JsonObject:
        """Return a customer."""
        with self._lock:
            return dict(self._customer(name).body)

    def notes(self, invoice: str = "") -> list[str]:
        """Return the texts of the notes attached to an invoice, or to any, oldest first."""
        with self._lock:
            number = str(self._invoice(invoice).number) if invoice else ""
            found = []
            for entry in self._get_ledger().all("Attachable"):
                links = [link["EntityRef"]["value"] for link in entry.body.get("AttachableRef", ())]
                if not number or number in links:
                    found.append(entry.body.get("Note", ""))
            return found

    # money

    def pay(self, invoice: str, amount: Money | None = None, *, on: date | None = None) -> JsonObject:
        """Receive a payment for an invoice: its balance, or ``amount`` of it."""
        with self._lock:
            entry = self._invoice(invoice)
            paid = entry.body["Balance"] if amount is None else figure("amount", amount)
            lines = [application_line("Invoice", entry.number, paid)]
            return self._receive_payment(entry.body["CustomerRef"], paid, lines, on)

    def pay_unapplied(self, customer: str, amount: Money, *, on: date | None = None) -> JsonObject:
        """Receive money from a customer that is applied to nothing yet."""
        with self._lock:
            reference = {"value": str(self._customer(customer).number)}
            return self._receive_payment(reference, figure("amount", amount), [], on)

    def apply(self, payment: str, invoice: str, amount: Money) -> JsonObject:
        """Apply unapplied money of a payment to an invoice."""
        with self._lock:
            entry = self._get_ledger().get("Payment", payment)
            line = application_line("Invoice", self._invoice(invoice).number, figure("amount", amount))
            changed = {"sparse": True, "Line": [*entry.body["Line"], line]}
            return dict(writes.update(self._get_ledger(), entry, changed).body)

    def delete_payment(self, payment: str) -> JsonObject:
        """Delete a payment: what it paid is open again."""
        with self._lock:
            return writes.delete(self._get_ledger(), self._get_ledger().get("Payment", payment))

    def void_payment(self, payment: str) -> JsonObject:
        """Void a payment: what it paid is open again."""
        with self._lock:
            return dict(writes.void(self._get_ledger(), self._get_ledger().get("Payment", payment)).body)

    def deposit(self, payment: str) -> JsonObject:
        """Put a payment into a bank deposit: it cannot be changed any more."""
        with self._lock:
            entry = self._get_ledger().get("Payment", payment)
            link = {"TxnId": str(self._get_ledger().new_id("Payment")), "TxnType": "Deposit"}
            self._get_ledger().change(entry, {**entry.body, "LinkedTxn": [link]})
            return dict(entry.body)

    def credit(self, customer: str, amount: Money, *, number: str = "", on: date | None = None) -> JsonObject:
        """Give a customer a credit memo that is applied to nothing yet."""
        with self._lock:
            asked = self._sale_fields(customer, figure("amount", amount), "Credit", number, on)
            return dict(writes.create(self._get_ledger(), "CreditMemo", asked).body)

    def apply_credit(self, credit: str, invoice: str, amount: Money | None = None) -> JsonObject:
        """Apply a credit memo (id) to an invoice: as much as fits, or ``amount``. Returns the linking payment."""
        with self._lock:
            entry = self._get_ledger().get("CreditMemo", credit)
            wanted = entry.body["Balance"] if amount is None else figure("amount", amount)
            on = self._get_ledger().today().isoformat()
            made = link_credit(self._get_ledger(), entry, self._invoice(invoice), wanted, on)
            if made is None:
                raise LookupError("credit or balance left")
            return dict(made.body)

    # documents

    def add_invoice(
        self, customer: str, amount: Money, *, number: str = "", on: date | None = None, due_on: date | None = None,
        sent: bool = True,
    ) -> JsonObject:  # fmt: skip
        """Enter an invoice of one line; ``due_on`` is 30 days later unless said; ``sent`` marks it as mailed."""
        with self._lock:
            asked = self._sale_fields(customer, figure("amount", amount), "Work done", number, on)
            dated_on = on or self._get_ledger().today()
            asked["DueDate"] = (due_on or dated_on + timedelta(days=30)).isoformat()
            entry = writes.create(self._get_ledger(), "Invoice", asked)
            if sent and "BillEmail" in entry.body:
                writes.send(self._get_ledger(), entry, "")
            return dict(entry.body)

    def edit(self, invoice: str, **fields: Any) -> JsonObject:
        """Change properties of an invoice, named as Intuit does (``DueDate="2026-12-31"``)."""
        with self._lock:
            return dict(writes.update(self._get_ledger(), self._invoice(invoice), {"sparse": True, **fields}).body)

    def void(self, invoice: str) -> JsonObject:
        """Void an invoice; payments on it become unapplied."""
        with self._lock:
            return dict(writes.void(self._get_ledger(), self._invoice(invoice)).body)

    def delete(self, invoice: str) -> JsonObject:
        """Delete an invoice; payments on it become unapplied."""
        with self._lock:
            return writes.delete(self._get_ledger(), self._invoice(invoice))

    def note(self, invoice: str, text: str) -> JsonObject:
        """Attach a note to an invoice."""
        with self._lock:
            return dict(write_note(self._get_ledger(), self._invoice(invoice), text).body)

    # customers

    def add_customer(self, name: str, *, email: str = "", currency: str = "", **fields: Any) -> JsonObject:
        """Enter a customer; ``fields`` are further properties, named as Intuit does."""
        with self._lock:
            asked: JsonObject = {"DisplayName": name, **fields}
            if email:
                asked["PrimaryEmailAddr"] = {"Address": email}
            if currency:
                asked["CurrencyRef"] = {"value": currency}
            return dict(writes.create(self._get_ledger(), "Customer", asked).body)

    def edit_customer(self, customer: str, **fields: Any) -> JsonObject:
        """Change properties of a customer, named as Intuit does."""
        with self._lock:
            return dict(writes.update(self._get_ledger(), self._customer(customer), {"sparse": True, **fields}).body)

    def set_email(self, customer: str, address: str) -> JsonObject:
        """Change a customer's address ("" takes it away), also on his open invoices, as a bookkeeper would."""
        with self._lock:
            changed = {"sparse": True, "PrimaryEmailAddr": {"Address": address} if address else None}
            entry = writes.update(self._get_ledger(), self._customer(customer), changed)
            bill = {"sparse": True, "BillEmail": {"Address": address} if address else None}
            for invoice in [*self._get_ledger().all("Invoice")]:
                theirs = invoice.body["CustomerRef"]["value"] == str(entry.number)
                if theirs and invoice.body["Balance"]:
                    writes.update(self._get_ledger(), invoice, bill)
            return dict(entry.body)

    def deactivate(self, customer: str) -> JsonObject:
        """Make a customer inactive."""
        return self.edit_customer(customer, Active=False)

    def merge(self, customer: str, target: str) -> JsonObject:
        """Merge a customer into another: his documents move, he becomes inactive."""
        with self._lock:
            books, gone, stays = self._get_ledger(), self._customer(customer), self._customer(target)
            for entity in ("Invoice", "CreditMemo", "Payment"):
                for entry in [*books.all(entity)]:
                    if entry.body["CustomerRef"]["value"] == str(gone.number):
                        books.change(entry, {**entry.body, "CustomerRef": books.reference(stays)})
                        books.update_customer_balance(entry)
            writes.update(books, gone, {"sparse": True, "Active": False})
            return dict(stays.body)

    # inside

    def _bodies(self, entity: str) -> list[JsonObject]:
        with self._lock:
            return [dict(entry.body) for entry in self._get_ledger().all(entity)]

    def _invoice(self, name: str) -> Entry:
        books = self._get_ledger()
        number = books.numbers.get(("Invoice", str(name)))
        entry = books.find("Invoice", number if number is not None else name)
        if entry is None:
            raise LookupError(f"invoice {name}")
        return entry

    def _customer(self, name: str) -> Entry:
        books = self._get_ledger()
        number = books.names.get(name_key("Customer", str(name)))
        entry = books.find("Customer", number if number is not None else name)
        if entry is None:
            raise LookupError(f"customer {name}")
        return entry

    def _receive_payment(
        self, customer: JsonObject, total: Decimal, lines: list[JsonObject], on: date | None
    ) -> JsonObject:
        asked: JsonObject = {"CustomerRef": customer, "TotalAmt": total, "Line": lines}
        if on:
            asked["TxnDate"] = on.isoformat()
        return dict(writes.create(self._get_ledger(), "Payment", asked).body)

    def _sale_fields(self, customer: str, total: Decimal, description: str, number: str, on: date | None) -> JsonObject:
        item = next(self._get_ledger().all("Item"))
        line = {
            "DetailType": "SalesItemLineDetail", "Amount": total, "Description": description,
            "SalesItemLineDetail": {"ItemRef": self._get_ledger().reference(item), "TaxCodeRef": {"value": "NON"}},
        }  # fmt: skip
        asked: JsonObject = {"CustomerRef": {"value": str(self._customer(customer).number)}, "Line": [line]}
        if number:
            asked["DocNumber"] = number
        if on:
            asked["TxnDate"] = on.isoformat()
        return asked
