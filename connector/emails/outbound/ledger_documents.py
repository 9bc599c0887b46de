"""What the ledger adds to an email or to the customer portal: links to pay online, and the PDFs of invoices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from sqlmodel import Session

from connector.app_context import AppContext
from connector.db.engine import reading
from connector.db.tables import KeyValue
from policies.invoice_names import invoice_title
from policies.receivables import Invoice
from providers.errors import AuthorizationExpired, ProviderError, RateLimited
from providers.ledger import Ledger
from providers.mailer import Attachment

PDFS_MAX = 5  # invoices attached to one email
PDFS_BYTES_MAX = 10 * 2**20


class Documents(Protocol):
    """Where pay links and invoice PDFs come from."""

    def pay_link(self, invoice_id: str) -> str:
        """Return the address at which an invoice can be paid, or ""."""
        ...

    def invoice_pdfs(self, invoices: Sequence[Invoice]) -> tuple[Attachment, ...]:
        """Return the PDFs of these invoices, as far as there are any."""
        ...


class KnownDocuments:
    """The pay links the ledger has given before, and no PDFs: for previews, which ask no ledger."""

    def __init__(self, app: AppContext, connection_id: int) -> None:
        self._app, self._connection_id = app, connection_id

    def pay_link(self, invoice_id: str) -> str:
        """Return the stored pay link, or ""."""
        with reading(self._app.engine) as session:
            return find_known_pay_link(session, self._connection_id, invoice_id) or ""

    def invoice_pdfs(self, _invoices: Sequence[Invoice]) -> tuple[Attachment, ...]:
        """Return no PDFs."""
        return ()


class LedgerDocuments:
    """Pay links and PDFs from the ledger. Links are kept: they stay the same for the life of an invoice.

    ``writing`` opens the transaction in which a link is kept; a sync's own holds its lease. What the ledger could not
    deliver goes to ``on_progress``: an email without a link or a PDF is better than no email.
    """

    def __init__(
        self,
        app: AppContext,
        connection_id: int,
        ledger: Ledger,
        writing: Callable[[], AbstractContextManager[Session]],
        on_progress: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._app, self._connection_id, self._ledger = app, connection_id, ledger
        self._writing, self._on_progress = writing, on_progress

    def pay_link(self, invoice_id: str) -> str:
        """Return the pay link, asking the ledger once per invoice."""
        with reading(self._app.engine) as session:
            known = find_known_pay_link(session, self._connection_id, invoice_id)
        if known is not None:
            return known
        try:
            link = self._ledger.get_payment_link(invoice_id) or ""
        except (RateLimited, AuthorizationExpired):
            raise
        except ProviderError as error:
            self._on_progress(f"no pay link: {error}")
            return ""
        with self._writing() as session:
            session.merge(
                KeyValue(
                    connection_id=self._connection_id,
                    name=_pay_link_key(invoice_id),
                    value=link,
                    stored_at=self._app.now(),
                )
            )
        return link

    def invoice_pdfs(self, invoices: Sequence[Invoice]) -> tuple[Attachment, ...]:
        """Fetch the PDFs, up to ``PDFS_MAX`` and ``PDFS_BYTES_MAX``."""
        attached: list[Attachment] = []
        size = 0
        for invoice in invoices[:PDFS_MAX]:
            try:
                content = self._ledger.get_invoice_pdf(invoice.id)
            except (RateLimited, AuthorizationExpired):
                raise
            except ProviderError as error:
                self._on_progress(f"no PDF of {invoice_title(invoice.number, invoice.issued_on)}: {error}")
                continue
            if content and size + len(content) <= PDFS_BYTES_MAX:
                size += len(content)
                attached.append(Attachment(f"{_filename(invoice, attached)}.pdf", "application/pdf", content))
        return tuple(attached)


def find_known_pay_link(session: Session, connection_id: int, invoice_id: str) -> str | None:
    """Return the pay link the ledger has given before: "" where it has none, None where it was never asked."""
    stored = session.get(KeyValue, (connection_id, _pay_link_key(invoice_id)))
    return str(stored.value) if stored is not None else None


def _pay_link_key(invoice_id: str) -> str:
    return f"pay_link:{invoice_id}"


def _filename(invoice: Invoice, attached: Sequence[Attachment]) -> str:
    """Return a file name that no other attachment has: by the number, else or also by the date."""
    name, taken = _ascii_filename(invoice.number), {each.filename for each in attached}
    if not invoice.number.strip() or f"{name}.pdf" in taken:
        name = f"{name}-{invoice.issued_on.isoformat()}"
    return f"{name}-{len(attached) + 1}" if f"{name}.pdf" in taken else name


def _ascii_filename(number: str) -> str:
    """Return a file name that every email system keeps as it is."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "-" for char in number).strip("-.")
    return f"invoice-{kept}" if kept else "invoice"
