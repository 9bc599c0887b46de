"""Notes whose records a page changes, before and after it is stored."""

from __future__ import annotations

from sqlalchemy import literal, select, union_all
from sqlmodel import Session

from connector.runtime.mirror_changes import MirrorChanges
from connector.sync.mirror.customer_batch import TABLES
from connector.sync.mirror.pages import PageCounts
from providers.ledger import ChangePage, CreditRecord, InvoiceRecord, PaymentRecord

_RECORDS_MAX = 200  # of a page: with more, everybody is decided about
_NOTED_MAX = 2000  # of all pages: a database takes no more than some thousand values in one query


def note_page(session: Session, connection_id: int, page: ChangePage, changes: MirrorChanges) -> None:
    """Note whose records a page is about, before it is stored: also whose they were until now."""
    if changes.is_unclear:
        return
    documents: list[InvoiceRecord | PaymentRecord | CreditRecord] = [*page.invoices, *page.payments, *page.credits]
    if len(documents) + len(page.customers) + len(page.applications) > _RECORDS_MAX:
        changes.is_unclear = True
        return
    changes.customer_ids.update(each.external_id for each in page.customers)
    changes.customer_ids.update(each.customer_id for each in documents)
    changes.invoice_ids.update(each.external_id for each in page.invoices)
    changes.invoice_ids.update(page.replaced_invoice_ids)
    changes.invoice_ids.update(each[2] for each in page.applications)
    changes.is_unclear = len(changes.customer_ids) + len(changes.invoice_ids) > _NOTED_MAX
    if not (documents or page.replaced_sources):
        return
    invoice, application = TABLES["invoice"], TABLES["application"]
    sources = [external_id for _kind, external_id in page.replaced_sources]
    queries = [
        select(application.c.invoice_id.label("invoice_id"), invoice.c.customer_id)
        .join_from(
            application,
            invoice,
            (invoice.c.connection_id == application.c.connection_id)
            & (invoice.c.external_id == application.c.invoice_id),
        )
        .where(application.c.connection_id == connection_id, application.c.source_id.in_(sources))
    ]
    for name, records in (("invoice", page.invoices), ("payment", page.payments), ("credit", page.credits)):
        row = TABLES[name].c
        is_known = (row.connection_id == connection_id) & row.external_id.in_([each.external_id for each in records])
        if records:
            queries.append(select(literal(None).label("invoice_id"), row.customer_id).where(is_known))
    rows = session.connection().execute(union_all(*queries)).all()
    changes.invoice_ids.update(row.invoice_id for row in rows if row.invoice_id is not None)
    changes.customer_ids.update(row.customer_id for row in rows)


def note_version(page: ChangePage, counts: PageCounts, changes: MirrorChanges) -> None:
    """Note that a page has raised the version of the mirror."""
    changes.versions += 1
    changes.is_unclear |= bool(
        counts.deleted
        or counts.malformed
        or page.full_resync
        or not {each.external_id for each in page.payments}.issuperset((*page.write_offs, *page.no_write_offs))
        or any(each.merged_into or not each.active for each in page.customers)
    )
