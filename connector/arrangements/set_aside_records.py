"""Tasks about invoices whose newest version cannot be read: reminders are paused until it can."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements.review_tasks import create_review_task
from connector.db.invoice_names import title_of
from connector.db.tables import CustomerRow, InvoiceRow, MalformedRow
from connector.plain_text import one_line
from connector.vocabulary import TaskCode
from providers.ledger import RecordKind

READABLE_AGAIN = "it can be read again"


def unreadable_invoice_ids(session: Session, connection_id: int) -> set[str]:
    """Return the invoices whose newest version could not be read."""
    return set(
        session.scalars(
            select(col(MalformedRow.external_id)).where(
                col(MalformedRow.connection_id) == connection_id, col(MalformedRow.kind) == RecordKind.INVOICE
            )
        )
    )


def create_tasks(app: AppContext, session: Session, connection_id: int) -> None:
    """Create a task, once, for each invoice whose newest version cannot be read: nobody has seen what it says by now.

    One that was cancelled, as the invoice could be read again, is open again.
    """
    rows = session.execute(
        select(MalformedRow, InvoiceRow, CustomerRow)
        .join(
            InvoiceRow,
            (col(InvoiceRow.connection_id) == MalformedRow.connection_id)
            & (col(InvoiceRow.external_id) == MalformedRow.external_id),
        )
        .join(
            CustomerRow,
            (col(CustomerRow.connection_id) == InvoiceRow.connection_id)
            & (col(CustomerRow.external_id) == InvoiceRow.customer_id),
        )
        .where(
            col(MalformedRow.connection_id) == connection_id,
            col(MalformedRow.kind) == RecordKind.INVOICE,
        )
    )
    for record, invoice, customer in rows.all():
        text = f"{one_line(customer.name)}, {title_of(session, invoice)}: its reminders are paused. {record.reason}"
        create_review_task(
            app,
            session,
            customer,
            code=TaskCode.UNREADABLE_DATA,
            recurrence_key=f"invoice:{invoice.external_id}",
            reason=text,
            invoice_ids=[invoice.external_id],
            reopen_from=READABLE_AGAIN,
        )
