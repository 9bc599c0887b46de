"""Adds the invoices of a benchmark to a Xero organisation."""

from __future__ import annotations

from datetime import timedelta

from sandbox.bulk import CUSTOMERS, BulkInvoice, bulk_invoices
from sandbox.core import stable_uuid
from sandbox.events import Line
from sandbox.xero.documents import ZERO, Contact, Invoice, LineItem, Payment
from sandbox.xero.history import line_items
from sandbox.xero.organisation import Organisation
from sandbox.xero.serialisation import invoice_json


def add_bulk_invoices(organisation: Organisation, count: int, seed: int) -> None:
    """Add ``count`` sales invoices and their customers, each changed a second after the one before, up to now."""
    now = organisation.now()
    first = len(organisation.invoices)
    spelled: dict[int, tuple[LineItem, ...]] = {}
    contacts = [_contact(organisation, f"{first}-{n}") for n in range(CUSTOMERS)]
    try:
        for bulk in bulk_invoices(count, organisation.today(), seed):
            organisation.set_time(now - timedelta(seconds=count - bulk.n))
            _add(organisation, bulk, contacts[bulk.customer], _line_items(spelled, bulk.lines), first + bulk.n)
    finally:
        organisation.set_time(None)


def _contact(organisation: Organisation, name: str) -> Contact:
    contact_id = stable_uuid(organisation.tenant_id, "bulk-contact", name)
    email = f"customer-{name}@bulk.example"
    return organisation.add_contact(
        Contact(contact_id, organisation.now(), f"Customer {name}", email, country="GB", currency="GBP")
    )


def _line_items(known: dict[int, tuple[LineItem, ...]], lines: tuple[Line, ...]) -> tuple[LineItem, ...]:
    if id(lines) not in known:
        known[id(lines)] = line_items(lines)
    return known[id(lines)]


def _add(
    organisation: Organisation, bulk: BulkInvoice, contact: Contact, lines: tuple[LineItem, ...], number: int
) -> None:
    invoice_id = stable_uuid(organisation.tenant_id, "bulk", number)
    invoice = Invoice(
        invoice_id,
        organisation.now(),
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
        payment_id = stable_uuid(organisation.tenant_id, "bulk-payment", number)
        payment = Payment(payment_id, organisation.now(), invoice, bulk.total, bulk.paid_on)
        invoice.payments.append(payment)
        invoice.status, invoice.fully_paid_on = "PAID", bulk.paid_on
        organisation.payments.put(payment, organisation.now())
    organisation.add_invoice(invoice)
    invoice_json(invoice)  # serialised now, so that a benchmark of the client does not measure the server
