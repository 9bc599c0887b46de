"""Fetches pay links and PDFs for emails, before their invoices are read again right before sending.

So that reading is as fresh as it can be when the emails go out, and what is planned for tomorrow morning is fetched in
a quiet hour: Xero gives links and PDFs one by one, and no more than sixty calls a minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlmodel import col

from connector.db.tables import OutboxEntry
from connector.emails.outbound.compose import WITHOUT_INVOICE
from connector.emails.outbound.invoice_table import ROWS_MAX
from connector.emails.outbound.ledger_documents import (
    PDFS_MAX,
    LedgerDocuments,
    delete_outdated_pdfs,
    has_outdated_pdfs,
)
from connector.outbox.entries import UNSENT_STATES
from connector.outbox.payloads import EmailPayload, load_payload
from connector.runtime.run_context import RunContext
from connector.vocabulary import OutboxKind
from policies.receivables import Step
from providers.errors import ProviderError

CALLS_AHEAD_MAX = 40  # of a run: the rest of a minute at Xero is for those who visit the customer portal
EMAILS_AHEAD_MAX = 500  # looked through for what is missing


def fetch_for(ctx: RunContext, entry_ids: Sequence[int]) -> None:
    """Fetch what these emails need, waiting where the limits ask for it. What fails is met again by each email."""
    with ctx.reading() as session:
        rows = [entry for entry_id in entry_ids if (entry := session.get(OutboxEntry, entry_id)) is not None]
    _fetch(ctx, rows)


def fetch_ahead(ctx: RunContext) -> None:
    """Fetch what some of the planned emails will need, as far as that is possible without waiting."""
    if ctx.dry_run or ctx.app.is_stopping():
        return
    with ctx.reading() as session:
        planned = session.scalars(
            select(OutboxEntry)
            .where(
                col(OutboxEntry.connection_id) == ctx.connection_id,
                col(OutboxEntry.kind) == OutboxKind.EMAIL,
                col(OutboxEntry.state).in_(UNSENT_STATES),
            )
            .order_by(col(OutboxEntry.send_after), col(OutboxEntry.id))
            .limit(EMAILS_AHEAD_MAX)
        ).all()
        is_outdated = has_outdated_pdfs(session, ctx.connection_id, ctx.now())
    if planned:
        with ctx.pacer.without_waiting():
            _fetch(ctx, planned, calls_max=CALLS_AHEAD_MAX)
    if is_outdated:
        with ctx.writing(durable=False) as session:
            delete_outdated_pdfs(session, ctx.connection_id, ctx.now())


def _fetch(ctx: RunContext, rows: Iterable[OutboxEntry], calls_max: int | None = None) -> None:
    documents = LedgerDocuments(ctx.app, ctx.connection_id, ctx.ledger, ctx.writing, ctx.on_progress)
    links, pdfs = dict[str, None](), dict[str, None]()
    for row in rows:
        wanted_links, wanted_pdfs = documents.list_unknown(*_wanted(row))
        if calls_max is not None and len(links) + len(pdfs) + len(wanted_links) + len(wanted_pdfs) > calls_max:
            break
        links |= dict.fromkeys(wanted_links)
        pdfs |= dict.fromkeys(wanted_pdfs)
    try:
        documents.fetch(list(links), list(pdfs))
    except ProviderError as error:
        ctx.on_progress(f"pay links and PDFs are fetched later: {error}")


def _wanted(entry: OutboxEntry) -> tuple[list[str], list[str]]:
    """Return of which invoices an email needs the pay link, and of which the PDF."""
    payload = load_payload(entry)
    if entry.kind != OutboxKind.EMAIL or not isinstance(payload, EmailPayload) or entry.step == Step.THANK_YOU:
        return [], []
    about = [invoice_id for invoice_id, step in payload.completed if step == entry.step]
    attached = about[: 1 if entry.step == Step.DISCOUNT_ENDING else PDFS_MAX]
    shown = sorted(payload.listed, key=lambda each: each not in about)[:ROWS_MAX]  # they are listed as the table is
    return shown, [] if entry.step in WITHOUT_INVOICE else attached
