"""Keeps the personal data of erased customers out of the mirror, whatever the ledger goes on telling of them.

Amounts, numbers and days of their invoices still come in: the books need them. Names, addresses and texts do not.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from connector.audit import sync_log
from connector.db.tables import ErasedCustomer
from connector.vocabulary import LogKind
from policies.formatting import format_date
from providers.ledger import ChangePage, CustomerRecord, InvoiceRecord, MalformedRecord

_FEE_NUMBER_PREFIX = "LF-"  # of a fee's invoice the reference is our own: the number of the original
_UNDO_HINT = "To take him back: on his page, or duewell customers erase {} --undo"


def erased_name(customer_id: str) -> str:
    """Name an erased customer by his key alone."""
    return f"Erased customer {customer_id[-6:]}"


def redact_page(session: Session, connection_id: int, page: ChangePage, *, at: datetime) -> None:
    """Take the personal data of erased customers out of a page before it is stored; what is new is told in the log."""
    query = select(ErasedCustomer).where(col(ErasedCustomer.connection_id) == connection_id)
    gone = {row.customer_id: row for row in session.scalars(query)}
    if not gone:
        return
    for record in page.customers:
        if record.external_id in gone:
            _log_seen_again(session, gone[record.external_id], record, at)
    page.customers = [_redact_customer(each) if each.external_id in gone else each for each in page.customers]
    page.invoices = [_redact_invoice(each) if each.customer_id in gone else each for each in page.invoices]
    unreadable = "it could not be read, and is not kept: it may be an erased customer's"
    page.malformed = [
        each._replace(raw=b"", reason=unreadable) if _may_concern_erased(each, gone) else each
        for each in page.malformed
    ]


def _log_seen_again(session: Session, row: ErasedCustomer, record: CustomerRecord, at: datetime) -> None:
    if record.updated_at <= (row.ledger_updated_at or row.erased_at):
        return
    row.ledger_updated_at = record.updated_at
    text = (
        f"The ledger tells of an erased customer again, changed there on {format_date(record.updated_at.date())}: his data were"
        f" left out, and he is not chased. {_UNDO_HINT.format(row.customer_id)}"
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
    return record._replace(name=name, contact_name="", emails="", region="", language="", groups="")


def _redact_invoice(record: InvoiceRecord) -> InvoiceRecord:
    kept = record.reference if record.number.startswith(_FEE_NUMBER_PREFIX) else ""
    return record._replace(lines="[]", reference=kept)


def _may_concern_erased(record: MalformedRecord, gone: dict[str, ErasedCustomer]) -> bool:
    """Tell whether an unreadable record names an erased customer's key; rather one too many than one too few."""
    return record.external_id in gone or any(f'"{each}"'.encode() in record.raw for each in gone)
