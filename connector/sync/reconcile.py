"""Compares all open documents with the ledger, once a night, corrects the mirror and logs each difference.

A sync reads what has changed since a cursor; this finds what the cursor missed, whoever's fault that was. It runs right
after a pull, so whatever differs and is older than that pull should have been known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.money import format_e4, to_e4
from connector.db.tables import Connection, CreditRow, CustomerRow, InvoiceRow
from connector.runtime.run_context import RunContext
from connector.sync import webhook_inbox
from connector.sync.mirror import erased, merges
from connector.sync.mirror.pages import store_page
from connector.vocabulary import LogKind
from connector.vocabulary.labels import in_sentence, label
from policies.invoice_names import invoice_title
from policies.receivables import CreditKind
from providers.errors import PermanentError, TransientError
from providers.ledger import ChangePage, CreditRecord, CustomerRecord, DeletedRecord, InvoiceRecord

NIGHT_START = time(2)  # in the company's time zone: the first run after it compares
SAFETY_MARGIN = timedelta(minutes=5)  # a record changed less than this before the pull may have been missed rightly
LOGGED_MAX = 20  # differences logged one by one
_BATCH_SIZE = 200
_Record = TypeVar("_Record", InvoiceRecord, CreditRecord, CustomerRecord)
_Row = TypeVar("_Row", InvoiceRow, CreditRow, CustomerRow)
_Value = str | bool | date | None


class Difference(NamedTuple):
    """A document or customer that the mirror had wrong; ``text`` says how, for people."""

    customer_id: str
    invoice_id: str
    text: str


def is_due(connection: Connection, now: datetime) -> bool:
    """Return whether a night has begun since the last comparison."""
    if connection.first_pull_done_at is None:
        return False
    local = now.astimezone(ZoneInfo(connection.time_zone))
    night = datetime.combine(local.date(), NIGHT_START, local.tzinfo)
    if night > local:
        night = datetime.combine(local.date() - timedelta(days=1), NIGHT_START, local.tzinfo)
    return connection.reconciled_at is None or connection.reconciled_at < night


def reconcile_open_documents(ctx: RunContext) -> None:
    """Compare all open documents with the ledger and correct the mirror.

    Where the ledger defers the comparison, the next run starts it anew; where it rejects it, the next night's.
    """
    ctx.on_progress("comparing open documents with the accounting system")
    try:
        found, documents = _compare(ctx)
    except TransientError as error:  # the run continues: whatever is to be sent is read again anyway
        ctx.budget.record_limit(error)
        ctx.deferred.append(f"The nightly comparison is deferred: {error}")
        return
    except PermanentError as error:
        found, documents = [], 0
        ctx.failures.append(f"The accounting system rejected the nightly comparison: {error}")
    with ctx.writing() as session:
        connection = ctx.connection(session)
        connection.reconciled_at = ctx.started_at
        connection.drift += len(found)
        if found:
            connection.webhooks_complete_since_at = None  # the webhook should have reported these changes
        webhook_inbox.delete_old_events(session, ctx.connection_id, ctx.now())
        ctx.tally["reconciled"], ctx.tally["drift"] = documents, len(found)
        _log_result(ctx, session, found, documents)


def _compare(ctx: RunContext) -> tuple[list[Difference], int]:
    until = ctx.started_at - SAFETY_MARGIN
    found: list[Difference] = []
    invoice_ids: set[str] = set()
    credit_ids: set[str] = set()
    documents = 0
    for page in ctx.ledger.list_open_documents(ctx.now()):
        invoice_ids |= {one.external_id for one in page.invoices}
        invoice_ids |= {one.external_id for one in page.malformed if one.kind == "invoice"}
        credit_ids |= {one.external_id for one in page.credits} | {one.external_id for one in page.malformed}
        documents += len(page.invoices) + len(page.credits)
        found += _repair_page(ctx, page, until)
    found += _repair_missing(ctx, invoice_ids, until)
    return found + _repair_credits(ctx, credit_ids), documents


def _repair_page(ctx: RunContext, page: ChangePage, until: datetime) -> list[Difference]:
    if page.is_empty():  # QuickBooks answers four queries a night, most of them with nothing
        return []
    page.is_last = False
    with ctx.writing() as session:
        erased.redact_page(session, ctx.connection_id, page, at=ctx.now())  # an erased customer is no difference
        found = list(_find_differences(session, ctx.connection_id, page, until))
        counts = store_page(session, ctx.connection_id, page, at=ctx.now())
        merges.move_what_is_done(session, ctx.connection_id, [each.external_id for each in page.invoices])
        if counts.changed:
            ctx.connection(session).mirror_version += 1
        return found


def _repair_missing(ctx: RunContext, seen: set[str], until: datetime) -> list[Difference]:
    """Read the invoices that are open in the mirror but not in the ledger: they were paid, voided or deleted."""
    with ctx.reading() as session:
        query = select(col(InvoiceRow.external_id)).where(
            col(InvoiceRow.connection_id) == ctx.connection_id, col(InvoiceRow.is_open)
        )
        missing = sorted(set(session.scalars(query)) - seen)
    found: list[Difference] = []
    for start in range(0, len(missing), _BATCH_SIZE):
        page = ctx.ledger.reload_documents(missing[start : start + _BATCH_SIZE], [], ctx.now())
        found += _repair_page(ctx, page, until)
    return found


def _repair_credits(ctx: RunContext, seen: set[str]) -> list[Difference]:
    """Set credits that the ledger no longer lists as open to nothing: they were applied or voided."""
    found: list[Difference] = []
    with ctx.writing() as session:
        query = select(CreditRow).where(
            col(CreditRow.connection_id) == ctx.connection_id, col(CreditRow.remaining_e4) > 0
        )
        for row in session.scalars(query):
            if row.external_id not in seen:
                remaining = f"{row.currency} {format_e4(row.remaining_e4, row.currency)}"
                text = f"{_credit_name(row.kind, row.number)}: unapplied was {remaining}, is 0"
                found.append(Difference(row.customer_id, "", text))
                row.remaining_e4 = 0
        if found:
            ctx.connection(session).mirror_version += 1
    return found


def _find_differences(session: Session, connection_id: int, page: ChangePage, until: datetime) -> Iterator[Difference]:
    invoices = {row.external_id: row for row in _load_rows(session, connection_id, InvoiceRow, page.invoices)}
    for invoice in _updated_before(page.invoices, until):
        if text := _diff_invoice(invoices.get(invoice.external_id), invoice):
            yield Difference(
                invoice.customer_id, invoice.external_id, f"{invoice_title(invoice.number, invoice.issued_on)}: {text}"
            )
    credits = {(row.kind, row.external_id): row for row in _load_rows(session, connection_id, CreditRow, page.credits)}
    for credit in _updated_before(page.credits, until):
        if text := _diff_credit(credits.get((CreditKind(credit.kind), credit.external_id)), credit):
            yield Difference(credit.customer_id, "", f"{_credit_name(credit.kind, credit.number)}: {text}")
    customers = {row.external_id: row for row in _load_rows(session, connection_id, CustomerRow, page.customers)}
    for customer in _updated_before(page.customers, until):
        if text := _diff_customer(customers.get(customer.external_id), customer):
            yield Difference(customer.external_id, "", f"customer {customer.name}: {text}")
    for deleted in page.deleted:
        if deleted.kind == "invoice":
            yield _diff_deleted(session, connection_id, deleted)


def _load_rows(
    session: Session,
    connection_id: int,
    table: type[_Row],
    records: Sequence[InvoiceRecord | CreditRecord | CustomerRecord],
) -> Sequence[_Row]:
    ids = [record.external_id for record in records]
    query = select(table).where(col(table.connection_id) == connection_id, col(table.external_id).in_(ids))
    return session.scalars(query).all() if ids else []


def _updated_before(records: list[_Record], until: datetime) -> Iterator[_Record]:
    return (record for record in records if record.updated_at < until)


def _diff_invoice(row: InvoiceRow | None, record: InvoiceRecord) -> str:
    if row is None:
        return "was missing"
    if row.updated_at is not None and row.updated_at > record.updated_at:
        return ""
    return _format_diff(
        {
            "status": (row.status, record.status),
            "amount due": _amounts(row.due_e4, record.due, record.currency),
            "total": _amounts(row.total_e4, record.total, record.currency),
            "due date": (row.due_on, record.due_on),
            "promised date": (row.promised_on, record.promised_on),
        }
    )


def _diff_credit(row: CreditRow | None, record: CreditRecord) -> str:
    if row is None:
        return "was missing" if record.remaining > 0 else ""
    if row.updated_at is not None and row.updated_at > record.updated_at:
        return ""
    return _format_diff({"unapplied": _amounts(row.remaining_e4, record.remaining, record.currency)})


def _diff_customer(row: CustomerRow | None, record: CustomerRecord) -> str:
    if row is None:
        return "was missing"
    if row.updated_at is not None and row.updated_at > record.updated_at:
        return ""
    if row.emails != record.emails:
        return "the email address was another"  # addresses stay out of the log
    return _format_diff({"name": (row.name, record.name), "active": (row.active, record.active)})


def _diff_deleted(session: Session, connection_id: int, deleted: DeletedRecord) -> Difference:
    row = session.get(InvoiceRow, (connection_id, deleted.external_id))
    number = row.number if row is not None else deleted.external_id
    customer_id = row.customer_id if row is not None else ""
    return Difference(customer_id, deleted.external_id, f"invoice {number}: was deleted in the accounting system")


def _amounts(ours_e4: int, theirs: Decimal, currency: str) -> tuple[str, str]:
    """Return both amounts as text, with more decimals than the currency has where they differ there only."""
    return f"{currency} {format_e4(ours_e4, currency)}", f"{currency} {format_e4(to_e4(theirs), currency)}"


def _format_diff(pairs: dict[str, tuple[_Value, _Value]]) -> str:
    return ", ".join(f"{name} was {ours}, is {theirs}" for name, (ours, theirs) in pairs.items() if ours != theirs)


def _credit_name(kind: str, number: str) -> str:
    return f"{in_sentence(label(kind, 'credit_kind'))} {number}"


def _log_result(ctx: RunContext, session: Session, found: list[Difference], documents: int) -> None:
    for one in found[:LOGGED_MAX]:
        text = f"Corrected {one.text}."
        ctx.log(session, LogKind.DRIFT, text, customer_id=one.customer_id, invoice_id=one.invoice_id)
    result = f"{len(found)} differed and were corrected" if found else "none differed"
    text = f"Compared {documents} open documents with the accounting system: {result}."
    ctx.log(session, LogKind.RECONCILED, text, facts={"documents": documents, "drift": len(found)})
