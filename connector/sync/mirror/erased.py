"""Redaction of erased customers: their personal data stay out of the mirror, whatever the ledger still sends.

Amounts, numbers and dates of their invoices are stored, because balances need them; names, addresses and texts are not.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from connector.audit import sync_log
from connector.db.tables import ErasedCustomer
from connector.outbox.drafts import FEE_NUMBER_PREFIX
from connector.vocabulary import LogKind
from policies.formatting import format_date
from providers.ledger import ChangePage, CustomerRecord, InvoiceRecord, MalformedRecord

_UNDO_HINT = "To undo the erasure: on the customer's page, or duewell customers erase {} --undo"


def erased_name(customer_id: str) -> str:
    """Return the name that replaces an erased customer's."""
    return f"Erased customer {customer_id[-6:]}"


def redact_page(session: Session, connection_id: int, page: ChangePage, *, at: datetime) -> None:
    """Remove the personal data of erased customers from a page before it is stored, and log newer versions."""
    query = select(ErasedCustomer).where(col(ErasedCustomer.connection_id) == connection_id)
    erased = {row.customer_id: row for row in session.scalars(query)}
    if not erased:
        return
    for record in page.customers:
        if record.external_id in erased:
            _log_seen_again(session, erased[record.external_id], record, at)
    page.customers = [_redact_customer(each) if each.external_id in erased else each for each in page.customers]
    page.invoices = [_redact_invoice(each) if each.customer_id in erased else each for each in page.invoices]
    page.deposits = [each for each in page.deposits if each.customer_id not in erased]
    reason = "it could not be read, and was not stored: it may be about an erased customer"
    page.malformed = [
        each._replace(raw=b"", reason=reason) if _may_concern_erased(each, erased) else each for each in page.malformed
    ]


def _log_seen_again(session: Session, row: ErasedCustomer, record: CustomerRecord, at: datetime) -> None:
    if record.updated_at <= (row.ledger_updated_at or row.erased_at):
        return
    row.ledger_updated_at = record.updated_at
    text = (
        f"The ledger sent an erased customer again, changed on {format_date(record.updated_at.date())}. Their data were"
        f" not stored, and they get no reminders. {_UNDO_HINT.format(row.customer_id)}"
    )
    sync_log.write(
        session,
        at=at,
        kind=LogKind.ERASED_CUSTOMER_SEEN,
        text=text,
        connection_id=row.connection_id,
        customer_id=row.customer_id,
    )


def _redact_customer(record: CustomerRecord) -> CustomerRecord:
    name = erased_name(record.external_id)
    return record._replace(
        name=name, contact_name="", emails="", region="", language="", groups="", phones="", contacts=""
    )


def _redact_invoice(record: InvoiceRecord) -> InvoiceRecord:
    # The reference of a fee invoice is ours: the number of the original.
    reference = record.reference if record.number.startswith(FEE_NUMBER_PREFIX) else ""
    return record._replace(lines="[]", reference=reference, emails="", cc_emails="", bcc_emails="")


def _may_concern_erased(record: MalformedRecord, erased: dict[str, ErasedCustomer]) -> bool:
    """Return whether an unreadable record may contain an erased customer's data: rather one too many."""
    return record.external_id in erased or any(f'"{each}"'.encode() in record.raw for each in erased)
