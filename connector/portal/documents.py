"""Documents the portal gets from the ledger: an invoice as PDF, or the link at which to pay it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import BoundedSemaphore
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import col

from connector.app_context import AppContext
from connector.connections.pacing import VISITOR_PATIENCE
from connector.connections.registry import open_ledger
from connector.db.engine import reading, writing
from connector.db.tables import Connection, InvoiceRow
from connector.emails.outbound.ledger_documents import LedgerDocuments
from connector.emails.portal_links import PortalVisitor
from connector.runtime.budget import CallBudget
from connector.sync.mirror.families import load_families
from connector.sync.mirror.pages import load_statements
from policies.receivables import Invoice
from providers.errors import ProviderError
from providers.mailer import Attachment

DOCUMENTS_PER_DAY = 100  # calls to one company's ledger that its customers may cause
PDFS_AT_ONCE = 200  # in one download
PDFS_AT_ONCE_BYTES_MAX = 200 * 2**20
CALLS_AT_ONCE = 3  # to one company's ledger: Xero takes five, of which a sync needs one and a page of settings another
_turns: defaultdict[int, BoundedSemaphore] = defaultdict(lambda: BoundedSemaphore(CALLS_AT_ONCE))  # by connection


class InvoiceFile(NamedTuple):
    """The PDF of an invoice; None where it cannot be had now, or there is none."""

    number: str
    pdf: Attachment | None


class LedgerUnavailable(Exception):
    """The ledger cannot be reached now, or its call budget is spent."""


def get_invoice_pdf(app: AppContext, visitor: PortalVisitor, invoice_id: str) -> Attachment | None:
    """Return the PDF of the customer's open invoice; None where there is none. Raises ``LedgerUnavailable``."""
    invoice = _find_open_invoice(app, visitor, invoice_id)
    if invoice is None:
        return None
    with _ledger_documents(app, visitor) as documents:
        return next(iter(documents.invoice_pdfs([invoice])), None)


def get_payment_link(app: AppContext, visitor: PortalVisitor, invoice_id: str) -> str | None:
    """Return where the customer's open invoice can be paid online, or "".

    None where it is not an open invoice of this customer. Raises ``LedgerUnavailable``.
    """
    if _find_open_invoice(app, visitor, invoice_id) is None:
        return None
    with _ledger_documents(app, visitor) as documents:
        return documents.pay_link(invoice_id)


def iterate_invoice_pdfs(
    app: AppContext, visitor: PortalVisitor, *, may_call: Callable[[], bool]
) -> Iterator[InvoiceFile]:
    """Yield each open invoice of the customer with its PDF, one at a time, the one due longest first.

    One that is kept costs no call; the others have none once the ledger does not answer, ``may_call`` allows no further
    call, or the download is full.
    """
    with reading(app.engine) as session:
        connection = session.get_one(Connection, visitor.connection_id)
        billed = load_families(session, visitor.connection_id).billed_to(visitor.customer_id)
        mine = select(col(InvoiceRow.external_id)).where(
            col(InvoiceRow.connection_id) == visitor.connection_id,
            col(InvoiceRow.customer_id).in_(billed),
            col(InvoiceRow.is_open),
        )
        own = set(session.scalars(mine))
        loaded = load_statements(session, connection, now=app.now(), customer_ids=[visitor.customer_id])
        listed = [each for statements in loaded for statement in statements for each in statement.invoices]
    size, is_answering = 0, True
    for count, invoice in enumerate(each for each in listed if each.id in own):
        pdf = None
        if is_answering and count < PDFS_AT_ONCE and size < PDFS_AT_ONCE_BYTES_MAX:
            try:
                pdf = _fetch_pdf(app, visitor, invoice, may_call)
            except LedgerUnavailable:
                is_answering = False
        size += len(pdf.content) if pdf is not None else 0
        yield InvoiceFile(invoice.number, pdf)


def _fetch_pdf(
    app: AppContext, visitor: PortalVisitor, invoice: Invoice, may_call: Callable[[], bool]
) -> Attachment | None:
    with _ledger_documents(app, visitor) as ledger:
        is_call = bool(ledger.list_unknown([], [invoice.id])[1])
        return None if is_call and not may_call() else next(iter(ledger.invoice_pdfs([invoice])), None)


def _find_open_invoice(app: AppContext, visitor: PortalVisitor, invoice_id: str) -> Invoice | None:
    with reading(app.engine) as session:
        billed = load_families(session, visitor.connection_id).billed_to(visitor.customer_id)
        query = select(InvoiceRow).where(
            col(InvoiceRow.connection_id) == visitor.connection_id,
            col(InvoiceRow.external_id) == invoice_id,
            col(InvoiceRow.customer_id).in_(billed),
            col(InvoiceRow.is_open),
        )
        if session.scalars(query).first() is None:
            return None
        connection = session.get_one(Connection, visitor.connection_id)
        loaded = load_statements(session, connection, now=app.now(), customer_ids=[visitor.customer_id])
        invoices = (each for statements in loaded for statement in statements for each in statement.invoices)
        return next((each for each in invoices if each.id == invoice_id), None)


@contextmanager
def _ledger_documents(app: AppContext, visitor: PortalVisitor) -> Iterator[LedgerDocuments]:
    """Open the ledger within the company's call budget, and store what is used of it."""
    with reading(app.engine) as session:
        budget = CallBudget(session, visitor.connection_id, app.now)
    try:
        with _turn(visitor.connection_id):
            ledger = open_ledger(app, visitor.connection_id, budget)
            yield LedgerDocuments(app, visitor.connection_id, ledger, partial(writing, app.engine))
    except ProviderError as error:
        raise LedgerUnavailable(str(error)) from error
    finally:
        with writing(app.engine) as session:
            budget.save(session)


@contextmanager
def _turn(connection_id: int) -> Iterator[None]:
    """Wait for one of a company's ``CALLS_AT_ONCE``. Raises ``LedgerUnavailable`` where that takes too long."""
    turns = _turns[connection_id]
    if not turns.acquire(timeout=VISITOR_PATIENCE.total_seconds()):
        message = "too many of this company's customers are downloading documents at once"
        raise LedgerUnavailable(message)
    try:
        yield
    finally:
        turns.release()
