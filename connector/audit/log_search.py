"""Finds lines of the sync log and runs for a person: filtered, newest first, paged by id and never by counting."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlmodel import Session, col

from connector.db.paging import matches_keys
from connector.db.tables import Connection, CustomerRow, InvoiceRow, SyncLogEntry, SyncRun

PAGE_SIZE = 50
_MATCHES_MAX = 500  # customers or invoices that a name may stand for
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What is looked for. ``companies`` None means all, and what belongs to none."""

    company_ids: Collection[int] | None = None
    run_id: int | None = None
    kind: str = ""
    kinds: Collection[str] = ()  # one of these, where more than one is wanted
    customer: str = ""  # part of a name, or an id
    invoice: str = ""  # a number, or an id
    text: str = ""
    since_at: datetime | None = None
    until_at: datetime | None = None
    before_id: int | None = None
    after_id: int | None = None


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of it, newest first; ``older`` and ``newer`` are the ids to go on from, None at an end."""

    rows: Sequence[Any]
    older_id: int | None
    newer_id: int | None


def find_log_page(session: Session, log_filter: LogFilter, *, size: int = PAGE_SIZE) -> LogPage:
    """Find a page of lines."""
    query = _lines_query(session, log_filter)
    return LogPage([], None, None) if query is None else _fetch_page(session, query, SyncLogEntry, log_filter, size)


def iter_lines(session: Session, log_filter: LogFilter, limit: int) -> Iterator[SyncLogEntry]:
    """Go through all lines, newest first, ``most`` at most; a chunk in memory at a time."""
    query, left = _lines_query(session, log_filter), limit
    while query is not None and left > 0:
        found = _fetch_page(session, query, SyncLogEntry, log_filter, min(_CHUNK, left))
        yield from found.rows
        left -= len(found.rows)
        if found.older_id is None:
            return
        log_filter = replace(log_filter, before_id=found.older_id)


def find_run_page(session: Session, log_filter: LogFilter, *, size: int = PAGE_SIZE) -> LogPage:
    """Find a page of runs; of what is wanted, companies and time count."""
    query = select(SyncRun)
    if log_filter.company_ids is not None:
        query = query.where(_in_companies(col(SyncRun.connection_id), log_filter.company_ids))
    if log_filter.since_at is not None:
        query = query.where(col(SyncRun.started_at) >= log_filter.since_at)
    if log_filter.until_at is not None:
        query = query.where(col(SyncRun.started_at) < log_filter.until_at)
    return _fetch_page(session, query, SyncRun, log_filter, size)


def as_dict(row: SyncLogEntry, connection: str) -> dict[str, Any]:
    """Show a line as the JSON surface does."""
    names = ("kind", "run_id", "customer_id", "invoice_id", "text")
    shown = {name: getattr(row, name) for name in names}
    return {"id": row.id, "at": row.at, "connection": connection, **shown, "facts": json.loads(row.facts)}


def run_as_dict(row: SyncRun, connection: str) -> dict[str, Any]:
    """Show a run as the JSON surface does."""
    names = ("started_at", "ended_at", "outcome", "reason", "dry_run", "counts")
    return {"id": row.id, "connection": connection, **{name: getattr(row, name) for name in names}}


def count_lines_by_kind(session: Session, run_id: int) -> dict[str, int]:
    """Count the lines of a run by kind."""
    query = select(col(SyncLogEntry.kind), func.count()).where(col(SyncLogEntry.run_id) == run_id)
    return {kind: int(count) for kind, count in session.execute(query.group_by(col(SyncLogEntry.kind)))}


def find_running(session: Session, companies: Sequence[Connection], now: datetime) -> list[SyncRun]:
    """Find the runs that go on at this moment; without any, nothing is asked."""
    held = [row.id for row in companies if row.lease_until_at is not None and row.lease_until_at > now]
    if not held:
        return []
    query = select(SyncRun).where(col(SyncRun.connection_id).in_(held), col(SyncRun.ended_at).is_(None))
    return list(session.scalars(query.order_by(col(SyncRun.id).desc()).limit(len(held))))


def names_of(session: Session, rows: Sequence[SyncLogEntry]) -> dict[int, tuple[str, str]]:
    """Give the customer's name and the invoice's number of lines, by the line's id; "" where there is none."""
    customers = {(row.connection_id, row.customer_id) for row in rows if row.customer_id}
    invoices = {(row.connection_id, row.invoice_id) for row in rows if row.invoice_id}
    names = _labels_by_key(session, CustomerRow, CustomerRow.name, customers)
    numbers = _labels_by_key(session, InvoiceRow, InvoiceRow.number, invoices)
    return {
        row.id or 0: (
            names.get((row.connection_id, row.customer_id), ""),
            numbers.get((row.connection_id, row.invoice_id), ""),
        )
        for row in rows
    }


