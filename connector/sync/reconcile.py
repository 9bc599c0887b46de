"""Compares every open document with the ledger, once a night: what the mirror has otherwise is mended and told.

The hours read what changed, by a cursor; this finds what a cursor missed, whoever's fault it was. It comes right after
a reading of the changes, so whatever differs then, and is older than that reading, should have been known: drift.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.money import from_e4, to_e4
from connector.db.tables import Connection, CreditRow, CustomerRow, InvoiceRow
from connector.runtime.run_context import RunContext
from connector.sync import webhook_inbox
from connector.sync.mirror import erased, merges
from connector.sync.mirror.pages import store_page
from connector.vocabulary import LogKind
from providers.errors import PermanentError, TransientError
from providers.ledger import ChangePage, CreditRecord, CustomerRecord, DeletedRecord, InvoiceRecord

NIGHT_START = time(2)  # of the company's own clock: from here on, the first run compares
SAFETY_MARGIN = timedelta(minutes=5)  # what is younger than this before the reading may have come after it
LOGGED_MAX = 20  # differences told one by one
_BATCH_SIZE = 200


class Difference(NamedTuple):
    """Something the mirror had otherwise; ``text`` says what, in words for people."""

    customer_id: str
    invoice_id: str
    text: str


def is_due(connection: Connection, now: datetime) -> bool:
    """Tell whether a night has begun since the last comparison."""
    if connection.first_pull_done_at is None:
        return False
    local = now.astimezone(ZoneInfo(connection.time_zone))
    night = datetime.combine(local.date(), NIGHT_START, local.tzinfo)
    if night > local:
        night = datetime.combine(local.date() - timedelta(days=1), NIGHT_START, local.tzinfo)
    return connection.reconciled_at is None or connection.reconciled_at < night


def reconcile_open_documents(ctx: RunContext) -> None:
    """Compare and mend. Where the ledger puts us off, the next run begins anew; where it refuses, the next night."""
    ctx.on_progress("comparing open documents with the ledger")
    try:
        found, documents = _compare(ctx)
    except TransientError as wait:  # the hour goes on: whatever is to leave is re-read anyway
        ctx.budget.record_limit(wait)
        ctx.deferred.append(f"The nightly comparison waits: {wait}")
        return
    except PermanentError as no:
        found, documents = [], 0
        ctx.failures.append(f"The ledger refuses the nightly comparison: {no}")
    with ctx.writing() as session:
        connection = ctx.connection(session)
        connection.reconciled_at = ctx.started_at
        connection.drift += len(found)
        if found:
            connection.webhooks_complete_since_at = None  # whoever should have told of this cannot be relied on
        webhook_inbox.delete_old_events(session, ctx.connection_id, ctx.now())
        ctx.tally["reconciled"], ctx.tally["drift"] = documents, len(found)
        _log_result(ctx, session, found, documents)


def _compare(ctx: RunContext) -> tuple[list[Difference], int]:
    until = ctx.started_at - SAFETY_MARGIN
    found: list[Difference] = []
    seen: dict[str, set[str]] = {"invoice": set(), "credit": set()}
    documents = 0
    for page in ctx.ledger.list_open_documents(ctx.now()):
        seen["invoice"] |= {one.external_id for one in page.invoices}
        seen["invoice"] |= {one.external_id for one in page.malformed if one.kind == "invoice"}
        seen["credit"] |= {one.external_id for one in page.credits} | {one.external_id for one in page.malformed}
        documents += len(page.invoices) + len(page.credits)
        found += _repair_page(ctx, page, until)
    found += _repair_missing(ctx, seen["invoice"], until)
    return found + _repair_credits(ctx, seen["credit"]), documents


def _repair_page(ctx: RunContext, page: ChangePage, until: datetime) -> list[Difference]:
    page.is_last = False
    with ctx.writing() as session:
        erased.redact_page(session, ctx.connection_id, page, at=ctx.now())  # who was erased is no difference
        found = list(_find_differences(session, ctx.connection_id, page, until))
        counts = store_page(session, ctx.connection_id, page, at=ctx.now())
        merges.move_completed_steps(session, ctx.connection_id, [each.external_id for each in page.invoices])
        if counts.changed:
            ctx.connection(session).mirror_version += 1
        return found


def _repair_missing(ctx: RunContext, seen: set[str], until: datetime) -> list[Difference]:
    """Look at invoices that are open here and not in the ledger: paid, void, or gone."""
    with ctx.reading() as session:
        query = select(col(InvoiceRow.external_id)).where(
            col(InvoiceRow.connection_id) == ctx.connection_id, col(InvoiceRow.is_open)
        )
        missing = sorted(set(session.scalars(query)) - seen)
    found: list[Difference] = []
    for start in range(0, len(missing), _BATCH_SIZE):
        found += _repair_page(
            ctx, ctx.ledger.reload_documents(missing[start : start + _BATCH_SIZE], [], ctx.now()), until
        )
    return found


def _repair_credits(ctx: RunContext, seen: set[str]) -> list[Difference]:
    """Take away what is left of credits here that the ledger has no more: they were used, or are void."""
    found: list[Difference] = []
    with ctx.writing() as session:
        query = select(CreditRow).where(
            col(CreditRow.connection_id) == ctx.connection_id, col(CreditRow.remaining_e4) > 0
        )
        for row in session.scalars(query):
            if row.external_id not in seen:
                text = (
                    f"{row.kind.replace('_', ' ')} {row.number}: {from_e4(row.remaining_e4)} unapplied here, none there"
                )
                found.append(Difference(row.customer_id, "", text))
                row.remaining_e4 = 0
        if found:
            ctx.connection(session).mirror_version += 1
    return found


def _find_differences(session: Session, connection_id: int, page: ChangePage, until: datetime) -> Iterator[Difference]:
    loaded = [
        *_preload(session, connection_id, InvoiceRow, page.invoices)
    ]  # one query, and held while they are asked for
    loaded += [*_preload(session, connection_id, CreditRow, page.credits)]
    loaded += [*_preload(session, connection_id, CustomerRow, page.customers)]
    for record in _updated_before(page.invoices, until):
        row = session.get(InvoiceRow, (connection_id, record.external_id))
        said = _diff_invoice(row, record)
        if said:
            yield Difference(record.customer_id, record.external_id, f"invoice {record.number}: {said}")
    for credit in _updated_before(page.credits, until):
        known = session.get(CreditRow, (connection_id, credit.kind, credit.external_id))
        said = _diff_credit(known, credit)
        if said:
            yield Difference(credit.customer_id, "", f"{credit.kind.replace('_', ' ')} {credit.number}: {said}")
    for customer in _updated_before(page.customers, until):
        there = session.get(CustomerRow, (connection_id, customer.external_id))
        said = _diff_customer(there, customer)
        if said:
            yield Difference(customer.external_id, "", f"customer {customer.name}: {said}")
    for gone in page.deleted:
        if gone.kind == "invoice":
            yield _diff_deleted(session, connection_id, gone)


def _preload(session: Session, connection_id: int, table: Any, records: Sequence[Any]) -> Sequence[Any]:
    ids = [record.external_id for record in records]
    query = select(table).where(table.connection_id == connection_id, table.external_id.in_(ids))
    return session.scalars(query).all() if ids else []


def _updated_before(records: list[Any], until: datetime) -> Iterator[Any]:
    return (record for record in records if record.updated_at < until)


def _diff_invoice(row: InvoiceRow | None, record: InvoiceRecord) -> str:
    if row is None:
        return "not known here"
    if row.updated_at is not None and row.updated_at > record.updated_at:
        return ""
    pairs = {
        "status": (row.status, record.status),
        "due": (from_e4(row.due_e4), record.due) if row.due_e4 != to_e4(record.due) else None,
        "total": (from_e4(row.total_e4), record.total) if row.total_e4 != to_e4(record.total) else None,
        "due on": (row.due_on, record.due_on),
        "promised on": (row.promised_on, record.promised_on),
    }
    return _format_diff(pairs)


def _diff_credit(row: CreditRow | None, record: CreditRecord) -> str:
    if row is None:
        return "not known here" if record.remaining > 0 else ""
    if row.updated_at is not None and row.updated_at > record.updated_at:
        return ""
    here = (from_e4(row.remaining_e4), record.remaining) if row.remaining_e4 != to_e4(record.remaining) else None
    return _format_diff({"unapplied": here})


def _diff_customer(row: CustomerRow | None, record: CustomerRecord) -> str:
    if row is None:
        return "not known here"
    if row.updated_at is not None and row.updated_at > record.updated_at:
        return ""
    if row.emails != record.emails:
        return "another mail address there"  # the log holds no addresses it need not
    return _format_diff({"name": (row.name, record.name), "active": (row.active, record.active)})


def _diff_deleted(session: Session, connection_id: int, deleted: DeletedRecord) -> Difference:
    row = session.get(InvoiceRow, (connection_id, deleted.external_id))
    number = row.number if row is not None else deleted.external_id
    return Difference(row.customer_id if row is not None else "", deleted.external_id, f"invoice {number}: gone there")


def _format_diff(pairs: dict[str, tuple[Any, Any] | None]) -> str:
    different = {name: pair for name, pair in pairs.items() if pair is not None and pair[0] != pair[1]}
    return ", ".join(f"{name} {here} here, {there} there" for name, (here, there) in different.items())


def _log_result(ctx: RunContext, session: Session, found: list[Difference], documents: int) -> None:
    for one in found[:LOGGED_MAX]:
        text = f"Mended: {one.text}."
        ctx.log(session, LogKind.DRIFT, text, customer_id=one.customer_id, invoice_id=one.invoice_id)
    sums = f"{len(found)} differed and were mended" if found else "all are as they were known"
    text = f"Compared {documents} open documents with the ledger: {sums}."
    ctx.log(session, LogKind.RECONCILED, text, facts={"documents": documents, "drift": len(found)})
