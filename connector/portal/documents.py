"""Asks the ledger for what a customer wants at his page: an invoice as PDF, or the address at which to pay it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.connections.registry import open_ledger
from connector.db.engine import reading, writing
from connector.db.tables import Connection, InvoiceRow
from connector.emails.outbound.ledger_documents import get_invoice_pdfs, get_pay_link
from connector.emails.portal_links import PortalVisitor
from connector.runtime.budget import CallBudget
from connector.sync.mirror.pages import load_statements
from policies.receivables import Invoice
from providers.errors import ProviderError
from providers.ledger import Ledger
from providers.mailer import Attachment

DOCUMENTS_PER_DAY = 100  # calls to one company's ledger that its customers may cause


class LedgerUnavailable(Exception):
    """The ledger cannot be asked at the moment; later perhaps."""


@dataclass(slots=True)
class _PortalLedgerAccess:
    """Stands where a run stands when a mail is written, for one question of one customer."""

    app: AppContext
    connection_id: int
    ledger: Ledger

    def reading(self) -> AbstractContextManager[Session]:
        return reading(self.app.engine)

    def writing(self) -> AbstractContextManager[Session]:
        return writing(self.app.engine)

    def now(self) -> datetime:
        return self.app.now()

    def on_progress(self, text: str, /) -> None:
        """Say nothing: what the ledger does not have is no news."""


def get_invoice_pdf(app: AppContext, visitor: PortalVisitor, invoice_id: str) -> Attachment | None:
    """Fetch the PDF of an open invoice of this customer; None where it is not his, or the ledger has none."""
    invoice = _find_open_invoice(app, visitor, invoice_id)
    if invoice is None:
        return None
    with _ledger_access(app, visitor) as desk:
        return next(iter(get_invoice_pdfs(desk, [invoice])), None)


def get_payment_link(app: AppContext, visitor: PortalVisitor, invoice_id: str) -> str | None:
    """Ask where an open invoice of this customer can be paid; "" where nowhere, None where it is not his."""
    if _find_open_invoice(app, visitor, invoice_id) is None:
        return None
    with _ledger_access(app, visitor) as desk:
        return get_pay_link(desk, invoice_id)


def _find_open_invoice(app: AppContext, visitor: PortalVisitor, invoice_id: str) -> Invoice | None:
    with reading(app.engine) as session:
        mine = select(InvoiceRow).where(
            col(InvoiceRow.connection_id) == visitor.connection_id,
            col(InvoiceRow.external_id) == invoice_id,
            col(InvoiceRow.customer_id) == visitor.customer_id,
            col(InvoiceRow.is_open),
        )
        if session.scalars(mine).first() is None:
            return None
        connection = session.get_one(Connection, visitor.connection_id)
        facts = load_statements(session, connection, now=app.now(), customer_ids=[visitor.customer_id])
        listed = (each for statements in facts for statement in statements for each in statement.invoices)
        return next((each for each in listed if each.id == invoice_id), None)


@contextmanager
def _ledger_access(app: AppContext, visitor: PortalVisitor) -> Iterator[_PortalLedgerAccess]:
    """Open the ledger under the company's call budget; what it says is left of the day is remembered."""
    with reading(app.engine) as session:
        calls = CallBudget(session, visitor.connection_id, app.now)
    try:
        yield _PortalLedgerAccess(app, visitor.connection_id, open_ledger(app, visitor.connection_id, calls))
    except ProviderError as problem:
        raise LedgerUnavailable(str(problem)) from problem
    finally:
        with writing(app.engine) as session:
            calls.save(session)
