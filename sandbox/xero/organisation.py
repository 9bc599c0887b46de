"""A simulated Xero organisation: its documents and every change to them, by Xero's rules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sandbox.clock import SandboxClock
from sandbox.core import stable_uuid
from sandbox.xero.document_store import DocumentStore
from sandbox.xero.documents import ZERO, Allocation, Contact, Credit, Document, Invoice, LineItem, Payment


class ValidationFailed(ValueError):
    """Xero replies with a validation error; ``str()`` is Xero's own message where it is known."""


class Organisation:
    """The ledger of one organisation. Every change is timestamped, and all totals are consistent after it."""

    def __init__(
        self, tenant_id: str, name: str, clock: SandboxClock, *, country: str = "GB", currency: str = "GBP"
    ) -> None:
        """Create an organisation without documents."""
        self.tenant_id = tenant_id
        self.name = name
        self.country = country
        self.currency = currency
        self.region = ""
        self.time_zone = ZoneInfo("Europe/London")
        self.sends_reminders = False
        self.period_lock_on: date | None = None
        self.year_lock_on: date | None = None
        self.approval_limit: int | None = None
        self.contacts: DocumentStore[Contact] = DocumentStore()
        self.invoices: DocumentStore[Invoice] = DocumentStore()
        self.payments: DocumentStore[Payment] = DocumentStore()
        self.credits: dict[str, DocumentStore[Credit]] = {
            kind: DocumentStore() for kind in ("CreditNote", "Overpayment", "Prepayment")
        }
        self._numbers: dict[str, Invoice] = {}
        self._clock = clock
        self._fixed_time: datetime | None = None
        self._ids_created = 0
        self.index_lag = timedelta()  # how long a new note is not listed yet

    # Time and ids

    def set_time(self, instant: datetime | None) -> None:
        """Date all following changes to ``instant`` (the simulated past), or to the clock's time for None."""
        self._fixed_time = instant

    def now(self) -> datetime:
        """Return the time of a change that is made now."""
        return self._fixed_time or self._clock.now()

    def today(self) -> date:
        """Return the date in the organisation's time zone."""
        return self.now().astimezone(self.time_zone).date()

    def new_id(self, kind: str) -> str:
        """Return the next id: the same in every run of the same history."""
        self._ids_created += 1
        return stable_uuid(self.tenant_id, kind, self._ids_created)

    # Contacts

    def add_contact(self, contact: Contact) -> Contact:
        """Enter a contact."""
        return self.contacts.put(contact, self.now())

    def record_contact_change(self, contact: Contact) -> None:
        """Record that a contact changed; its invoices show the new name but are not "updated"."""
        self.contacts.put(contact, self.now())
        for invoice in self.invoices:
            if invoice.contact is contact:
                invoice.json = None

    def merge(self, source: Contact, target: Contact) -> None:
        """Merge ``source`` into ``target``, which gets its documents, and archive it."""
        source.status, source.merged_into = "ARCHIVED", target.id
        self.record_contact_change(source)
        for invoice in tuple(self.invoices):
            if invoice.contact is source:
                invoice.contact = target
                self.invoices.put(invoice, self.now())
        for shelf in self.credits.values():
            for credit in tuple(shelf):
                if credit.contact is source:
                    credit.contact = target
                    shelf.put(credit, self.now())

    # Invoices

    def add_invoice(self, invoice: Invoice) -> Invoice:
        """Enter an invoice. Raises ``ValidationFailed`` for a number that exists."""
        if invoice.type == "ACCREC" and invoice.number and self.find_number(invoice.number) is not None:
            raise ValidationFailed("Invoice # must be unique.")
        if invoice.type == "ACCREC" and invoice.number:
            self._numbers[invoice.number] = invoice
        return self.invoices.put(invoice, self.now())

    def next_number(self) -> str:
        """Return the next number for an invoice without one."""
        self._ids_created += 1
        return f"AUTO-{self._ids_created:05}"

    def approved_this_month(self) -> int:
        """Count this month's approved sales invoices: small subscriptions limit them."""
        month = self.today().replace(day=1)
        return sum(i.type == "ACCREC" and i.status in {"AUTHORISED", "PAID"} and i.on >= month for i in self.invoices)

    def discard(self, invoice: Invoice) -> None:
        """Remove an invoice of a request that is rejected as a whole."""
        self.invoices.remove(invoice)
        self._numbers.pop(invoice.number, None)

    def find_number(self, number: str) -> Invoice | None:
        """Return the sales invoice with this number; a deleted draft frees its number."""
        invoice = self._numbers.get(number)
        return None if invoice is None or invoice.status == "DELETED" else invoice

    def record_change(self, invoice: Invoice) -> None:
        """Record that an invoice changed, and update its status."""
        if invoice.status in {"AUTHORISED", "PAID"}:
            paid = invoice.amount_due <= ZERO
            invoice.status = "PAID" if paid else "AUTHORISED"
            invoice.fully_paid_on = self._fully_paid_on(invoice) if paid else None
        self.invoices.put(invoice, self.now())

    def _fully_paid_on(self, invoice: Invoice) -> date:
        days = [p.on for p in invoice.payments] + [a.on for a in invoice.allocations]
        return max(days, default=invoice.on)

    def void(self, invoice: Invoice) -> None:
        """Void an approved, unpaid invoice or delete a draft. Raises ``ValidationFailed`` otherwise."""
        if invoice.status in {"DRAFT", "SUBMITTED"}:
            invoice.status = "DELETED"
        elif invoice.status != "AUTHORISED" or invoice.payments or invoice.allocations:
            raise ValidationFailed("Invoice not of valid status for modification")
        else:
            invoice.status = "VOIDED"
        self.invoices.put(invoice, self.now())

    # Payments and credits

    def pay(
        self,
        invoice: Invoice,
        amount: Decimal,
        on: date,
        *,
        payment_id: str = "",
        reference: str = "",
        account: str = "090",
        rate: Decimal = Decimal(1),
    ) -> Payment:
        """Enter a payment of an invoice to an account. Raises ``ValidationFailed`` if it exceeds the amount due."""
        self._check_amount_due(invoice, amount, "Payment")
        payment = Payment(
            payment_id or self.new_id("payment"),
            self.now(),
            invoice,
            amount,
            on,
            reference=reference,
            account=account,
            rate=rate,
        )
        self.payments.put(payment, self.now())
        invoice.payments.append(payment)
        self.record_change(invoice)
        return payment

    def delete_payment(self, payment: Payment) -> None:
        """Delete a payment: its amount is due again."""
        if payment.status == "DELETED":
            raise ValidationFailed("Payment not of valid status for modification")
        payment.status = "DELETED"
        self.payments.put(payment, self.now())
        payment.invoice.payments.remove(payment)
        self.record_change(payment.invoice)

    def add_credit(
        self,
        kind: str,
        contact: Contact,
        currency: str,
        on: date,
        lines: Sequence[LineItem],
        *,
        credit_id: str = "",
        number: str = "",
    ) -> Credit:
        """Enter a credit note, overpayment or prepayment."""
        tax = sum((line.tax_amount for line in lines), ZERO)
        total = sum((line.line_amount for line in lines), ZERO) + tax
        credit = Credit(
            credit_id or self.new_id(kind), self.now(), kind, number, contact, currency, on, lines, total, total_tax=tax
        )
        return self.credits[kind].put(credit, self.now())

    def allocate(self, credit: Credit, invoice: Invoice, amount: Decimal, on: date) -> Allocation:
        """Allocate a part of a credit to an invoice. Raises ``ValidationFailed`` if either is too small."""
        self._check_amount_due(invoice, amount, "Allocation")
        if amount > credit.remaining or credit.status != "AUTHORISED":
            raise ValidationFailed(f"The amount to be allocated exceeds the remaining credit of {credit.remaining}")
        if credit.contact is not invoice.contact or credit.currency != invoice.currency:
            raise ValidationFailed("The contact and currency of the credit and the invoice must be the same")
        allocation = Allocation(self.new_id("allocation"), credit, invoice, amount, on)
        credit.allocations.append(allocation)
        invoice.allocations.append(allocation)
        self._record_credit_change(credit)
        self.record_change(invoice)
        return allocation

    def unallocate(self, allocation: Allocation) -> None:
        """Remove an allocation: its amount is available as credit and due again."""
        allocation.credit.allocations.remove(allocation)
        allocation.invoice.allocations.remove(allocation)
        self._record_credit_change(allocation.credit)
        self.record_change(allocation.invoice)

    def void_credit(self, credit: Credit) -> None:
        """Void an unallocated credit."""
        if credit.allocations:
            raise ValidationFailed("Credit note not of valid status for modification")
        credit.status = "VOIDED"
        self.credits[credit.kind].put(credit, self.now())

    def _record_credit_change(self, credit: Credit) -> None:
        credit.status = "AUTHORISED" if credit.remaining else "PAID"
        self.credits[credit.kind].put(credit, self.now())

    def _check_amount_due(self, invoice: Invoice, amount: Decimal, description: str) -> None:
        if invoice.status != "AUTHORISED":
            raise ValidationFailed(f"{description}s can only be made against Authorised documents")
        if amount <= ZERO:
            raise ValidationFailed(f"{description} amount must be greater than zero")
        if amount > invoice.amount_due:
            raise ValidationFailed(f"{description} amount exceeds the amount outstanding on this document")

    # Notes and dates

    def add_note(self, document: Document, text: str) -> None:
        """Add a note; the document does not count as updated."""
        document.notes.append((self.now(), text))

    def lock_problem(self, on: date) -> str:
        """Return Xero's message if a document may not be dated ``on``, else ""."""
        if self.year_lock_on is not None and on <= self.year_lock_on:
            return f"The document date cannot be before the end of year lock date, currently set at {self.year_lock_on}"
        if self.period_lock_on is not None and on <= self.period_lock_on:
            return f"The document date cannot be before the period lock date, currently set at {self.period_lock_on}"
        return ""

    def rename(self, contact: Contact, **fields: str) -> None:
        """Change fields of a contact."""
        for name, value in fields.items():
            setattr(contact, name, value)
        self.record_contact_change(contact)
