"""Asks the ledger for what a customer wants at his page: an invoice as PDF, or the address at which to pay it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from connector.access.connections import open_ledger
from connector.budget import CallBudget
from connector.database import reading, writing
from connector.installation import Installation
from connector.letters.mail_papers import invoice_pdfs, pay_link
from connector.mirror.pages import customers_facts
from connector.portal.links import Opened
from connector.tables import Connection, InvoiceRow
from policies.receivables import Invoice
from providers.errors import ProviderError
from providers.ledger import Ledger
from providers.mailer import Attachment

PAPERS_A_DAY = 100  # calls to one company's ledger that its customers may cause


class NotNow(Exception):
    """The ledger cannot be asked at the moment; later perhaps."""


@dataclass(slots=True)
class _Desk:
    """Stands where a run stands when a mail is written, for one question of one customer."""

    installation: Installation
    connection_id: int
    ledger: Ledger

    def reading(self) -> AbstractContextManager[Session]:
        return reading(self.installation.engine)

    def writing(self) -> AbstractContextManager[Session]:
        return writing(self.installation.engine)

    def now(self) -> datetime:
        return self.installation.now()

    def tell(self, text: str, /) -> None:
        """Say nothing: what the ledger does not have is no news."""


def invoice_paper(installation: Installation, who: Opened, invoice_id: str) -> Attachment | None:
    """Fetch the PDF of an open invoice of this customer; None where it is not his, or the ledger has none."""
    invoice = _his(installation, who, invoice_id)
    if invoice is None:
        return None
    with _desk(installation, who) as desk:
        return next(iter(invoice_pdfs(desk, [invoice])), None)


def way_to_pay(installation: Installation, who: Opened, invoice_id: str) -> str | None:
    """Ask where an open invoice of this customer can be paid; "" where nowhere, None where it is not his."""
    if _his(installation, who, invoice_id) is None:
        return None
    with _desk(installation, who) as desk:
        return pay_link(desk, invoice_id)


def _his(installation: Installation, who: Opened, invoice_id: str) -> Invoice | None:
    with reading(installation.engine) as session:
        mine = select(InvoiceRow).where(
            col(InvoiceRow.connection_id) == who.connection_id,
            col(InvoiceRow.external_id) == invoice_id,
            col(InvoiceRow.customer_id) == who.customer_id,
            col(InvoiceRow.is_open),
        )
        if session.scalars(mine).first() is None:
            return None
        connection = session.get_one(Connection, who.connection_id)
        facts = customers_facts(session, connection, now=installation.now(), customer_ids=[who.customer_id])
        listed = (each for statements in facts for statement in statements for each in statement.invoices)
        return next((each for each in listed if each.id == invoice_id), None)


@contextmanager
def _desk(installation: Installation, who: Opened) -> Iterator[_Desk]:
    """Open the ledger under the company's call budget; what it says is left of the day is remembered."""
    with reading(installation.engine) as session:
        calls = CallBudget(session, who.connection_id, installation.now)
    try:
        yield _Desk(installation, who.connection_id, open_ledger(installation, who.connection_id, calls))
    except ProviderError as problem:
        raise NotNow(str(problem)) from problem
    finally:
        with writing(installation.engine) as session:
            calls.save(session)
