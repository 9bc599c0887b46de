"""What the ledger adds to a mail: links to pay by, and the PDFs it renders of the invoices."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from sqlmodel import Session

from connector.db.tables import KeyValue
from policies.receivables import Invoice
from providers.errors import AuthorizationExpired, ProviderError, RateLimited
from providers.ledger import Ledger
from providers.mailer import Attachment

PDFS_MAX = 5  # invoices attached to one mail
PDFS_BYTES_MAX = 10 * 2**20


class LedgerAccess(Protocol):
    """What is needed of whoever asks: a run under way, or a customer's page."""

    connection_id: int
    ledger: Ledger

    def reading(self) -> AbstractContextManager[Session]:
        """Open a session that only looks."""
        ...

    def writing(self) -> AbstractContextManager[Session]:
        """Open a transaction."""
        ...

    def now(self) -> datetime:
        """Give the present instant."""
        ...

    def on_progress(self, text: str, /) -> None:
        """Tell what could not be had."""
        ...


def find_known_pay_link(session: Session, connection_id: int, invoice_id: str) -> str | None:
    """Give the link that the ledger told before; "" where it has none, None where it was never asked."""
    stored = session.get(KeyValue, (connection_id, f"pay_link:{invoice_id}"))
    return str(stored.value) if stored is not None else None


def get_pay_link(access: LedgerAccess, invoice_id: str) -> str:
    """Ask the ledger once per invoice; a link stays the same for the invoice's life."""
    name = f"pay_link:{invoice_id}"
    with access.reading() as session:
        known = find_known_pay_link(session, access.connection_id, invoice_id)
    if known is not None:
        return known
    try:
        link = access.ledger.get_payment_link(invoice_id) or ""
    except (RateLimited, AuthorizationExpired):
        raise
    except ProviderError as error:
        access.on_progress(f"no pay link: {error}")
        return ""
    with access.writing() as session:
        session.merge(KeyValue(connection_id=access.connection_id, name=name, value=link, stored_at=access.now()))
    return link


def get_invoice_pdfs(access: LedgerAccess, invoices: Sequence[Invoice]) -> tuple[Attachment, ...]:
    """Fetch the PDFs the ledger renders. A mail without one is better than no mail, so only limits stop it."""
    attached: list[Attachment] = []
    size = 0
    for invoice in invoices[:PDFS_MAX]:
        try:
            content = access.ledger.get_invoice_pdf(invoice.id)
        except (RateLimited, AuthorizationExpired):
            raise
        except ProviderError as error:
            access.on_progress(f"no PDF of {invoice.number}: {error}")
            continue
        if content and size + len(content) <= PDFS_BYTES_MAX:
            size += len(content)
            attached.append(Attachment(f"{_ascii_filename(invoice.number)}.pdf", "application/pdf", content))
    return tuple(attached)


def _ascii_filename(number: str) -> str:
    """Make a file name that every mail system keeps as it is."""
    kept = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "-" for sign in number).strip("-.")
    return f"invoice-{kept}" if kept else "invoice"
