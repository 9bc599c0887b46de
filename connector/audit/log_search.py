"""Searches of the sync log and of runs: filtered, newest first, paged by id and never by counting."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlmodel import Session, col

from connector.db import invoice_names
from connector.db.ids import matches_keys
from connector.db.tables import Connection, CustomerRow, InvoiceRow, SyncLogEntry, SyncRun
from connector.results import Result
from connector.vocabulary import LogKind, RunOutcome

T = TypeVar("T", SyncLogEntry, SyncRun)

PAGE_SIZE = 50
_MATCHES_MAX = 500  # customers or invoices that a name may match


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What to search for; ``company_ids`` None means all companies, and entries that belong to none."""

    company_ids: Collection[int] | None = None
    run_id: int | None = None
    kind: str = ""
    kinds: Collection[str] = ()  # any of these, where there is more than one
    customer: str = ""  # part of a name, or an id
    invoice: str = ""  # a number, or an id
    text: str = ""
    since_at: datetime | None = None
    until_at: datetime | None = None
    before_id: int | None = None
    after_id: int | None = None


@dataclass(frozen=True, slots=True)
class LogPage(Generic[T]):
    """A page of rows, newest first; ``older_id`` and ``newer_id`` are where the next pages begin, None at an end."""

    rows: Sequence[T]
    older_id: int | None
    newer_id: int | None


class LogEntryItem(Result):
    """An entry of the sync log."""

    id: int
    at: datetime
    connection: str
    kind: str
    run_id: int | None
    customer_id: str
    invoice_id: str
    text: str
    facts: dict[str, JsonValue]


class RunItem(Result):
    """A run of a connection; ``outcome`` is None while it is under way."""

    id: int
    connection: str
    started_at: datetime
    ended_at: datetime | None
    outcome: RunOutcome | None
    reason: str
    dry_run: bool
    counts: dict[str, int] | None


def find_log_page(session: Session, log_filter: LogFilter, *, size: int = PAGE_SIZE) -> LogPage[SyncLogEntry]:
    """Return a page of log entries."""
    query = _entries_query(session, log_filter)
    return LogPage([], None, None) if query is None else _fetch_page(session, query, SyncLogEntry, log_filter, size)


def find_run_page(session: Session, log_filter: LogFilter, *, size: int = PAGE_SIZE) -> LogPage[SyncRun]:
    """Return a page of runs; of the filter only companies, times and ids apply."""
    query = select(SyncRun)
    if log_filter.company_ids is not None:
        query = query.where(in_companies(col(SyncRun.connection_id), log_filter.company_ids))
    if log_filter.since_at is not None:
        query = query.where(col(SyncRun.started_at) >= log_filter.since_at)
    if log_filter.until_at is not None:
        query = query.where(col(SyncRun.started_at) < log_filter.until_at)
    return _fetch_page(session, query, SyncRun, log_filter, size)


def as_item(row: SyncLogEntry, connection: str) -> LogEntryItem:
    """Return a log entry as the API and the command line show it."""
    return LogEntryItem(
        id=row.id or 0,
        at=row.at,
        connection=connection,
        kind=row.kind,
        run_id=row.run_id,
        customer_id=row.customer_id,
        invoice_id=row.invoice_id,
        text=row.text,
        facts=json.loads(row.facts),
    )


def run_as_item(row: SyncRun, connection: str) -> RunItem:
    """Return a run as the API shows it."""
    return RunItem(
        id=row.id or 0,
        connection=connection,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=row.outcome,
        reason=row.reason,
        dry_run=row.dry_run,
        counts=row.counts,
    )


def count_entries_by_kind(session: Session, run_id: int) -> dict[str, int]:
    """Return how many log entries of each kind a run wrote."""
    query = select(col(SyncLogEntry.kind), func.count()).where(col(SyncLogEntry.run_id) == run_id)
    return {kind: int(count) for kind, count in session.execute(query.group_by(col(SyncLogEntry.kind)))}


def find_running(session: Session, companies: Sequence[Connection], now: datetime) -> list[SyncRun]:
    """Return the runs under way; no query is made where no company holds a lease."""
    held = [row.id for row in companies if row.lease_until_at is not None and row.lease_until_at > now]
    if not held:
        return []
    query = select(SyncRun).where(col(SyncRun.connection_id).in_(held), col(SyncRun.ended_at).is_(None))
    return list(session.scalars(query.order_by(col(SyncRun.id).desc()).limit(len(held))))


