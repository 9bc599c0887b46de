"""Exceptions: records in a company's ledger that somebody should check.

They are looked for where the ledger has changed, and listed until they are corrected there or marked as correct.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, select, union
from sqlmodel import Session, SQLModel, col

from connector.app_context import AppContext
from connector.arrangements import set_aside_records
from connector.audit import sync_log
from connector.connections.registry import find_connection, list_connected
from connector.db.engine import reading
from connector.db.tables import Connection, CustomerRow, ExceptionRow, InvoiceRow, KeyValue
from connector.evaluation import long_holds, placeholder_addresses, unreadable_records
from connector.evaluation.exception_rows import ExceptionKey, replace_exceptions
from connector.runtime.run_context import RunContext
from connector.sync.mirror import mailboxes
from connector.sync.mirror.families import load_families
from connector.sync.mirror.statements import WHOLE_HISTORY_DAYS, load_statements
from connector.vocabulary import LogKind
from policies.exception_checks import ExceptionCode, ExceptionItem, find_exceptions

LIST_MAX = 10_000
_OF_NO_STATEMENT = (ExceptionCode.LONG_HOLD, ExceptionCode.UNREADABLE_RECORD, ExceptionCode.PROBABLE_PLACEHOLDER)
_STORE_KEY = "exceptions_scanned"
_OVERLAP = timedelta(hours=3)  # what changed while the ledger was being read is scanned again
_FULL_SCAN_FROM = 3000  # changed customers, from which on scanning all of them is quicker
_CHANGES = (  # tables, with the columns of the customer and of the last change
    ("invoice", "customer_id", "updated_at"),
    ("payment", "customer_id", "updated_at"),
    ("credit", "customer_id", "updated_at"),
    ("customer", "external_id", "updated_at"),
    ("customer_setting", "customer_id", "set_at"),
)


class _Found(NamedTuple):
    customer_id: str
    item: ExceptionItem


@dataclass(frozen=True, slots=True)
class ListedException:
    """An exception with the names people know it by."""

    row: ExceptionRow
    company: Connection
    customer: str
    number: str

    @property
    def key(self) -> str:
        """Return the key that a form sends back."""
        return "|".join([str(self.row.connection_id), self.row.code, self.row.customer_id, self.row.invoice_id])

    @property
    def id(self) -> str:
        """Return the id used by the commands and the API."""
        return f"{self.company.short_name}:{self.row.code}:{self.row.invoice_id or self.row.customer_id}"


@dataclass(frozen=True, slots=True)
class ExceptionDetails:
    """An exception as the commands and the API show it."""

    id: str
    connection: str
    code: str
    customer: str
    customer_id: str
    invoice: str
    reason: str


def scan(ctx: RunContext) -> None:
    """Scan the customers whose ledger has changed since the last scan, the first time all of them."""
    if ctx.dry_run:
        return
    with ctx.reading() as session:
        connection = ctx.connection(session)
        last_scan = session.get(KeyValue, (ctx.connection_id, _STORE_KEY))
        decided_at = connection.decided_at.isoformat() if connection.decided_at else ""
        is_scanned = last_scan is not None and last_scan.value.get("decided_at") == decided_at
        if is_scanned and ctx.tally["unchanged"] and _is_scanned(connection, last_scan):
            return  # all decisions stand, so nothing is held for longer either
    with ctx.writing() as session:
        set_aside_records.create_tasks(ctx.app, session, ctx.connection_id)
        connection = ctx.connection(session)
        new = unreadable_records.update_exceptions(session, connection, ctx.now())
        new += long_holds.update_exceptions(session, connection, ctx.now())
        last_scan = session.get(KeyValue, (ctx.connection_id, _STORE_KEY))
        if last_scan is not None:
            last_scan.value = {**last_scan.value, "decided_at": decided_at}
        if new:
            _log_new(ctx, session, new)
    with ctx.reading() as session:
        connection = ctx.connection(session)
        last_scan = session.get(KeyValue, (ctx.connection_id, _STORE_KEY))
        if _is_scanned(connection, last_scan):
            return
        changed = _changed_customers(session, connection, last_scan)
        found = _scan_customers(session, connection, changed, ctx.now())
        version, synced_at = connection.mirror_version, connection.synced_at or ctx.now()
        shared = mailboxes.load_shared_addresses(session, connection)
        sharing = shared.fingerprint
    with ctx.writing() as session:
        new = placeholder_addresses.update_exceptions(session, connection, shared.placeholders, ctx.now())
        new += _store_exceptions(session, ctx.connection_id, changed, found, ctx.now())
        value = {
            "mirror_version": version,
            "synced_at": synced_at.isoformat(),
            "shared_addresses": sharing,
            "decided_at": decided_at,
        }
        session.merge(KeyValue(connection_id=ctx.connection_id, name=_STORE_KEY, value=value, stored_at=ctx.now()))
        if new:
            _log_new(ctx, session, new)


def _is_scanned(connection: Connection, last_scan: KeyValue | None) -> bool:
    return last_scan is not None and last_scan.value["mirror_version"] == connection.mirror_version


def list_open(session: Session, companies: Collection[int], *, size: int, offset: int = 0) -> list[ListedException]:
    """List the exceptions that nobody has marked as correct, newest first."""
    query = (
        select(ExceptionRow, Connection, col(CustomerRow.name), col(InvoiceRow.number))
        .join(Connection, col(Connection.id) == col(ExceptionRow.connection_id))
        .outerjoin(
            CustomerRow,
            (col(CustomerRow.connection_id) == col(ExceptionRow.connection_id))
            & (col(CustomerRow.external_id) == col(ExceptionRow.customer_id)),
        )
        .outerjoin(
            InvoiceRow,
            (col(InvoiceRow.connection_id) == col(ExceptionRow.connection_id))
            & (col(InvoiceRow.external_id) == col(ExceptionRow.invoice_id)),
        )
        .where(col(ExceptionRow.connection_id).in_(list(companies)), col(ExceptionRow.resolved_at).is_(None))
        .order_by(
            col(ExceptionRow.since_at).desc(),
            *(col(each) for each in (ExceptionRow.connection_id, ExceptionRow.customer_id, ExceptionRow.code)),
            col(ExceptionRow.invoice_id),
        )
    )
    rows = session.execute(query.limit(size).offset(offset))
    return [ListedException(row, company, name or "", number or "") for row, company, name, number in rows]


def list_exceptions(app: AppContext, connection_id: int | None) -> list[ExceptionDetails]:
    """List the open exceptions of one company, or with None of every connected one."""
    with reading(app.engine) as session:
        companies = list_connected(session) if connection_id is None else [find_connection(session, connection_id)]
        rows = list_open(session, [row.id or 0 for row in companies], size=LIST_MAX)
        return [
            ExceptionDetails(
                id=each.id,
                connection=each.company.short_name,
                code=each.row.code,
                customer=each.customer,
                customer_id=each.row.customer_id,
                invoice=each.number,
                reason=each.row.reason,
            )
            for each in rows
        ]


def list_about(session: Session, invoice: InvoiceRow, emails: Collection[str]) -> list[str]:
    """Return what is unusual about an invoice, its customer or their addresses, as far as nobody has said it is not."""
    query = select(ExceptionRow).where(
        col(ExceptionRow.connection_id) == invoice.connection_id,
        col(ExceptionRow.customer_id).in_([invoice.customer_id, ""]),
        col(ExceptionRow.resolved_at).is_(None),
    )
    addresses = {each.casefold() for each in emails}
    return [
        row.reason
        for row in session.scalars(query.order_by(col(ExceptionRow.code)))
        if (row.customer_id and row.invoice_id in {"", invoice.external_id})
        or (row.code == ExceptionCode.PROBABLE_PLACEHOLDER and row.invoice_id in addresses)
    ]


def find_exception(session: Session, key: str) -> ExceptionRow | None:
    """Return the exception with a form's key; None where there is none (any more)."""
    parts = key.split("|")
    if len(parts) != 4 or not parts[0].isdecimal() or len(parts[0]) > 18:
        return None
    connection_id, code, customer_id, invoice_id = parts
    return session.get(ExceptionRow, (int(connection_id), customer_id, code, invoice_id))


