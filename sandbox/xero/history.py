"""Applies the simulated history to a Xero organisation: each event becomes a bookkeeper's documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from sandbox import events
from sandbox.core import stable_uuid
from sandbox.customers import phone_number
from sandbox.simulation import ITEMS, CompanyHistory
from sandbox.xero.documents import ZERO, Contact, ContactPhone, Credit, Invoice, LineItem, Payment
from sandbox.xero.organisation import Organisation, ValidationFailed

_SALES_ACCOUNT = "200"


class HistoryReplay:
    """Applies the events of a history to one organisation as time passes."""

    def __init__(self, make_history: Callable[[], CompanyHistory], organisation: Organisation) -> None:
        """Apply nothing yet; the history is generated when it is first needed."""
        self._make_history = make_history
        self._organisation = organisation
        self._applied_until: datetime | None = None
        self._next_at: datetime | None = datetime.min.replace(tzinfo=UTC)
        self._contacts: dict[str, Contact] = {}
        self._invoices: dict[str, Invoice] = {}
        self._payments: dict[str, list[Payment]] = {}
        self._credits: dict[str, Credit] = {}

    def apply_due_events(self, now: datetime) -> None:
        """Apply all events that are due and not applied yet."""
        if self._next_at is None or now < self._next_at:
            return
        world = self._make_history()
        for event in world.between(self._applied_until, now):
            self._organisation.set_time(event.at)
            try:
                self._apply(event)
            finally:
                self._organisation.set_time(None)
        self._applied_until = now
        self._next_at = world.next_at(now)

    def _apply(self, event: events.Event) -> None:
        if isinstance(event, events.CustomerAdded | events.EmailChanged | events.CustomerArchived):
            self._apply_to_contact(event)
        elif isinstance(event, events.InvoiceIssued):
            self._invoices[event.key] = self._organisation.add_invoice(self._invoice(event))
        elif isinstance(event, events.PaymentReceived):
            self._add_payment(event)
        elif isinstance(event, events.CreditNoteIssued):
            self._credit(event)
        elif isinstance(event, events.BillReceived):
            self._bill(event)
        else:
            self._apply_correction(event)

    def _apply_to_contact(self, event: events.CustomerAdded | events.EmailChanged | events.CustomerArchived) -> None:
        if isinstance(event, events.CustomerAdded):
            self._contacts[event.customer.key] = self._organisation.add_contact(self._contact(event))
        elif isinstance(event, events.EmailChanged):
            self._organisation.rename(self._contacts[event.customer_key], email=event.email)
        else:
            self._organisation.rename(self._contacts[event.customer_key], status="ARCHIVED")

    def _apply_correction(self, event: events.Event) -> None:
        if isinstance(event, events.PaymentDeleted):
            for payment in self._payments.pop(event.payment_key, ()):
                if payment.status == "AUTHORISED":
                    self._organisation.delete_payment(payment)
        elif isinstance(event, events.CreditNoteApplied):
            self._allocate(self._credits[event.credit_key], event.invoice_key, event.amount, event.on)
        elif isinstance(event, events.InvoiceVoided):
            self._void(self._invoices[event.invoice_key])
        elif isinstance(event, events.NoteWritten):
            self._organisation.add_note(self._invoices[event.invoice_key], event.text)

    def _contact(self, event: events.CustomerAdded) -> Contact:
        customer = event.customer
        return Contact(
            stable_uuid(self._organisation.tenant_id, "contact", customer.key),
            event.at,
            customer.name,
            customer.email,
            customer.first_name,
            customer.last_name,
            customer.street,
            customer.city,
            customer.region,
            customer.postcode,
            customer.country,
            customer.currency,
            customer.terms_days,
            phones=(ContactPhone("DEFAULT", phone_number(customer)),),
        )

    def _invoice(self, event: events.InvoiceIssued) -> Invoice:
        lines = line_items(event.lines)
        return Invoice(
            stable_uuid(self._organisation.tenant_id, "invoice", event.key),
            event.at,
            "ACCREC",
            event.number,
            self._contacts[event.customer_key],
            event.currency,
            event.on,
            event.due_on,
            lines,
            event.total,
            sum((line.tax_amount for line in lines), ZERO),
            status="DRAFT" if event.draft else "AUTHORISED",
            reference=event.reference,
            sent=not event.draft,
        )

    def _add_payment(self, event: events.PaymentReceived) -> None:
        # A client may have voided or paid what is open in the history: then the payment stays unapplied.
        over = event.amount
        payments = []
        for n, (invoice_key, intended) in enumerate(event.applied):
            invoice = self._invoices[invoice_key]
            amount = min(intended, invoice.amount_due) if invoice.status == "AUTHORISED" else ZERO
            if amount > ZERO:
                payment_id = stable_uuid(self._organisation.tenant_id, "payment", event.key, n)
                payments.append(self._organisation.pay(invoice, amount, event.on, payment_id=payment_id))
                over -= amount
        self._payments[event.key] = payments
        if over > ZERO:
            kind = "Prepayment" if event.on_account else "Overpayment"
            line = LineItem("Money on account", Decimal(1), over, "", "610", "NONE", ZERO, over)
            contact = self._contacts[event.customer_key]
            credit_id = stable_uuid(self._organisation.tenant_id, kind, event.key)
            self._organisation.add_credit(kind, contact, event.currency, event.on, [line], credit_id=credit_id)

    def _credit(self, event: events.CreditNoteIssued) -> None:
        credit = self._organisation.add_credit(
            "CreditNote",
            self._contacts[event.customer_key],
            event.currency,
            event.on,
            line_items(event.lines),
            credit_id=stable_uuid(self._organisation.tenant_id, "credit", event.key),
            number=event.number,
        )
        self._credits[event.key] = credit
        for invoice_key, amount in event.applied:
            self._allocate(credit, invoice_key, amount, event.on)

    def _allocate(self, credit: Credit, invoice_key: str, amount: Decimal, on: date) -> None:
        invoice = self._invoices[invoice_key]
        if invoice.status == "AUTHORISED" and credit.contact is invoice.contact:
            self._organisation.allocate(credit, invoice, min(amount, invoice.amount_due, credit.remaining), on)

    def _void(self, invoice: Invoice) -> None:
        try:
            self._organisation.void(invoice)
        except ValidationFailed:
            return  # a test has paid it first: then the bookkeeper leaves it

    def _bill(self, event: events.BillReceived) -> None:
        organisation = self._organisation
        contact_id = stable_uuid(organisation.tenant_id, "supplier", event.supplier)
        contact = organisation.contacts.get(contact_id) or organisation.add_contact(
            Contact(contact_id, event.at, event.supplier, country=organisation.country, customer=False)
        )
        line = LineItem("Supplies", Decimal(1), event.total, "", "429", "NONE", ZERO, event.total)
        bill_id = stable_uuid(organisation.tenant_id, "bill", event.key)
        organisation.add_invoice(
            Invoice(
                bill_id,
                event.at,
                "ACCPAY",
                event.number,
                contact,
                event.currency,
                event.on,
                event.due_on,
                [line],
                event.total,
            )
        )


def line_items(lines: Sequence[events.Line]) -> tuple[LineItem, ...]:
    """Return the history's lines as Xero's line items."""
    codes = {item[0] for item in ITEMS}
    return tuple(
        LineItem(
            line.description,
            line.quantity,
            line.unit_price,
            line.item if line.item in codes else "",
            _SALES_ACCOUNT,
            "OUTPUT2" if line.tax_percent else "ZERORATEDOUTPUT",
            line.tax,
            line.net,
        )
        for line in lines
    )
