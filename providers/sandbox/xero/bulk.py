"""Puts a benchmark's many invoices into a Xero organisation."""

from __future__ import annotations

from datetime import timedelta

from providers.sandbox.bulk import CUSTOMERS, BulkInvoice, bulk_invoices
from providers.sandbox.core import guid
from providers.sandbox.events import Line
from providers.sandbox.xero.documents import ZERO, Contact, Invoice, LineItem, Payment
from providers.sandbox.xero.history import line_items
from providers.sandbox.xero.organisation import Organisation
from providers.sandbox.xero.shapes import invoice_json


def fill(book: Organisation, count: int, seed: int) -> None:
    """Add ``count`` sales invoices and their customers; each changed a second after the one before, up to now."""
    now = book.now()
    first = len(book.invoices)
    spelled: dict[int, tuple[LineItem, ...]] = {}
    contacts = [_contact(book, f"{first}-{n}") for n in range(CUSTOMERS)]
    try:
        for bulk in bulk_invoices(count, book.today(), seed):
            book.at(now - timedelta(seconds=count - bulk.n))
            _add(book, bulk, contacts[bulk.customer], _spelled(spelled, bulk.lines), first + bulk.n)
    finally:
        book.at(None)


def _contact(book: Organisation, name: str) -> Contact:
    contact_id = guid(book.tenant_id, "bulk-contact", name)
    email = f"customer-{name}@bulk.example"
    return book.add_contact(Contact(contact_id, book.now(), f"Customer {name}", email, country="GB", currency="GBP"))


def _spelled(known: dict[int, tuple[LineItem, ...]], lines: tuple[Line, ...]) -> tuple[LineItem, ...]:
    if id(lines) not in known:
        known[id(lines)] = line_items(lines)
    return known[id(lines)]


def _add(book: Organisation, bulk: BulkInvoice, contact: Contact, lines: tuple[LineItem, ...], number: int) -> None:
    invoice_id = guid(book.tenant_id, "bulk", number)
    invoice = Invoice(
        invoice_id,
        book.now(),
        "ACCREC",
        f"BULK-{number:06}",
        contact,
        "GBP",
        bulk.on,
        bulk.due_on,
        lines,
        bulk.total,
        ZERO,
    )
    if bulk.paid_on is not None:
        payment_id = guid(book.tenant_id, "bulk-payment", number)
        payment = Payment(payment_id, book.now(), invoice, bulk.total, bulk.paid_on)
        invoice.payments.append(payment)
        invoice.status, invoice.fully_paid_on = "PAID", bulk.paid_on
        book.payments.put(payment, book.now())
    book.add_invoice(invoice)
    invoice_json(invoice)  # spelled now and kept, so that a benchmark of the client does not time the server
