"""How records become rows: the upsert of each mirror table, compiled once, and the tuples that go into it.

Fifty thousand records pass here in seconds, so there is no object per row and no statement per row: one text per table
and database, run with a list of tuples. They hold what the columns hold: amounts in e4, and on SQLite dates as text.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Dialect, Table, and_, or_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlmodel import SQLModel

import connector.tables  # noqa: F401  # fills the metadata
from connector.money import to_e4
from policies.receivables import InvoiceStatus
from providers.ledger import (
    ApplicationRecord,
    CreditRecord,
    CustomerRecord,
    InvoiceRecord,
    Malformed,
    PaymentRecord,
)

SqlRow = tuple[Any, ...]
_NOT_COMPARED = {"seen_at"}  # when a row was seen says nothing about whether it differs
_OPEN = InvoiceStatus.OPEN.value


class Storage(NamedTuple):
    """How one database stores dates and instants."""

    day: Callable[[date | None], Any]
    instant: Callable[[datetime], Any]


def _day_text(on: date | None) -> str | None:
    return None if on is None else on.isoformat()


def _instant_text(at: datetime) -> str:
    return _utc(at).isoformat(" ", "microseconds")[:26]


def _day_itself(on: date | None) -> date | None:
    return on


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        message = f"a naive datetime cannot be stored: {at!r}"
        raise ValueError(message)
    return at if at.tzinfo is UTC else at.astimezone(UTC)


STORAGE = {"sqlite": Storage(_day_text, _instant_text), "postgresql": Storage(_day_itself, _utc)}
_DIALECTS: dict[str, Callable[[], Dialect]] = {
    "sqlite": sqlite.dialect,
    "postgresql": lambda: PGDialect_psycopg(paramstyle="format"),  # type: ignore[no-untyped-call]
}


@lru_cache(maxsize=32)
def upsert_text(table_name: str, dialect_name: str) -> str:
    """Compile the upsert of a table: insert, or overwrite a row that is not newer and differs in something."""
    table = SQLModel.metadata.tables[table_name]
    insert = (sqlite.insert if dialect_name == "sqlite" else postgresql.insert)(table)
    values = [column.name for column in table.columns if not column.primary_key]
    new = insert.excluded
    condition = or_(*(table.c[name].is_distinct_from(new[name]) for name in values if name not in _NOT_COMPARED))
    if "updated_at" in table.c:
        condition = and_(or_(table.c.updated_at.is_(None), new.updated_at >= table.c.updated_at), condition)
    statement = insert.on_conflict_do_update(
        table.primary_key, set_={name: new[name] for name in values}, where=condition
    )
    return str(statement.compile(dialect=_DIALECTS[dialect_name](), column_keys=_column_names(table)))


def _column_names(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def customer_row(connection_id: int, record: CustomerRecord, to: Storage) -> SqlRow:
    """Make the row of table ``customer``."""
    return (
        connection_id,
        record.external_id,
        record.name,
        record.contact_name,
        record.emails,
        record.country,
        record.region,
        record.language,
        record.active,
        record.merged_into,
        False,
        to.instant(record.updated_at),
    )


def invoice_row(connection_id: int, record: InvoiceRecord, to: Storage) -> SqlRow:
    """Make the row of table ``invoice``; it is open when it is authorised and something is due."""
    day = to.day
    due_e4 = to_e4(record.due)
    discount = record.discount_amount
    return (
        connection_id,
        record.external_id,
        record.number,
        record.customer_id,
        record.currency,
        day(record.issued_on),
        day(record.due_on),
        to_e4(record.total),
        due_e4,
        record.status,
        record.status == _OPEN and due_e4 > 0,
        record.sent_to_customer,
        day(record.settled_on),
        day(record.promised_on),
        None if discount is None else to_e4(discount),
        day(record.discount_until_on),
        record.reference,
        record.ledger_fee,
        record.version,
        record.lines,
        to.instant(record.updated_at),
    )


def payment_row(connection_id: int, record: PaymentRecord, to: Storage) -> SqlRow:
    """Make the row of table ``payment``."""
    return (
        connection_id,
        record.external_id,
        record.customer_id,
        record.currency,
        to.day(record.paid_on),
        to_e4(record.total),
        to_e4(record.unapplied),
        to.instant(record.updated_at),
    )


def credit_row(connection_id: int, record: CreditRecord, to: Storage) -> SqlRow:
    """Make the row of table ``credit``."""
    return (
        connection_id,
        record.kind,
        record.external_id,
        record.number,
        record.customer_id,
        record.currency,
        to.day(record.dated_on),
        to_e4(record.total),
        to_e4(record.remaining),
        to.instant(record.updated_at),
    )


def application_row(connection_id: int, record: ApplicationRecord, to: Storage) -> SqlRow:
    """Make the row of table ``application``."""
    return (
        connection_id,
        record.source_kind,
        record.source_id,
        record.invoice_id,
        to.day(record.applied_on),
        to_e4(record.amount),
    )


def malformed_row(connection_id: int, record: Malformed, to: Storage, seen_at: datetime) -> SqlRow:
    """Make the row of table ``malformed_record``."""
    return (connection_id, record.kind, record.external_id, record.why, record.raw, to.instant(seen_at))
