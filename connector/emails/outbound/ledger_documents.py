"""What the ledger adds to an email or to the customer portal: links to pay online, and the PDFs of invoices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import ColumnElement, delete, or_, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.engine import reading
from connector.db.tables import CustomerRow, InvoicePdf, InvoiceRow, KeyValue
from policies.invoice_names import invoice_title
from policies.receivables import Invoice
from providers.capabilities import PaymentLinksInBulk
from providers.errors import AuthorizationExpired, ProviderError, RateLimited
from providers.ledger import Ledger
from providers.mailer import Attachment

PDFS_MAX = 5  # invoices attached to one email
PDFS_BYTES_MAX = 10 * 2**20
PDF_KEPT_FOR = timedelta(days=30)  # a new logo, say, is no change of the invoice
PDF_KEPT_BYTES_MAX = 2 * 2**20  # of one invoice; a longer one is fetched each time
NO_LINK_VALID_FOR = timedelta(days=7)


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
    """Pay links and PDFs from the ledger, each fetched once and kept: a PDF until its invoice or its customer changes.

    ``writing`` opens the transaction in which they are kept; a sync's own holds its lease. What the ledger could not
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
            known = self._find_pay_link(session, invoice_id)
        if known is not None:
            return known
        try:
            link = self._ledger.get_payment_link(invoice_id) or ""
        except (RateLimited, AuthorizationExpired):
            raise
        except ProviderError as error:
            self._on_progress(f"no pay link: {error}")
            return ""
        self._keep_pay_links({invoice_id: link})
        return link

    def invoice_pdfs(self, invoices: Sequence[Invoice]) -> tuple[Attachment, ...]:
        """Return the PDFs, up to ``PDFS_MAX`` and ``PDFS_BYTES_MAX``, asking the ledger once per version of each."""
        attached: list[Attachment] = []
        size = 0
        for invoice in invoices[:PDFS_MAX]:
            try:
                content = self._pdf(invoice.id)
            except (RateLimited, AuthorizationExpired):
                raise
            except ProviderError as error:
                self._on_progress(f"no PDF of {invoice_title(invoice.number, invoice.issued_on)}: {error}")
                continue
            if content and size + len(content) <= PDFS_BYTES_MAX:
                size += len(content)
                attached.append(Attachment(f"{_filename(invoice, attached)}.pdf", "application/pdf", content))
        return tuple(attached)

    def list_unknown(self, link_ids: Iterable[str], pdf_ids: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return of which invoices the pay link and the PDF would have to be fetched from the ledger."""
        with reading(self._app.engine) as session:
            links = [each for each in link_ids if self._find_pay_link(session, each) is None]
            return links, [each for each in pdf_ids if self._find_pdf(session, each) is None]

    def fetch(self, link_ids: Sequence[str], pdf_ids: Sequence[str]) -> None:
        """Get these links and PDFs in as few calls as the ledger allows, and keep them; raise what the ledger does."""
        if link_ids and isinstance(self._ledger, PaymentLinksInBulk):
            found = self._ledger.get_payment_links(link_ids)
            self._keep_pay_links({each: found.get(each) or "" for each in link_ids})
        else:
            for invoice_id in link_ids:
                self._keep_pay_links({invoice_id: self._ledger.get_payment_link(invoice_id) or ""})
        for invoice_id in pdf_ids:
            self._pdf(invoice_id)

    def _find_pay_link(self, session: Session, invoice_id: str) -> str | None:
        """Return a link that is known; that there is none is believed for a while, as payments may be switched on."""
        stored = session.get(KeyValue, (self._connection_id, _pay_link_key(invoice_id)))
        if stored is None or not (stored.value or self._app.now() - stored.stored_at < NO_LINK_VALID_FOR):
            return None
        return str(stored.value)

    def _keep_pay_links(self, links: Mapping[str, str]) -> None:
        with self._writing() as session:
            for invoice_id, link in links.items():
                name = _pay_link_key(invoice_id)
                session.merge(
                    KeyValue(connection_id=self._connection_id, name=name, value=link, stored_at=self._app.now())
                )

    def _pdf(self, invoice_id: str) -> bytes | None:
        with reading(self._app.engine) as session:
            version = self._version(session, invoice_id)
            kept = self._find_pdf(session, invoice_id)
        if kept is not None:
            return kept.content
        content = self._ledger.get_invoice_pdf(invoice_id)
        if version and len(content or b"") <= PDF_KEPT_BYTES_MAX:
            with self._writing() as session:
                session.merge(
                    InvoicePdf(
                        connection_id=self._connection_id,
                        invoice_id=invoice_id,
                        version=version,
                        content=content,
                        stored_at=self._app.now(),
                    )
                )
        return content

    def _find_pdf(self, session: Session, invoice_id: str) -> InvoicePdf | None:
        """Return the PDF that is kept, if it would be printed the same today."""
        kept = session.get(InvoicePdf, (self._connection_id, invoice_id))
        if kept is None or kept.version != self._version(session, invoice_id):
            return None
        return kept if self._app.now() - kept.stored_at < PDF_KEPT_FOR else None

    def _version(self, session: Session, invoice_id: str) -> str:
        """Return what changes whenever the invoice would be printed otherwise; "" for an invoice that is not known."""
        invoice = session.get(InvoiceRow, (self._connection_id, invoice_id))
        if invoice is None:
            return ""
        customer = session.get(CustomerRow, (self._connection_id, invoice.customer_id))
        parts = (invoice.version, invoice.updated_at, invoice.due_e4, customer.updated_at if customer else "")
        return "|".join(map(str, parts))


def delete_outdated_pdfs(session: Session, connection_id: int, now: datetime) -> None:
    """Delete the PDFs that were kept long, and those of invoices that are no longer open."""
    session.execute(delete(InvoicePdf).where(*_are_outdated(connection_id, now)))


def has_outdated_pdfs(session: Session, connection_id: int, now: datetime) -> bool:
    """Return whether there is any PDF to delete."""
    query = select(col(InvoicePdf.invoice_id)).where(*_are_outdated(connection_id, now))
    return session.execute(query.limit(1)).first() is not None


def _are_outdated(connection_id: int, now: datetime) -> tuple[ColumnElement[bool], ...]:
    is_open = select(col(InvoiceRow.external_id)).where(
        col(InvoiceRow.connection_id) == connection_id, col(InvoiceRow.is_open)
    )
    return (
        col(InvoicePdf.connection_id) == connection_id,
        or_(col(InvoicePdf.stored_at) < now - PDF_KEPT_FOR, col(InvoicePdf.invoice_id).not_in(is_open)),
    )


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