def mark_correct(session: Session, row: ExceptionRow, *, by: str, at: datetime) -> None:
    """Mark an exception as correct: it is not listed again, unless it disappears and comes back."""
    row.resolved_at, row.resolved_by = at, by
    sync_log.write(
        session,
        at=at,
        kind=LogKind.EXCEPTION_RESOLVED,
        text=f"Marked as correct by {by}: {row.reason}",
        connection_id=row.connection_id,
        customer_id=row.customer_id,
        invoice_id=row.invoice_id,
    )


def _changed_customers(session: Session, connection: Connection, last_scan: KeyValue | None) -> set[str] | None:
    """Return the ids of the customers with changes since the last scan, or None to scan all."""
    if last_scan is None:
        return None
    since = datetime.fromisoformat(last_scan.value["synced_at"]) - _OVERLAP
    queries = []
    for name, customer, changed_at in _CHANGES:
        columns = SQLModel.metadata.tables[name].c
        has_changed = (columns.connection_id == connection.id) & (columns[changed_at] >= since)
        queries.append(select(columns[customer]).where(has_changed))
    changed = set(session.scalars(union(*queries)))
    changed = load_families(session, connection.id or 0).with_relatives(changed)
    sharing = mailboxes.load_shared_addresses(session, connection)
    if sharing.fingerprint != last_scan.value["shared_addresses"]:  # an address is no longer shared, or has come to be
        changed |= {peer for each in changed for peer in sharing.peers.get(each, ())} | set(
            session.scalars(
                select(col(ExceptionRow.customer_id)).where(
                    col(ExceptionRow.connection_id) == connection.id,
                    col(ExceptionRow.code) == ExceptionCode.PROBABLE_DUPLICATE,
                    col(ExceptionRow.invoice_id) == "",
                )
            )
        )
    return changed if len(changed) < _FULL_SCAN_FROM else None


