"""Applies the simulated history to a company: each event becomes documents of its ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from sandbox import events
from sandbox.core import JsonObject
from sandbox.customers import phone_number
from sandbox.quickbooks import writes
from sandbox.quickbooks.api_errors import ApiFault
from sandbox.quickbooks.company_ledger import CompanyLedger
from sandbox.quickbooks.entity_store import Entry
from sandbox.quickbooks.formats import ZERO
from sandbox.quickbooks.payments import CREDIT_LINK_NOTE, application_line
from sandbox.simulation import ITEMS

ISO3 = {"US": "USA", "CA": "CAN", "GB": "GBR", "IE": "IRL", "DE": "DEU", "FR": "FRA", "AU": "AUS"}


def add_default_records(ledger: CompanyLedger) -> None:
    """Add what every company has before its first customer: accounts, items, terms and tax codes."""
    income = _create_account(ledger, "Sales of Product Income", "Income", "SalesOfProductIncome")
    _create_account(ledger, "Accounts Receivable (A/R)", "Accounts Receivable", "AccountsReceivable")
    _create_account(ledger, "Checking", "Bank", "Checking")
    _create_account(ledger, "Undeposited Funds", "Other Current Asset", "UndepositedFunds")
    for code, text, price in ITEMS:
        reference = ledger.reference(income)
        data = {"Name": text, "Sku": code, "UnitPrice": price, "Type": "Service", "IncomeAccountRef": reference}
        writes.create(ledger, "Item", data)
    for days in (14, 30, 60):
        writes.create(ledger, "Term", {"Name": f"Net {days}", "DueDays": days})
    writes.create(ledger, "Term", {"Name": "2% 10 Net 30", "DueDays": 30, "DiscountPercent": 2, "DiscountDays": 10})
    for code, text in (("NON", "Not taxable"), ("TAX", "Taxable")):
        taxable = code == "TAX"
        tax = {
            "Name": code,
            "Description": text,
            "Active": True,
            "Hidden": False,
            "Taxable": taxable,
            "TaxGroup": False,
        }
        ledger.add("TaxCode", tax)


class HistoryReplay:
    """Applies events to a ledger, and knows which document each event key became."""

    def __init__(self, ledger: CompanyLedger) -> None:
        self._ledger = ledger
        self._entries: dict[str, Entry] = {}
        self._items = {entry.body["Sku"]: entry for entry in ledger.all("Item")}
        self._terms = {entry.body["Name"]: entry for entry in ledger.all("Term")}
        self._handlers: dict[type[events.Event], Callable[[Any], None]] = {
            events.CustomerAdded: self._add_customer,
            events.EmailChanged: self._change_email,
            events.CustomerArchived: self._archive,
            events.InvoiceIssued: self._issue_invoice,
            events.PaymentReceived: self._receive_payment,
            events.PaymentDeleted: self._delete_payment,
            events.CreditNoteIssued: self._credit,
            events.CreditNoteApplied: self._apply_credit,
            events.InvoiceVoided: self._void,
            events.NoteWritten: self._note,
        }

    def apply_events(self, new_events: Iterable[events.Event]) -> None:
        """Apply events at their own time; bills and other irrelevant ones are skipped.

        Events that the ledger rejects, because a test has changed it meanwhile (an inactive customer), are skipped too.
        """
        for event in new_events:
            act = self._handlers.get(type(event))
            if act is None:
                continue
            self._ledger.set_time(event.at)
            try:
                act(event)
            except ApiFault:
                continue
            finally:
                self._ledger.set_time(None)

    def _find_live(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        return entry if entry and self._ledger.find(entry.entity, entry.number) is entry else None

    def _customer(self, key: str) -> JsonObject:
        return {"value": str(self._entries[key].number)}

    def _add_customer(self, event: events.CustomerAdded) -> None:
        customer = event.customer
        address = {
            "Line1": customer.street, "City": customer.city, "CountrySubDivisionCode": customer.region,
            "PostalCode": customer.postcode, "Country": ISO3.get(customer.country, customer.country),
        }  # fmt: skip
        terms = "2% 10 Net 30" if customer.discount_percent else f"Net {customer.terms_days}"
        data: JsonObject = {
            "DisplayName": customer.name, "CompanyName": customer.name,
            "GivenName": customer.first_name, "FamilyName": customer.last_name,
            "BillAddr": {name: value for name, value in address.items() if value},
            "CurrencyRef": {"value": customer.currency}, "SalesTermRef": {"value": str(self._terms[terms].number)},
        }  # fmt: skip
        data["PrimaryPhone"] = {"FreeFormNumber": phone_number(customer)}
        if customer.email:
            data["PrimaryEmailAddr"] = {"Address": customer.email}
        self._entries[customer.key] = writes.create(self._ledger, "Customer", data)

    def _change_email(self, event: events.EmailChanged) -> None:
        changed = {"sparse": True, "PrimaryEmailAddr": {"Address": event.email}}
        writes.update(self._ledger, self._entries[event.customer_key], changed)

    def _archive(self, event: events.CustomerArchived) -> None:
        writes.update(self._ledger, self._entries[event.customer_key], {"sparse": True, "Active": False})

    def _issue_invoice(self, event: events.InvoiceIssued) -> None:
        data = self._sale_fields(event) | {"DueDate": event.due_on.isoformat()}
        if event.reference:
            data["CustomerMemo"] = {"value": event.reference}
        entry = writes.create(self._ledger, "Invoice", data)
        self._entries[event.key] = entry
        if not event.draft and "BillEmail" in entry.body:
            writes.send(self._ledger, entry, "")

    def _sale_fields(self, event: events.InvoiceIssued | events.CreditNoteIssued) -> JsonObject:
        lines = [self._line(line) for line in event.lines]
        customer = self._customer(event.customer_key)
        return {"DocNumber": event.number, "TxnDate": event.on.isoformat(), "CustomerRef": customer, "Line": lines}

    def _line(self, line: events.Line) -> JsonObject:
        item = self._ledger.reference(self._items[line.item])
        detail = {"ItemRef": item, "Qty": line.quantity, "UnitPrice": line.unit_price}
        return {
            "DetailType": "SalesItemLineDetail", "Amount": line.net, "Description": line.description,
            "SalesItemLineDetail": detail,
        }  # fmt: skip

    def _receive_payment(self, event: events.PaymentReceived) -> None:
        lines, surplus = self._payment_lines(event.applied)
        total = event.amount - surplus
        if total <= ZERO:
            return  # a test has paid it already
        data = {"TotalAmt": total, "TxnDate": event.on.isoformat(), "Line": lines}
        data["CustomerRef"] = self._customer(event.customer_key)
        self._entries[event.key] = writes.create(self._ledger, "Payment", data)

    def _payment_lines(self, applied: tuple[tuple[str, Decimal], ...]) -> tuple[list[JsonObject], Decimal]:
        """Return the lines of a payment, and the surplus where an invoice is paid, smaller or deleted."""
        lines, surplus = [], ZERO
        for key, requested in applied:
            entry = self._find_live(key)
            part = min(requested, entry.body["Balance"]) if entry else ZERO
            surplus += requested - part
            if entry and part > ZERO:
                lines.append(application_line("Invoice", entry.number, part))
        return lines, surplus

    def _delete_payment(self, event: events.PaymentDeleted) -> None:
        entry = self._find_live(event.payment_key)
        if entry:
            writes.delete(self._ledger, entry)

    def _credit(self, event: events.CreditNoteIssued) -> None:
        credit = writes.create(self._ledger, "CreditMemo", self._sale_fields(event))
        self._entries[event.key] = credit
        for key, part in event.applied:
            self._link_credit(credit, key, part, event.on.isoformat())

    def _apply_credit(self, event: events.CreditNoteApplied) -> None:
        credit = self._find_live(event.credit_key)
        if credit:
            self._link_credit(credit, event.invoice_key, event.amount, event.on.isoformat())

    def _link_credit(self, credit: Entry, key: str, part: Decimal, on: str) -> None:
        invoice = self._find_live(key)
        if invoice:
            link_credit(self._ledger, credit, invoice, part, on)

    def _void(self, event: events.InvoiceVoided) -> None:
        entry = self._find_live(event.invoice_key)
        if entry:
            writes.void(self._ledger, entry)

    def _note(self, event: events.NoteWritten) -> None:
        entry = self._find_live(event.invoice_key)
        if entry:
            write_note(self._ledger, entry, event.text)


def link_credit(ledger: CompanyLedger, credit: Entry, invoice: Entry, part: Decimal, on: str) -> Entry | None:
    """Apply a credit memo to an invoice as QuickBooks does: by a payment of 0 with two lines."""
    part = min(part, credit.body["Balance"], invoice.body["Balance"])
    if part <= ZERO:
        return None
    lines = [application_line("Invoice", invoice.number, part), application_line("CreditMemo", credit.number, part)]
    data = {"TotalAmt": 0, "TxnDate": on, "Line": lines, "PrivateNote": CREDIT_LINK_NOTE}
    return writes.create(ledger, "Payment", data | {"CustomerRef": invoice.body["CustomerRef"]})


def write_note(ledger: CompanyLedger, invoice: Entry, text: str) -> Entry:
    """Attach a note to an invoice."""
    reference = {"type": "Invoice", "value": str(invoice.number)}
    return writes.create(ledger, "Attachable", {"AttachableRef": [{"EntityRef": reference}], "Note": text})


def _create_account(ledger: CompanyLedger, name: str, kind: str, subtype: str) -> Entry:
    return writes.create(ledger, "Account", {"Name": name, "AccountType": kind, "AccountSubType": subtype})
