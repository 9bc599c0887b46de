"""Applications: how much of which payment or credit is applied to which invoice, replaced page by page."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Connection as Database
from sqlmodel import SQLModel

from connector.sync.mirror import former_applications, write_offs
from connector.sync.mirror.upserts import STORAGE, SqlRow, Storage, build_rows, upsert_text
from policies.receivables import CreditKind
from providers.ledger import ChangePage, MalformedRecord, RecordKind

_TABLE = SQLModel.metadata.tables["application"]
_Key = tuple[str, str, str]  # source kind, source id, invoice id
_IN_LIST = {"sqlite": "IN (SELECT value FROM json_each(?))", "postgresql": "= ANY(%s)"}
_STORAGE_ERRORS = (ValueError, TypeError, AttributeError, OverflowError)  # what an amount or a date can raise
_PLACEHOLDER = {"sqlite": "?", "postgresql": "%s"}


def replace_applications(
    database: Database,
    connection_id: int,
    page: ChangePage,
    outdated: Collection[tuple[str, str]],
    at: datetime,
) -> int:
    """Replace the applications of a page's invoices and sources by the page's, and return how many changed.

    They are compared first, so that the many that are unchanged cost no write. ``outdated`` documents (kind, id), of
    which the mirror has newer versions, are ignored. ``at`` is when the page was read.
    """
    if outdated:
        page = _without_outdated(page, outdated)
    wanted = write_offs.mark(database, connection_id, _wanted(database, connection_id, page))
    known = {_key(row): row for row in _known(database, connection_id, page)}
    removed = [(connection_id, *key) for key in known if key not in wanted]
    new = [row for key, row in wanted.items() if known.get(key) != row]
    dialect = database.dialect.name
    undone = {key[2] for key, row in known.items() if _is_undone(row, wanted.get(key))}
    if undone:
        former_applications.keep(database, connection_id, undone, at)
    if removed:
        database.exec_driver_sql(_delete_text(dialect), removed)
    changed = database.exec_driver_sql(upsert_text("application", dialect), new).rowcount if new else 0
    return len(removed) + changed


def _is_undone(known: SqlRow, wanted: SqlRow | None) -> bool:
    """Return whether an application was deleted, made later or made smaller: ``row[4:6]`` are its date and amount."""
    return wanted is None or wanted[4] > known[4] or wanted[5] < known[5]


def delete_of_source(database: Database, connection_id: int, kind: str, external_id: str, at: datetime) -> None:
    """Delete the applications of a payment or credit that was deleted, which is known since ``at``."""
    former_applications.keep_of_source(database, connection_id, kind, external_id, at)
    company = _TABLE.delete().where(_TABLE.c.connection_id == connection_id)
    database.execute(company.where(_TABLE.c.source_kind == kind, _TABLE.c.source_id == external_id))


def delete_of_invoice(database: Database, connection_id: int, invoice_id: str) -> None:
    """Delete the applications to an invoice that was deleted."""
    company = _TABLE.delete().where(_TABLE.c.connection_id == connection_id)
    database.execute(company.where(_TABLE.c.invoice_id == invoice_id))


def _without_outdated(page: ChangePage, outdated: Collection[tuple[str, str]]) -> ChangePage:
    return ChangePage(
        cursor=page.cursor,
        applications=[
            each for each in page.applications if each[:2] not in outdated and ("invoice", each[2]) not in outdated
        ],
        replaced_invoice_ids=[one for one in page.replaced_invoice_ids if ("invoice", one) not in outdated],
        replaced_sources=[one for one in page.replaced_sources if one not in outdated],
        malformed=page.malformed,
    )


def _wanted(database: Database, connection_id: int, page: ChangePage) -> dict[_Key, SqlRow]:
    storage = STORAGE[database.dialect.name]
    if not page.applications:
        return {}
    try:
        return {_key(row): row for row in build_rows("application", connection_id, page.applications, storage)}
    except _STORAGE_ERRORS:
        return _wanted_one_by_one(page, connection_id, storage)


def _wanted_one_by_one(page: ChangePage, connection_id: int, storage: Storage) -> dict[_Key, SqlRow]:
    rows: dict[_Key, SqlRow] = {}
    for record in page.applications:
        try:
            (row,) = build_rows("application", connection_id, [record], storage)
        except _STORAGE_ERRORS as error:
            raw = repr(record).encode("utf-8", "backslashreplace")
            page.malformed.append(
                MalformedRecord(RecordKind.APPLICATION, ":".join(map(str, record[:3])), str(error), raw)
            )
        else:
            rows[_key(row)] = row
    return rows


def _known(database: Database, connection_id: int, page: ChangePage) -> Iterable[SqlRow]:
    """Read what is stored for the page's invoices, for its sources, and for each pair that the page names."""
    invoices, sources = set(page.replaced_invoice_ids), set(page.replaced_sources)
    if invoices:
        yield from _select(database, "invoice_id", (connection_id,), invoices)
    others = {record[:3] for record in page.applications if record[2] not in invoices}
    by_kind: defaultdict[CreditKind, set[str]] = defaultdict(set)
    for kind, external_id in [*sources, *(other[:2] for other in others)]:
        by_kind[kind].add(external_id)
    for kind, ids in by_kind.items():
        found = _select(database, "source_id", (connection_id, kind), ids)
        yield from (row for row in found if row[1:3] in sources or row[1:4] in others)


def _select(database: Database, column: str, fixed: SqlRow, ids: Collection[str]) -> list[SqlRow]:
    dialect = database.dialect.name
    members = json.dumps(list(ids)) if dialect == "sqlite" else list(ids)
    return [tuple(row) for row in database.exec_driver_sql(_select_text(dialect, column), (*fixed, members))]


def _key(row: SqlRow) -> _Key:
    return row[1], row[2], row[3]


@lru_cache(maxsize=4)
def _select_text(dialect: str, column: str) -> str:
    fixed = (
        ("connection_id",) if column == "invoice_id" else ("connection_id", "source_kind")
    )  # in the order of the index
    conditions = [f"{name} = {_PLACEHOLDER[dialect]}" for name in fixed] + [f"{column} {_IN_LIST[dialect]}"]
    columns = "connection_id, source_kind, source_id, invoice_id, applied_on, amount_e4, credited_e4, adjusted_e4"
    return f"SELECT {columns} FROM application WHERE {' AND '.join(conditions)}"  # noqa: S608 - names, no values


@lru_cache(maxsize=2)
def _delete_text(dialect: str) -> str:
    conditions = [f"{column.name} = {_PLACEHOLDER[dialect]}" for column in _TABLE.primary_key]
    return f"DELETE FROM application WHERE {' AND '.join(conditions)}"  # noqa: S608 - names, no values
