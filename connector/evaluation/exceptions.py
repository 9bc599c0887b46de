"""What in the books is worth a person's eye: looked for where they changed, kept until mended or said to be right."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, union
from sqlmodel import Session, SQLModel, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.connections.registry import find_connection, list_connected
from connector.db.engine import reading
from connector.db.tables import Connection, CustomerRow, ExceptionRow, InvoiceRow, KeyValue
from connector.runtime.run_context import RunContext
from connector.sync.mirror.statements import WHOLE_HISTORY_DAYS, load_statements
from connector.vocabulary import LogKind
from policies.exception_checks import ExceptionItem, find_exceptions

_LAST_SCAN = "exceptions_scanned"
_OVERLAP = timedelta(hours=3)  # what changed while the books were read is looked at again
LIST_MAX = 10_000
_FULL_SCAN_FROM = 3000  # so many changed customers are looked at by looking at all
_TABLES = SQLModel.metadata.tables
_CHANGES = (
    ("invoice", "customer_id", "updated_at"),
    ("payment", "customer_id", "updated_at"),
    ("credit", "customer_id", "updated_at"),
    ("customer", "external_id", "updated_at"),
    ("customer_setting", "customer_id", "set_at"),
)


@dataclass(frozen=True, slots=True)
class ListedException:
    """An exception with the names a person knows it by."""

    row: ExceptionRow
    company: Connection
    customer: str
    number: str

    @property
    def key(self) -> str:
        """What a form names it by."""
        return "|".join([str(self.row.connection_id), self.row.code, self.row.customer_id, self.row.invoice_id])

    @property
    def id(self) -> str:
        """What the commands and the API name it by."""
        return f"{self.company.short_name}:{self.row.code}:{self.row.invoice_id or self.row.customer_id}"


def scan(ctx: RunContext) -> None:
    """Look at the customers whose books changed since the last look, the first time at all of them."""
    if ctx.dry_run:
        return
    with ctx.reading() as session:
        connection = ctx.connection(session)
        known = session.get(KeyValue, (ctx.connection_id, _LAST_SCAN))
        if known is not None and known.value["mirror_version"] == connection.mirror_version:
            return
        changed = _changed_customers(session, connection, known)
        found = _scan_customers(session, connection, changed, ctx.now())
        version, pulled_at = connection.mirror_version, connection.pulled_at or ctx.now()
    with ctx.writing() as session:
        news = _store_exceptions(session, ctx.connection_id, changed, found, ctx.now())
        value = {"mirror_version": version, "pulled_at": pulled_at.isoformat()}
        session.merge(KeyValue(connection_id=ctx.connection_id, name=_LAST_SCAN, value=value, stored_at=ctx.now()))
        if news:
            ctx.tally["exceptions"] += len(news)
            many = f"{len(news)} things in the books are worth a look. The first: " if len(news) > 1 else ""
            one = {"customer_id": news[0].customer_id, "invoice_id": news[0].invoice_id} if len(news) == 1 else {}
            ctx.log(session, LogKind.EXCEPTION, f"{many}{news[0].reason}", facts={"count": len(news)}, **one)


def list_open(session: Session, companies: Collection[int], *, size: int, offset: int = 0) -> list[ListedException]:
    """List a part of what nobody has said to be right, newest first."""
    standing = (col(ExceptionRow.connection_id).in_(list(companies)), col(ExceptionRow.resolved_at).is_(None))
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
        .where(*standing)
        .order_by(
            col(ExceptionRow.since_at).desc(),
            *(col(each) for each in (ExceptionRow.connection_id, ExceptionRow.customer_id, ExceptionRow.code)),
            col(ExceptionRow.invoice_id),
        )
    )
    rows = session.execute(query.limit(size).offset(offset))
    return [ListedException(row, company, name or "", number or "") for row, company, name, number in rows]


def list_for_output(app: AppContext, connection_id: int | None) -> list[dict[str, Any]]:
    """List all that stands, of one company or of every one that is connected, as the commands and the API show it."""
    with reading(app.engine) as session:
        found = list_connected(session) if connection_id is None else [find_connection(session, connection_id)]
        rows = list_open(session, [row.id or 0 for row in found], size=LIST_MAX)
        return [
            {
                "id": each.id,
                "connection": each.company.short_name,
                "code": each.row.code,
                "customer": each.customer,
                "customer_id": each.row.customer_id,
                "invoice": each.number,
                "reason": each.row.reason,
            }
            for each in rows
        ]


def count_by_company(session: Session, companies: Collection[int]) -> dict[int, int]:
    """Count them by company."""
    query = (
        select(col(ExceptionRow.connection_id), func.count())
        .where(col(ExceptionRow.connection_id).in_(list(companies)), col(ExceptionRow.resolved_at).is_(None))
        .group_by(col(ExceptionRow.connection_id))
    )
    return {connection_id: int(count) for connection_id, count in session.execute(query)}


def find_exception(session: Session, key: str) -> ExceptionRow | None:
    """Find one by what a form names it by; None where there is none (any more)."""
    parts = key.split("|")
    if len(parts) != 4 or not parts[0].isdecimal() or len(parts[0]) > 18:
        return None
    connection_id, code, customer_id, invoice_id = parts
    return session.get(ExceptionRow, (int(connection_id), customer_id, code, invoice_id))


def mark_correct(session: Session, row: ExceptionRow, *, by: str, at: datetime) -> None:
    """Keep that a person says it is right as it is: it is not shown again, unless it goes and comes back."""
    row.resolved_at, row.resolved_by = at, by
    sync_log.write(
        session,
        at=at,
        kind=LogKind.EXCEPTION,
        text=f"{by} says that this is right: {row.reason}",
        connection_id=row.connection_id,
        customer_id=row.customer_id,
        invoice_id=row.invoice_id,
    )


def _changed_customers(session: Session, connection: Connection, known: KeyValue | None) -> set[str] | None:
    """Name the customers whose facts are others than at the last look; None for all of them."""
    if known is None:
        return None
    since = datetime.fromisoformat(known.value["pulled_at"]) - _OVERLAP
    queries = []
    for name, customer, at in _CHANGES:
        table = _TABLES[name]
        queries.append(select(table.c[customer]).where(table.c.connection_id == connection.id, table.c[at] >= since))
    changed = set(session.scalars(union(*queries)))
    return changed if len(changed) < _FULL_SCAN_FROM else None


def _scan_customers(
    session: Session, connection: Connection, changed: set[str] | None, now: datetime
) -> list[tuple[str, ExceptionItem]]:
    found: list[tuple[str, ExceptionItem]] = []
    facts = load_statements(session, connection, now=now, customer_ids=changed, closed_days=WHOLE_HISTORY_DAYS)
    for statements in facts:
        customer = statements[0].customer
        invoices = [invoice for statement in statements for invoice in statement.invoices]
        credits = [credit for statement in statements for credit in statement.credits]
        found += [(customer.id, oddity) for oddity in find_exceptions(customer, invoices, credits)]
    return found


def _store_exceptions(
    session: Session,
    connection_id: int,
    changed: set[str] | None,
    found: Sequence[tuple[str, ExceptionItem]],
    at: datetime,
) -> list[ExceptionRow]:
    """Make what is kept equal to what was found about those looked at; returns what is new."""
    query: Any = select(ExceptionRow).where(col(ExceptionRow.connection_id) == connection_id)
    if changed is not None:
        query = query.where(col(ExceptionRow.customer_id).in_(changed))
    gone = {(row.customer_id, row.code, row.invoice_id): row for row in session.scalars(query)}
    news: dict[tuple[str, str, str], ExceptionRow] = {}
    for customer_id, oddity in found:
        key = (customer_id, oddity.code, oddity.invoice_id)
        row = gone.pop(key, None)
        if row is not None:
            row.reason = oddity.reason
        elif key not in news:
            news[key] = ExceptionRow(
                connection_id=connection_id,
                customer_id=customer_id,
                code=oddity.code,
                invoice_id=oddity.invoice_id,
                reason=oddity.reason,
                since_at=at,
            )
    for row in gone.values():
        session.delete(row)
    session.add_all(news.values())
    return list(news.values())