def _scan_customers(session: Session, connection: Connection, changed: set[str] | None, now: datetime) -> list[_Found]:
    found: list[_Found] = []
    for statements in load_statements(
        session, connection, now=now, customer_ids=changed, closed_days=WHOLE_HISTORY_DAYS
    ):
        customer = statements[0].customer
        invoices = [invoice for statement in statements for invoice in statement.invoices]
        credits = [credit for statement in statements for credit in statement.credits]
        found += [_Found(customer.id, item) for item in find_exceptions(customer, invoices, credits)]
    return found


def _store_exceptions(
    session: Session, connection_id: int, changed: set[str] | None, found: Sequence[_Found], at: datetime
) -> list[ExceptionRow]:
    """Make the stored exceptions of the scanned customers equal to those found; returns the new ones."""
    scanned: ColumnElement[bool] = col(ExceptionRow.code).not_in(_OF_NO_STATEMENT)
    if changed is not None:
        scanned = and_(scanned, col(ExceptionRow.customer_id).in_(changed))
    reasons = {ExceptionKey(customer_id, item.code, item.invoice_id): item.reason for customer_id, item in found}
    return replace_exceptions(session, connection_id, scanned, reasons, at)


def _log_new(ctx: RunContext, session: Session, new: Sequence[ExceptionRow]) -> None:
    ctx.tally["exceptions"] += len(new)
    first, facts = new[0], {"count": len(new)}
    if len(new) > 1:
        text = f"{len(new)} new exceptions. The first: {first.reason}"
        ctx.log(session, LogKind.EXCEPTION, text, facts=facts)
        return
    # Of a company's own exception the address stands in the place of an invoice.
    ids = {"customer_id": first.customer_id, "invoice_id": first.invoice_id} if first.customer_id else {}
    ctx.log(session, LogKind.EXCEPTION, first.reason, facts=facts, **ids)