def _labels_by_key(
    session: Session, table: Any, label: Any, keys: Collection[tuple[int | None, str]]
) -> dict[tuple[int | None, str], str]:
    if not keys:
        return {}
    query = select(table.connection_id, table.external_id, label)
    query = query.where(matches_keys(table.connection_id, table.external_id, keys))
    return {(row[0], row[1]): row[2] for row in session.execute(query)}


def _lines_query(session: Session, log_filter: LogFilter) -> Select[SyncLogEntry] | None:
    """Say it in SQL; None where a name stands for nobody, so that nothing can be found."""
    query = select(SyncLogEntry).where(*_line_conditions(log_filter))
    if log_filter.company_ids is not None and not (
        log_filter.customer or log_filter.invoice
    ):  # whose names say their companies
        query = query.where(
            _in_companies(col(SyncLogEntry.connection_id), log_filter.company_ids, use_index=log_filter.run_id is None)
        )
    for name, table, column, known in (
        (log_filter.customer, CustomerRow, SyncLogEntry.customer_id, CustomerRow.name),
        (log_filter.invoice, InvoiceRow, SyncLogEntry.invoice_id, InvoiceRow.number),
    ):
        if name:
            meant = _find_matches(session, table, known, name, log_filter.company_ids)
            if not meant:
                return None
            query = query.where(matches_keys(col(SyncLogEntry.connection_id), col(column), meant))
    return query


def _line_conditions(log_filter: LogFilter) -> list[Any]:
    """Say what is asked of each line by itself."""
    asked: list[tuple[bool, Callable[[], Any]]] = [
        (log_filter.run_id is not None, lambda: col(SyncLogEntry.run_id) == log_filter.run_id),
        (bool(log_filter.kind), lambda: col(SyncLogEntry.kind) == log_filter.kind),
        (bool(log_filter.kinds), lambda: col(SyncLogEntry.kind).in_(list(log_filter.kinds))),
        (bool(log_filter.text), lambda: col(SyncLogEntry.text).icontains(log_filter.text, autoescape=True)),
        (log_filter.since_at is not None, lambda: col(SyncLogEntry.at) >= log_filter.since_at),
        (log_filter.until_at is not None, lambda: col(SyncLogEntry.at) < log_filter.until_at),
    ]
    return [condition() for is_asked, condition in asked if is_asked]


def _in_companies(column: Any, company_ids: Collection[int], *, use_index: bool = True) -> Any:
    """Say "of these companies" so that no year of lines is sorted for one page.

    One company's lines lie in order in its index. Those of several do not: there the newest lines are gone through and
    filtered, which the "+ 0" makes a database do; so does a run, whose few lines lie together (not ``apart``).
    """
    one = len(company_ids) == 1 and use_index
    return column == next(iter(company_ids)) if one else (column + 0).in_(list(company_ids))


def _find_matches(
    session: Session, table: Any, label: Any, name: str, company_ids: Collection[int] | None
) -> list[tuple[int, str]]:
    """Whom or what a name stands for: an id, or a number, or a part of a customer's name."""
    same = col(label).icontains(name, autoescape=True) if table is CustomerRow else col(label) == name
    query = select(table.connection_id, table.external_id).where(or_(same, table.external_id == name))
    if company_ids is not None:
        query = query.where(table.connection_id.in_(list(company_ids)))
    return [(row[0], row[1]) for row in session.execute(query.limit(_MATCHES_MAX))]


def _fetch_page(session: Session, query: Select[Any], table: Any, log_filter: LogFilter, size: int) -> LogPage:
    """Take one page on either side of an id; one row more than shown tells whether there is another page."""
    if log_filter.after_id is not None:
        rows = list(session.scalars(query.where(table.id > log_filter.after_id).order_by(table.id).limit(size + 1)))
        more, rows = len(rows) > size, rows[:size][::-1]
        return LogPage(rows, older_id=rows[-1].id if rows else None, newer_id=rows[0].id if more else None)
    if log_filter.before_id is not None:
        query = query.where(table.id < log_filter.before_id)
    rows = list(session.scalars(query.order_by(table.id.desc()).limit(size + 1)))
    more, rows = len(rows) > size, rows[:size]
    newer = rows[0].id if rows and log_filter.before_id is not None else None
    return LogPage(rows, older_id=rows[-1].id if more else None, newer_id=newer)
