"""What the ledger adds to a mail: links to pay by, and the PDFs it renders of the invoices."""

from __future__ import annotations

from collections.abc import Sequence

from connector.hour import Hour
from connector.tables import Stored
from policies.receivables import Invoice
from providers.errors import ProviderError, RateLimited, Reconnect
from providers.mailer import Attachment

PDFS_MAX = 5  # invoices attached to one mail
PDFS_BYTES_MAX = 10 * 2**20


def pay_link(hour: Hour, invoice_id: str) -> str:
    """Ask the ledger once per invoice; a link stays the same for the invoice's life."""
    name = f"pay_link:{invoice_id}"
    with hour.reading() as session:
        stored = session.get(Stored, (hour.connection_id, name))
        if stored is not None:
            return str(stored.value)
    try:
        link = hour.ledger.pay_link(invoice_id) or ""
    except (RateLimited, Reconnect):
        raise
    except ProviderError as error:
        hour.tell(f"no pay link: {error}")
        return ""
    with hour.writing() as session:
        session.merge(Stored(connection_id=hour.connection_id, name=name, value=link, stored_at=hour.now()))
    return link


def invoice_pdfs(hour: Hour, invoices: Sequence[Invoice]) -> tuple[Attachment, ...]:
    """Fetch the PDFs the ledger renders. A mail without one is better than no mail, so only limits stop it."""
    attached: list[Attachment] = []
    size = 0
    for invoice in invoices[:PDFS_MAX]:
        try:
            content = hour.ledger.invoice_pdf(invoice.id)
        except (RateLimited, Reconnect):
            raise
        except ProviderError as error:
            hour.tell(f"no PDF of {invoice.number}: {error}")
            continue
        if content and size + len(content) <= PDFS_BYTES_MAX:
            size += len(content)
            attached.append(Attachment(f"{_ascii(invoice.number)}.pdf", "application/pdf", content))
    return tuple(attached)


def _ascii(number: str) -> str:
    """Make a file name that every mail system keeps as it is."""
    kept = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "-" for sign in number).strip("-.")
    return f"invoice-{kept}" if kept else "invoice"
