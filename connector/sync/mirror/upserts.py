"""From records to rows: the upsert of each mirror table, compiled once, and the tuples that go into it.

A first load upserts tens of thousands of records in seconds. So there is neither an object nor a statement per row: one
statement per table and database is executed with a list of tuples, which are built column by column. They hold what the
database stores: amounts in ten-thousandths, and on SQLite dates as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Dialect, Table, and_, case, func, literal_column, not_, or_
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlmodel import SQLModel

import connector.db.tables  # noqa: F401  # fills the metadata
from connector.db.money import to_e4_column
from connector.plain_text import one_line
from policies.receivables import InvoiceStatus
from providers.import_lock import IMPORT_LOCK
from providers.ledger import (
    ApplicationRecord,
    CreditRecord,
    CustomerRecord,
    InvoiceRecord,
    MalformedRecord,
    PaymentRecord,
)

Values = Sequence[Any]  # of a column
SqlRow = tuple[Any, ...]
DatedRecord = CustomerRecord | InvoiceRecord | PaymentRecord | CreditRecord  # with an id and an instant of change
Record = DatedRecord | ApplicationRecord
# Columns that do not make a row a different one
_NOT_COMPARED = {"seen_at", "balance_at", "known_at", "sent_at", "earliest_due_on", "due_changed_at"} | {
    "raised_at",
    "former_total_e4",
}
# As SQL text, because a compiled upsert has only the parameters of its row
_NOT_OWED: tuple[ColumnElement[Any], ...] = tuple(
    literal_column(f"'{status}'") for status in (InvoiceStatus.DRAFT, InvoiceStatus.VOIDED, InvoiceStatus.DELETED)
)
# The due date in force as an instant on that day, from Hawaii to New Zealand
_INSTANT_OF_DUE_DATE: dict[str, ColumnElement[Any]] = {
    "sqlite": literal_column("invoice.due_on || ' 10:30:00.000000'"),
    "postgresql": literal_column("((invoice.due_on + time '10:30') at time zone 'UTC')"),
}
_NUMBER_LENGTH_MAX = 1000
_WITH_FRACTION = len("2026-11-21T12:00:00.250000Z")


class Storage(NamedTuple):
    """How a database stores dates and instants."""

    dates: Callable[[Values], Values]
    instants: Callable[[Values], Values]


def _dates_as_text(column: Values) -> Values:
    return msgspec.to_builtins(column)  # type: ignore[no-any-return]  # the fastest conversion to ISO text


def _instants_as_text(column: Values) -> Values:
    texts = msgspec.to_builtins(_instants_in_utc(column))
    return [f"{at[:10]} {at[11:-1]}{'' if len(at) == _WITH_FRACTION else '.000000'}" for at in texts]


def _unchanged(column: Values) -> Values:
    return column


def _instants_in_utc(column: Values) -> Values:
    zones = {at.tzinfo for at in column}
    if None in zones:
        message = "an instant without a time zone cannot be stored"
        raise ValueError(message)
    return column if zones == {UTC} else [at.astimezone(UTC) for at in column]


STORAGE = {
    "sqlite": Storage(_dates_as_text, _instants_as_text),
    "postgresql": Storage(_unchanged, _instants_in_utc),
}


@lru_cache(maxsize=32)
def upsert_text(table_name: str, dialect_name: str) -> str:
    """Compile the upsert of a table: insert a row, or overwrite one that is not newer and differs."""
    table = SQLModel.metadata.tables[table_name]
    dialect, make_insert = _load_dialect(dialect_name)
    insert = make_insert(table)
    values = [column.name for column in table.columns if not column.primary_key]
    new = insert.excluded
    condition = or_(*(table.c[name].is_distinct_from(new[name]) for name in values if name not in _NOT_COMPARED))
    if "updated_at" in table.c:
        condition = and_(or_(table.c.updated_at.is_(None), new.updated_at >= table.c.updated_at), condition)
    changes: dict[str, ColumnElement[Any]] = {name: new[name] for name in values}
    if table_name == "invoice":
        changes |= _date_changes(table, new, dialect_name)
    statement = insert.on_conflict_do_update(table.primary_key, set_=changes, where=condition)
    return str(statement.compile(dialect=dialect, column_keys=[column.name for column in table.columns]))


def _load_dialect(name: str) -> tuple[Dialect, Callable[[Table], Any]]:
    """Return a dialect and its insert; the module of the database that is not used is not loaded."""
    if name == "sqlite":
        with IMPORT_LOCK:
            from sqlalchemy.dialects import sqlite  # noqa: PLC0415

        return sqlite.dialect(), sqlite.insert
    with IMPORT_LOCK:
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415
        from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg  # noqa: PLC0415

    return PGDialect_psycopg(paramstyle="format"), postgresql.insert  # type: ignore[no-untyped-call]


def _date_changes(
    old: Table, new: ReadOnlyColumnCollection[str, ColumnElement[Any]], dialect_name: str
) -> dict[str, ColumnElement[Any]]:
    """Return what a newer version of an invoice changes about since when the customer can know of it.

    Where an invoice that is late already gets an even earlier due date, that is still the date before. Of one that is
    raised when it is late, the least that it was for is kept.
    """
    earliest_on = func.coalesce(old.c.earliest_due_on, old.c.due_on)
    is_reopened = and_(old.c.status.in_(_NOT_OWED), new.status.not_in(_NOT_OWED))
    is_earlier = or_(new.due_on < earliest_on, and_(earliest_on.is_(None), new.due_on.is_not(None)))
    is_sent = and_(old.c.sent_to_customer.is_(False), new.sent_to_customer.is_(True))
    is_moved = new.due_on.is_distinct_from(old.c.due_on)
    due_at = _INSTANT_OF_DUE_DATE[dialect_name]
    late_at = case((old.c.known_at > due_at, old.c.known_at), else_=due_at)
    is_raised = and_(not_(is_reopened), new.total_e4 > old.c.total_e4, due_at < new.updated_at)
    is_less = or_(old.c.former_total_e4.is_(None), old.c.total_e4 < old.c.former_total_e4)
    least_e4 = case((is_less, old.c.total_e4), else_=old.c.former_total_e4)
    known_at = case((and_(not_(is_reopened), late_at < new.updated_at), late_at), else_=new.updated_at)
    return {
        "known_at": case((or_(is_reopened, is_earlier), known_at), else_=old.c.known_at),
        "sent_at": case((is_sent, new.updated_at), else_=old.c.sent_at),
        "earliest_due_on": case((or_(is_reopened, is_earlier), new.due_on), else_=earliest_on),
        "due_changed_at": case((is_moved, new.updated_at), else_=old.c.due_changed_at),
        "raised_at": case((is_raised, new.updated_at), else_=old.c.raised_at),
        "former_total_e4": case((is_raised, least_e4), else_=old.c.former_total_e4),
    }


Columns = Mapping[str, Values]
ColumnBuilder = Callable[[Columns, Storage], Values]


def _one_line(name: str) -> ColumnBuilder:
    """Return the builder of a column without invisible characters: a number of these alone is none."""
    return lambda columns, _to: [
        text if text.isprintable() else one_line(text, _NUMBER_LENGTH_MAX) for text in columns[name]
    ]


def _copied(name: str) -> ColumnBuilder:
    return lambda columns, _to: columns[name]


def _date(name: str) -> ColumnBuilder:
    return lambda columns, to: to.dates(columns[name])


def _instant(name: str) -> ColumnBuilder:
    return lambda columns, to: to.instants(columns[name])


def _instant_or_none(name: str) -> ColumnBuilder:
    return lambda columns, to: to.instants(columns[name]) if columns[name][0] is not None else columns[name]


def _none(columns: Columns, _to: Storage) -> Values:
    return [None] * len(columns["external_id"])


def _money(name: str) -> ColumnBuilder:
    return lambda columns, _to: to_e4_column(columns[name])


def _money_or_none(name: str) -> ColumnBuilder:
    def build(columns: Columns, _to: Storage) -> Values:
        amounts = columns[name]
        if amounts.count(None) == len(amounts):
            return amounts
        return [None if amount is None else to_e4_column([amount])[0] for amount in amounts]

    return build


def _is_open(columns: Columns, _to: Storage) -> Values:
    """Compute ``is_open``: the invoice is authorised and has a balance due."""
    return [
        status == InvoiceStatus.OPEN and due > 0 for status, due in zip(columns["status"], columns["due"], strict=True)
    ]


def _all_false(columns: Columns, _to: Storage) -> Values:
    return [False] * len(columns["external_id"])


_DOCUMENT = [_copied("customer_id"), _copied("currency")]
# In the order of the table's columns, after connection_id.
_COLUMN_BUILDERS: dict[str, list[ColumnBuilder]] = {
    "customer": [
        *map(_copied, ("external_id", "name", "contact_name", "emails", "country", "region", "language", "active")),
        _copied("merged_into"),
        _all_false,
        _instant("updated_at"),
        *map(_copied, ("groups", "parent_id", "bill_with_parent")),
        *map(_money_or_none, ("balance", "family_balance")),
        *map(_copied, ("balance_currency", "phones", "contacts")),
        _none,  # balance_at, set where the page is stored
    ],
    "invoice": [
        _copied("external_id"),
        _one_line("number"),
        *_DOCUMENT,
        *map(_date, ("issued_on", "due_on")),
        *map(_money, ("total", "due")),
        _copied("status"),
        _is_open,
        _copied("sent_to_customer"),
        *map(_date, ("closed_on", "promised_on")),
        _money_or_none("discount_amount"),
        _date("discount_until_on"),
        *map(_copied, ("reference", "ledger_fee", "version", "lines", "emails", "cc_emails", "bcc_emails")),
        _instant("updated_at"),
        _instant_or_none("created_at"),
        _none,
        _date("due_on"),
        *(_none, _none, _none),
    ],
    "payment": [
        _copied("external_id"),
        *_DOCUMENT,
        _date("paid_on"),
        *map(_money, ("total", "unapplied")),
        _instant("updated_at"),
    ],
    "credit": [
        *map(_copied, ("kind", "external_id")),
        _one_line("number"),
        *_DOCUMENT,
        _date("dated_on"),
        *map(_money, ("total", "remaining")),
        _instant("updated_at"),
    ],
    "application": [
        *map(_copied, ("source_kind", "source_id", "invoice_id")),
        _date("applied_on"),
        *map(_money, ("amount", "credited", "adjusted")),
    ],
}


def build_rows(table: str, connection_id: int, records: Sequence[Record], storage: Storage) -> list[SqlRow]:
    """Build the rows of a mirror table from records of its kind. Raises where one of them cannot be stored."""
    columns = dict(zip(records[0]._fields, zip(*records, strict=True), strict=True))
    return list(zip(repeat(connection_id), *(make(columns, storage) for make in _COLUMN_BUILDERS[table]), strict=False))


def build_malformed_row(connection_id: int, record: MalformedRecord, storage: Storage, seen_at: datetime) -> SqlRow:
    """Build the row of table ``malformed_record``."""
    (at,) = storage.instants([seen_at])
    return (connection_id, record.kind, record.external_id, record.reason, record.raw, at, record.customer_id)
