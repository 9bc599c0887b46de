"""Reads the books: pages of changes into the mirror, each page and its cursor in one commit."""

from __future__ import annotations

from sqlmodel import Session

from connector.db.tables import Connection
from connector.runtime.run_context import RunContext
from connector.sync import reconcile, webhook_inbox
from connector.sync.mirror import merges
from connector.sync.mirror.pages import store_page
from connector.vocabulary import LogKind
from providers.ledger import ChangePage, CompanyDetails

_RECORDS = ("customers", "invoices", "payments", "credits", "deleted", "malformed")


def pull_changes(ctx: RunContext) -> None:
    """Pull every change since the cursor. A page that fails leaves what came before; the next run resumes after it.

    Once a night everything open is compared. Where a webhook tells of every change and told of none, nothing is read.
    """
    with ctx.reading() as session:
        connection = ctx.connection(session)
        cursor, known = connection.cursor or None, connection.company_info_read_at is not None
        night = reconcile.is_due(connection, ctx.started_at) and not ctx.dry_run
        rests = not night and webhook_inbox.can_skip_reading(ctx, connection, session)
        proof = webhook_inbox.WebhookCoverage(ctx, session, connection)
    if rests:
        _skip_reading(ctx)
        return
    if not known:
        ctx.on_progress("reading the organisation")
        read_organisation(ctx)
    ctx.on_progress("reading the books")
    for page in ctx.ledger.list_changes(cursor, ctx.started_at):
        _store_page(ctx, page, proof)
        if ctx.on_records_read:
            ctx.on_records_read(ctx.tally["records"], page.expected_count)
    if night:
        reconcile.reconcile_open_documents(ctx)


def read_organisation(ctx: RunContext) -> None:
    """Read the organisation's own facts: currency, time zone, lock date, whether it mails reminders by itself."""
    facts = ctx.ledger.get_company_details()
    with ctx.writing() as session:
        connection = ctx.connection(session)
        changed = _update_connection(connection, facts)
        connection.company_info_read_at = ctx.now()
        if changed:
            connection.mirror_version += 1
            ctx.log(session, LogKind.ORGANISATION, f"{facts.company.name}: {', '.join(changed)}.")
        for warning in facts.warnings:
            ctx.log(session, LogKind.WARNING, warning)


def store_recheck(ctx: RunContext, page: ChangePage) -> None:
    """Store what was re-read just before acting; the pull's cursor stays where it is."""
    page.is_last = False  # of a pull it is not the last page: what it does not bring is not gone
    with ctx.writing() as session:
        counts = store_page(session, ctx.connection_id, page, at=ctx.now())
        merges.move_completed_steps(session, ctx.connection_id, [each.external_id for each in page.invoices])
        if counts.changed:
            ctx.connection(session).mirror_version += 1
        _log_malformed(ctx, session, page)


def _skip_reading(ctx: RunContext) -> None:
    """Note that the mirror is as the books are, without a call."""
    with ctx.writing() as session:
        ctx.connection(session).pulled_at = ctx.started_at
        ctx.tally["reads_skipped"] = 1
        ctx.log(session, LogKind.PULLED, "No change was announced, so the books were not read.")


def _store_page(ctx: RunContext, page: ChangePage, coverage: webhook_inbox.WebhookCoverage) -> None:
    coverage.check_page(page)
    if not (page.is_last or page.full_resync or any(getattr(page, name) for name in _RECORDS)):
        return  # nothing to keep, and the next page's cursor covers it
    with ctx.writing(durable=False) as session:  # what a power cut undoes is read again: its cursor goes with it
        connection = ctx.connection(session)
        counts = store_page(session, ctx.connection_id, page, at=ctx.now())
        merges.move_completed_steps(session, ctx.connection_id, [each.external_id for each in page.invoices])
        connection.cursor = page.cursor
        if counts.changed:
            connection.mirror_version += 1
        if page.is_last:
            coverage.record_result(ctx, session, connection)
            connection.pulled_at = connection.last_read_at = ctx.started_at
            if connection.first_pull_done_at is None:
                connection.reconciled_at = ctx.started_at  # everything was just read
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
        text = f"A {record.kind} could not be read and is left aside: {record.reason}"
        ctx.log(session, LogKind.MALFORMED, text, facts={"id": record.external_id})


def _update_connection(connection: Connection, facts: CompanyDetails) -> list[str]:
    company = facts.company
    new = {
        "base_currency": company.base_currency,
        "country": company.country,
        "time_zone": company.time_zone,
        "lock_on": company.lock_on,
        "ledger_sends_reminders": company.ledger_reminders,
        "subscription_plan": facts.subscription,
    }
    changed = [f"{name.replace('_', ' ')} {value}" for name, value in new.items() if getattr(connection, name) != value]
    for name, value in new.items():
        setattr(connection, name, value)
    return changed


def _format_counts(counts: dict[str, int]) -> str:
    parts = [
        f"{counts[name]} {name.removesuffix('s') if counts[name] == 1 else name}"
        for name in _RECORDS
        if counts.get(name)
    ]
    if not parts:
        return "Read the books: nothing has changed."
    return f"Read {', '.join(parts)}" + (": new or changed." if counts["changed"] else ": all of it was known already.")
