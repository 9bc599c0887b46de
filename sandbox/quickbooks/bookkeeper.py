"""What a bookkeeper does in the simulated QuickBooks, without the API: for tests, the demo and scripts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sandbox.core import JsonObject
from sandbox.quickbooks import writes
from sandbox.quickbooks.company_ledger import CompanyLedger
from sandbox.quickbooks.entity_store import Entry
from sandbox.quickbooks.formats import ZERO
from sandbox.quickbooks.formats import parse_amount as figure
from sandbox.quickbooks.history import link_credit, write_note
from sandbox.quickbooks.list_entities import name_key
from sandbox.quickbooks.payments import application_line, link_of

Money = Decimal | int | str


class Bookkeeper:
    """The bookkeeper of one company. Invoices are identified by number or id, customers by name or id.

    Every method takes the sandbox's lock and returns a copy of the document's JSON. Raises ``api_errors.ApiFault`` for
    what QuickBooks rejects, and ``LookupError`` for what does not exist.
    """

    def __init__(self, lock: threading.RLock, ledger: Callable[[], CompanyLedger]) -> None:
        self._lock = lock
        self._get_ledger = ledger

    # Reading

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
        """Return all customers by id, inactive ones included."""
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
        """Return the notes of an invoice, or of all, oldest first."""
        with self._lock:
            number = str(self._invoice(invoice).number) if invoice else ""
            found = []
            for entry in self._get_ledger().all("Attachable"):
                links = [link["EntityRef"]["value"] for link in entry.body.get("AttachableRef", ())]
                if not number or number in links:
                    found.append(entry.body.get("Note", ""))
            return found

    # Records that spoil every reply

    def poison(self, invoice: str = "", *, entity: str = "Invoice", external_id: str = "", status: int = 400) -> None:
        """Make every reply fail that would hold a record: an invoice, or any other by entity and id.

        It is refused with status 400 or 500; with a higher one the service fails.
        """
        with self._lock:
            number = int(external_id) if external_id else self._invoice(invoice).number
            self._get_ledger().poisoned[entity, number] = status

    def heal(self) -> None:
        """Make all records readable again; they count as changed only when somebody edits them."""
        with self._lock:
            self._get_ledger().poisoned.clear()

    # Payments and credits

    def add_account(self, name: str, kind: str) -> str:
        """Add an account of a type like ``Other Current Asset``; returns its id."""
        with self._lock:
            return str(writes.create(self._get_ledger(), "Account", {"Name": name, "AccountType": kind}).number)

    def pay(
        self, invoice: str, amount: Money | None = None, *, on: date | None = None, deposit_to: str = ""
    ) -> JsonObject:
        """Receive a payment of an invoice: of its balance, or of ``amount``, to an account other than the usual one."""
        with self._lock:
            entry = self._invoice(invoice)
            paid = entry.body["Balance"] if amount is None else figure("amount", amount)
            lines = [application_line("Invoice", entry.number, paid)]
            return self._receive_payment(entry.body["CustomerRef"], paid, lines, on, deposit_to)

    def receive(
        self,
        customer: str,
        amount: Money,
        applied: dict[str, Money],
        *,
        credits: dict[str, Money] | None = None,
        on: date | None = None,
    ) -> JsonObject:
        """Receive one payment of several invoices (number to amount), with credit memos (id to amount) beside it."""
        with self._lock:
            invoices = {name: self._invoice(name) for name in applied}
            lines = [
                application_line("Invoice", invoices[name].number, figure("amount", applied[name])) for name in applied
            ]
            lines += [
                application_line("CreditMemo", each, figure("amount", part)) for each, part in (credits or {}).items()
            ]
            reference = {"value": str(self._customer(customer).number)}
            return self._receive_payment(reference, figure("amount", amount), lines, on)

    def write_off(self, invoice: str, amount: Money | None = None, *, on: date | None = None) -> JsonObject:
        """Clear an invoice by a journal entry, which QuickBooks links to it by a payment of 0."""
        with self._lock:
            entry = self._invoice(invoice)
            cleared = entry.body["Balance"] if amount is None else figure("amount", amount)
            journal = self._get_ledger().new_id("Payment")  # transactions share a sequence
            lines = [
                application_line("Invoice", entry.number, cleared),
                application_line("JournalEntry", journal, cleared),
            ]
            return self._receive_payment(entry.body["CustomerRef"], ZERO, lines, on)

    def pay_unapplied(self, customer: str, amount: Money, *, on: date | None = None) -> JsonObject:
        """Receive an unapplied payment."""
        with self._lock:
            reference = {"value": str(self._customer(customer).number)}
            return self._receive_payment(reference, figure("amount", amount), [], on)

    def book_on_no_invoice(self, customer: str, amount: Money) -> None:
        """Book money of a customer on accounts receivable, past their invoices: only their balance shows it."""
        with self._lock:
            self._get_ledger().book_on_no_invoice(self._customer(customer).number, figure("amount", amount))

    def apply(self, payment: str, invoice: str, amount: Money) -> JsonObject:
        """Apply the unapplied part of a payment to an invoice."""
        with self._lock:
            entry = self._get_ledger().get("Payment", payment)
            line = application_line("Invoice", self._invoice(invoice).number, figure("amount", amount))
            changed = {"sparse": True, "Line": [*entry.body["Line"], line]}
            return dict(writes.update(self._get_ledger(), entry, changed).body)

    def move_payment(self, payment: str, invoice: str) -> JsonObject:
        """Apply a whole payment to another invoice instead: so returned cheques are recorded, among others."""
        with self._lock:
            entry = self._get_ledger().get("Payment", payment)
            line = application_line("Invoice", self._invoice(invoice).number, entry.body["TotalAmt"])
            return dict(writes.update(self._get_ledger(), entry, {"sparse": True, "Line": [line]}).body)

    def give_payment(self, payment: str, invoice: str) -> JsonObject:
        """Correct the customer of a payment: it is applied to an invoice of that customer instead."""
        with self._lock:
            entry, target = self._get_ledger().get("Payment", payment), self._invoice(invoice)
            line = application_line("Invoice", target.number, entry.body["TotalAmt"])
            changed = {"sparse": True, "CustomerRef": target.body["CustomerRef"], "Line": [line]}
            return dict(writes.update(self._get_ledger(), entry, changed).body)

    def bounce_payment(self, payment: str, *, keep: str = "") -> JsonObject:
        """Record a cheque that the bank returned, as Intuit says: the payment is linked to an expense.

        What is applied to the invoice ``keep`` stays.
        """
        with self._lock:
            ledger = self._get_ledger()
            entry, kept = ledger.get("Payment", payment), self._invoice(keep).number if keep else 0
            lines = [line for line in entry.body["Line"] if link_of(line) == ("Invoice", kept)]
            rest = entry.body["TotalAmt"] - sum((line["Amount"] for line in lines), ZERO)
            lines.append(application_line("Expense", ledger.new_id("Payment"), rest))
            return dict(writes.update(ledger, entry, {"sparse": True, "Line": lines}).body)

    def deposit_to(self, payment: str, account: str) -> JsonObject:
        """Change the account that a payment was booked to."""
        with self._lock:
            entry = self._get_ledger().get("Payment", payment)
            changed = {"sparse": True, "DepositToAccountRef": {"value": account}}
            return dict(writes.update(self._get_ledger(), entry, changed).body)

    def delete_payment(self, payment: str) -> JsonObject:
        """Delete a payment: the invoices it paid are open again."""
        with self._lock:
            return writes.delete(self._get_ledger(), self._get_ledger().get("Payment", payment))

    def void_payment(self, payment: str) -> JsonObject:
        """Void a payment: the invoices it paid are open again."""
        with self._lock:
            return dict(writes.void(self._get_ledger(), self._get_ledger().get("Payment", payment)).body)

    def deposit(self, payment: str) -> JsonObject:
        """Add a payment to a bank deposit, after which it cannot be changed."""
        with self._lock:
            entry = self._get_ledger().get("Payment", payment)
            link = {"TxnId": str(self._get_ledger().new_id("Payment")), "TxnType": "Deposit"}
            self._get_ledger().change(entry, {**entry.body, "LinkedTxn": [link]})
            return dict(entry.body)

    def add_deposit(self, amount: Money, *, account: str, customer: str = "", note: str = "", payment: str = "") -> str:
        """Enter a bank deposit of one line, booked from an account (by id) or of a payment; return its id."""
        with self._lock:
            ledger = self._get_ledger()
            detail: JsonObject = {"AccountRef": {"value": account}}
            if customer:
                detail["Entity"] = {**ledger.reference(self._customer(customer)), "type": "CUSTOMER"}
            line: JsonObject = {"Id": "1", "LineNum": 1, "Amount": figure("amount", amount), "Description": note}
            line |= {"DetailType": "DepositLineDetail", "DepositLineDetail": detail}
            if payment:
                line["LinkedTxn"] = [{"TxnId": payment, "TxnType": "Payment", "TxnLineId": "0"}]
            currency = {"value": ledger.profile.currency}
            total = {"TotalAmt": line["Amount"], "CurrencyRef": currency, "TxnDate": ledger.today().isoformat()}
            return str(ledger.add("Deposit", {**total, "Line": [line]}).number)

    def edit_deposit(self, deposit: str, *amounts: Money) -> None:
        """Change the lines of a bank deposit to copies of its last one with these amounts."""
        with self._lock:
            ledger = self._get_ledger()
            entry = ledger.get("Deposit", deposit)
            lines = [{**entry.body["Line"][-1], "Amount": figure("amount", amount)} for amount in amounts]
            ledger.change(entry, {**entry.body, "Line": lines})

    def delete_deposit(self, deposit: str) -> None:
        """Delete a bank deposit."""
        with self._lock:
            ledger = self._get_ledger()
            ledger.remove(ledger.get("Deposit", deposit))

    def credit(self, customer: str, amount: Money, *, number: str = "", on: date | None = None) -> JsonObject:
        """Enter an unapplied credit memo."""
        with self._lock:
            asked = self._sale_fields(customer, figure("amount", amount), "Credit", number, on)
            return dict(writes.create(self._get_ledger(), "CreditMemo", asked).body)

    def apply_credit(self, credit: str, invoice: str, amount: Money | None = None) -> JsonObject:
        """Apply a credit memo (by id) to an invoice, fully or by ``amount``, and return the linking payment."""
        with self._lock:
            entry = self._get_ledger().get("CreditMemo", credit)
            requested = entry.body["Balance"] if amount is None else figure("amount", amount)
            on = self._get_ledger().today().isoformat()
            created = link_credit(self._get_ledger(), entry, self._invoice(invoice), requested, on)
            if created is None:
                raise LookupError("credit or balance left")
            return dict(created.body)

    # Invoices

    def add_invoice(
        self, customer: str, amount: Money, *, number: str = "", on: date | None = None, due_on: date | None = None,
        sent: bool = True,
    ) -> JsonObject:  # fmt: skip
        """Enter an invoice of one line, by default due in 30 days; ``sent`` marks it as emailed."""
        with self._lock:
            asked = self._sale_fields(customer, figure("amount", amount), "Work done", number, on)
            dated_on = on or self._get_ledger().today()
            asked["DueDate"] = (due_on or dated_on + timedelta(days=30)).isoformat()
            entry = writes.create(self._get_ledger(), "Invoice", asked)
            if sent and "BillEmail" in entry.body:
                writes.send(self._get_ledger(), entry, "")
            return dict(entry.body)

    def edit(self, invoice: str, **fields: Any) -> JsonObject:
        """Change properties of an invoice, with Intuit's names (``DueDate="2026-12-31"``)."""
        with self._lock:
            return dict(writes.update(self._get_ledger(), self._invoice(invoice), {"sparse": True, **fields}).body)

    def renumber(self, invoice: str, number: str) -> JsonObject:
        """Change a number unchecked, as the browser does: to another invoice's, or to none with ""."""
        with self._lock:
            entry = self._invoice(invoice)
            body = {name: value for name, value in entry.body.items() if name != "DocNumber"}
            self._get_ledger().change(entry, body | ({"DocNumber": number} if number else {}))
            return dict(entry.body)

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

    # Customers

    def add_customer(self, name: str, *, email: str = "", currency: str = "", **fields: Any) -> JsonObject:
        """Enter a customer; ``fields`` are additional properties, with Intuit's names."""
        with self._lock:
            asked: JsonObject = {"DisplayName": name, **fields}
            if email:
                asked["PrimaryEmailAddr"] = {"Address": email}
            if currency:
                asked["CurrencyRef"] = {"value": currency}
            return dict(writes.create(self._get_ledger(), "Customer", asked).body)

    def edit_customer(self, customer: str, **fields: Any) -> JsonObject:
        """Change properties of a customer, with Intuit's names."""
        with self._lock:
            return dict(writes.update(self._get_ledger(), self._customer(customer), {"sparse": True, **fields}).body)

    def set_email(self, customer: str, address: str) -> JsonObject:
        """Change a customer's address ("" removes it), also on the open invoices, as a bookkeeper would."""
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
        """Merge a customer into another, which gets its documents, and make it inactive.

        The documents keep their own addresses. Only the webhook says who was merged into whom.
        """
        with self._lock:
            ledger, merged, remaining = self._get_ledger(), self._customer(customer), self._customer(target)
            for entity in ("Invoice", "CreditMemo", "Payment"):
                for entry in [*ledger.all(entity)]:
                    if entry.body["CustomerRef"]["value"] == str(merged.number):
                        ledger.change(entry, {**entry.body, "CustomerRef": ledger.reference(remaining)})
                        ledger.update_customer_balance(entry)
            writes.update(ledger, merged, {"sparse": True, "Active": False})
            ledger.merges[merged.number] = (remaining.number, ledger.current_time())
            return dict(remaining.body)

    # Helpers

    def _bodies(self, entity: str) -> list[JsonObject]:
        with self._lock:
            return [dict(entry.body) for entry in self._get_ledger().all(entity)]

    def _invoice(self, name: str) -> Entry:
        ledger = self._get_ledger()
        number = ledger.numbers.get(("Invoice", str(name)))
        entry = ledger.find("Invoice", number if number is not None else name)
        if entry is None:
            raise LookupError(f"invoice {name}")
        return entry

    def _customer(self, name: str) -> Entry:
        ledger = self._get_ledger()
        number = ledger.names.get(name_key("Customer", str(name)))
        entry = ledger.find("Customer", number if number is not None else name)
        if entry is None:
            raise LookupError(f"customer {name}")
        return entry

    def _receive_payment(
        self, customer: JsonObject, total: Decimal, lines: list[JsonObject], on: date | None, deposit_to: str = ""
    ) -> JsonObject:
        asked: JsonObject = {"CustomerRef": customer, "TotalAmt": total, "Line": lines}
        if deposit_to:
            asked["DepositToAccountRef"] = {"value": deposit_to}
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