def names_of(session: Session, rows: Sequence[SyncLogEntry]) -> dict[int, tuple[str, str]]:
    """Return the customer's and the invoice's name of log entries, by entry id; "" where there is none."""
    customers = {(row.connection_id, row.customer_id) for row in rows if row.customer_id}
    invoices = {(row.connection_id, row.invoice_id) for row in rows if row.invoice_id and row.connection_id is not None}
    names = _labels_by_key(session, CustomerRow, CustomerRow.name, customers)
    labels = invoice_names.labels_of(session, invoices)
    numbers: dict[tuple[int | None, str], str] = {key: label.name for key, label in labels.items()}
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


def _entries_query(session: Session, log_filter: LogFilter) -> Select[SyncLogEntry] | None:
    """Build the query of a filter; None where a name matches nothing, so that nothing can be found."""
    query = select(SyncLogEntry).where(*_entry_conditions(log_filter))
    by_name = log_filter.customer or log_filter.invoice  # what they match is of these companies already
    if log_filter.company_ids is not None and not by_name:
        query = query.where(
            in_companies(col(SyncLogEntry.connection_id), log_filter.company_ids, use_index=log_filter.run_id is None)
        )
    for name, table, column, label in (
        (log_filter.customer, CustomerRow, SyncLogEntry.customer_id, CustomerRow.name),
        (log_filter.invoice, InvoiceRow, SyncLogEntry.invoice_id, InvoiceRow.number),
    ):
        if name:
            matches = _find_matches(session, table, label, name, log_filter.company_ids)
            if not matches:
                return None
            query = query.where(matches_keys(col(SyncLogEntry.connection_id), col(column), matches))
    return query


def _entry_conditions(log_filter: LogFilter) -> list[ColumnElement[bool]]:
    conditions: list[tuple[bool, Callable[[], ColumnElement[bool]]]] = [
        (log_filter.run_id is not None, lambda: col(SyncLogEntry.run_id) == log_filter.run_id),
        (bool(log_filter.kind), lambda: col(SyncLogEntry.kind).in_(_known_kinds([log_filter.kind]))),
        (bool(log_filter.kinds), lambda: col(SyncLogEntry.kind).in_(_known_kinds(log_filter.kinds))),
        (bool(log_filter.text), lambda: col(SyncLogEntry.text).icontains(log_filter.text, autoescape=True)),
        (log_filter.since_at is not None, lambda: col(SyncLogEntry.at) >= log_filter.since_at),
        (log_filter.until_at is not None, lambda: col(SyncLogEntry.at) < log_filter.until_at),
    ]
    return [condition() for is_set, condition in conditions if is_set]


def in_companies(column: Any, company_ids: Collection[int], *, use_index: bool = True) -> ColumnElement[bool]:
    """Build the condition "of these companies" so that a year of entries is never sorted for one page.

    The index of one company holds its entries in order. For several companies the newest entries are scanned and
    filtered instead, which the "+ 0" forces; likewise for a run, whose few entries lie together (no ``use_index``).
    """
    one = len(company_ids) == 1 and use_index
    found: ColumnElement[bool] = column == next(iter(company_ids)) if one else (column + 0).in_(list(company_ids))
    return found


def _find_matches(
    session: Session, table: Any, label: Any, name: str, company_ids: Collection[int] | None
) -> list[tuple[int, str]]:
    """Return the keys that a name matches: an id, an invoice number, or part of a customer's name."""
    is_match = col(label).icontains(name, autoescape=True) if table is CustomerRow else col(label) == name
    query = select(table.connection_id, table.external_id).where(or_(is_match, table.external_id == name))
    if company_ids is not None:
        query = query.where(table.connection_id.in_(list(company_ids)))
    return [(row[0], row[1]) for row in session.execute(query.limit(_MATCHES_MAX))]


def _fetch_page(session: Session, query: Select[Any], table: type[T], log_filter: LogFilter, size: int) -> LogPage[T]:
    """Return the page on either side of an id; one extra row is read to know whether another page follows."""
    if log_filter.after_id is not None:
        newer = query.where(col(table.id) > log_filter.after_id).order_by(col(table.id))
        rows: list[T] = list(session.scalars(newer.limit(size + 1)))
        has_more, rows = len(rows) > size, rows[:size][::-1]
        return LogPage(rows, older_id=rows[-1].id if rows else None, newer_id=rows[0].id if has_more else None)
    if log_filter.before_id is not None:
        query = query.where(col(table.id) < log_filter.before_id)
    rows = list(session.scalars(query.order_by(col(table.id).desc()).limit(size + 1)))
    has_more, rows = len(rows) > size, rows[:size]
    newer_id = rows[0].id if rows and log_filter.before_id is not None else None
    return LogPage(rows, older_id=rows[-1].id if has_more else None, newer_id=newer_id)


def _known_kinds(names: Collection[str]) -> list[LogKind]:
    """Return the kinds of these names; one that does not exist matches no entry."""
    return [LogKind(name) for name in names if name in set(LogKind)]
