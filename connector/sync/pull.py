"""Pulls changes from the ledger into the mirror, page by page, each page and its cursor in one commit."""

from __future__ import annotations

from sqlmodel import Session

from connector.db.invoice_names import name_of
from connector.db.tables import Connection, CustomerRow, InvoiceRow
from connector.plain_text import one_line
from connector.runtime.run_context import RunContext
from connector.sync import changed_customers, reconcile, webhook_inbox
from connector.sync.mirror import merges
from connector.sync.mirror.pages import store_page
from connector.vocabulary import LogKind
from providers.ledger import ChangePage, CompanyDetails, RecordKind

_RECORDS = ("customers", "invoices", "payments", "credits", "deleted", "malformed")


def pull_changes(ctx: RunContext) -> None:
    """Pull every change since the cursor; after a failure, the next run resumes behind the last stored page.

    Once a night all open documents are compared as well. Where the ledger's webhook reports every change and has
    reported none, nothing is read.
    """
    with ctx.reading() as session:
        connection = ctx.connection(session)
        cursor, is_known = connection.cursor or None, connection.company_info_read_at is not None
        reconciles = reconcile.is_due(connection, ctx.started_at) and not ctx.dry_run
        skips = not reconciles and webhook_inbox.can_skip_reading(ctx, connection, session)
        coverage = webhook_inbox.WebhookCoverage(ctx, session, connection)
    if skips:
        _skip_reading(ctx)
        return
    if not is_known:
        ctx.on_progress("reading the company's details")
        read_organisation(ctx)
    ctx.on_progress("reading changes")
    for page in ctx.ledger.list_changes(cursor, ctx.started_at):
        _store_page(ctx, page, coverage)
        if ctx.on_records_read:
            ctx.on_records_read(ctx.tally["records"], page.expected_count)
    if reconciles:
        reconcile.reconcile_open_documents(ctx)


def read_organisation(ctx: RunContext) -> None:
    """Read the company's details: currency, time zone, lock date, whether its ledger sends reminders itself."""
    details = ctx.ledger.get_company_details()
    with ctx.writing() as session:
        connection = ctx.connection(session)
        changed = _update_connection(connection, details)
        connection.company_info_read_at = ctx.now()
        if changed:
            connection.mirror_version += 1
            ctx.log(session, LogKind.ORGANISATION, f"{details.company.name}: {', '.join(changed)}.")
        for warning in details.warnings:
            ctx.log(session, LogKind.WARNING, warning)


def store_recheck(ctx: RunContext, page: ChangePage) -> None:
    """Store what was read again right before sending; the cursor of the pull stays where it is."""
    page.is_last = False  # it is no whole pull: what it does not contain is not gone
    with ctx.writing() as session:
        counts = store_page(session, ctx.connection_id, page, at=ctx.now())
        merges.move_what_is_done(session, ctx.connection_id, [each.external_id for each in page.invoices])
        if counts.changed:
            ctx.connection(session).mirror_version += 1
        _log_malformed(ctx, session, page)


def _skip_reading(ctx: RunContext) -> None:
    """Record that the mirror is up to date, without a call."""
    with ctx.writing() as session:
        ctx.connection(session).synced_at = ctx.started_at
        ctx.tally["reads_skipped"] = 1
        ctx.log(session, LogKind.PULLED, "No change was reported, so nothing was read.")


def _store_page(ctx: RunContext, page: ChangePage, coverage: webhook_inbox.WebhookCoverage) -> None:
    coverage.check_page(page)
    has_records = page.write_offs or page.replaced_deposits or any(getattr(page, name) for name in _RECORDS)
    if not (page.is_last or page.full_resync or has_records):
        return  # it is empty, and the next page's cursor includes it
    with ctx.writing(durable=False) as session:  # a power cut loses the page and its cursor: both are read again
        connection = ctx.connection(session)
        changed_customers.note_page(session, ctx.connection_id, page, ctx.mirror_changes)
        counts = store_page(session, ctx.connection_id, page, at=ctx.now())
        merges.move_what_is_done(session, ctx.connection_id, [each.external_id for each in page.invoices])
        connection.cursor = page.cursor
        if counts.changed:
            connection.mirror_version += 1
            changed_customers.note_version(page, counts, ctx.mirror_changes)
        if page.is_last:
            coverage.record_result(ctx, session, connection)
            connection.synced_at = connection.last_read_at = ctx.started_at
            if connection.first_pull_done_at is None:
                connection.reconciled_at = ctx.started_at  # everything has just been read
            connection.first_pull_done_at = connection.first_pull_done_at or ctx.now()
        _log_malformed(ctx, session, page)
        for name in _RECORDS:
            ctx.tally[name] += len(getattr(page, name))
            ctx.tally["records"] += len(getattr(page, name))
        ctx.tally["changed"] += counts.changed
        if page.is_last:
            read = {name: ctx.tally[name] for name in (*_RECORDS, "changed")}
            ctx.log(session, LogKind.PULLED, _format_counts(read), facts=read)


def _log_malformed(ctx: RunContext, session: Session, page: ChangePage) -> None:
    for record in page.malformed:
        invoice = None
        if record.kind == RecordKind.INVOICE:
            invoice = session.get(InvoiceRow, (ctx.connection_id, record.external_id))
        customer_id = invoice.customer_id if invoice is not None else ""
        customer = session.get(CustomerRow, (ctx.connection_id, customer_id)) if customer_id else None
        name = (
            f" ({name_of(session, invoice)}, {one_line(customer.name)})"
            if invoice is not None and customer is not None
            else ""
        )
        text = f"Skipped one {record.kind.replace('_', ' ')}{name} that could not be read: {record.reason}"
        ctx.log(session, LogKind.MALFORMED, text, customer_id=customer_id, facts={"id": record.external_id})


def _update_connection(connection: Connection, details: CompanyDetails) -> list[str]:
    """Update the connection and return what has changed, for the log."""
    company = details.company
    new = {
        "base_currency": company.base_currency,
        "country": company.country,
        "holiday_region": company.holiday_region,
        "time_zone": company.time_zone,
        "lock_on": company.lock_on,
        "ledger_reminders": company.ledger_reminders,
        "subscription_plan": details.subscription,
    }
    changed = [name for name, value in new.items() if getattr(connection, name) != value]
    for name, value in new.items():
        setattr(connection, name, value)
    return [_CHANGES[name].format(_format_value(new[name])) for name in changed]


_CHANGES = {
    "base_currency": "base currency {}",
    "country": "country {}",
    "holiday_region": "public holidays of {}",
    "time_zone": "time zone {}",
    "lock_on": "lock date {}",
    "ledger_reminders": "reminders sent by the accounting system: {}",
    "subscription_plan": "subscription {}",
}


def _format_value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value or "none")


def _format_counts(counts: dict[str, int]) -> str:
    parts = [
        f"{counts[name]} {name.removesuffix('s') if counts[name] == 1 else name}"
        for name in _RECORDS
        if counts.get(name)
    ]
    if not parts:
        return "Read the changes: there are none."
    return f"Read {', '.join(parts)}" + (": new or changed." if counts["changed"] else ": all of them unchanged.")
