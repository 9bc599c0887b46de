"""Finds lines of the sync log and runs for a person: filtered, newest first, paged by id and never by counting."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlmodel import Session, col

from connector.paging import of_keys
from connector.tables import Connection, CustomerRow, InvoiceRow, SyncLogEntry, SyncRun

PAGE = 50
_NAMED_MAX = 500  # customers or invoices that a name may stand for
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for. ``companies`` None means all, and what belongs to none."""

    companies: Collection[int] | None = None
    run: int | None = None
    kind: str = ""
    kinds: Collection[str] = ()  # one of these, where more than one is wanted
    customer: str = ""  # part of a name, or an id
    invoice: str = ""  # a number, or an id
    text: str = ""
    since_at: datetime | None = None
    until_at: datetime | None = None
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of it, newest first; ``older`` and ``newer`` are the ids to go on from, None at an end."""

    rows: Sequence[Any]
    older: int | None
    newer: int | None


def lines(session: Session, wanted: Wanted, *, size: int = PAGE) -> Found:
    """Find a page of lines."""
    query = _conditions(session, wanted)
    return Found([], None, None) if query is None else _page(session, query, SyncLogEntry, wanted, size)


def every_line(session: Session, wanted: Wanted, most: int) -> Iterator[SyncLogEntry]:
    """Go through all lines, newest first, ``most`` at most; a chunk in memory at a time."""
    query, left = _conditions(session, wanted), most
    while query is not None and left > 0:
        found = _page(session, query, SyncLogEntry, wanted, min(_CHUNK, left))
        yield from found.rows
        left -= len(found.rows)
        if found.older is None:
            return
        wanted = replace(wanted, before=found.older)


def runs(session: Session, wanted: Wanted, *, size: int = PAGE) -> Found:
    """Find a page of runs; of what is wanted, companies and time count."""
    query = select(SyncRun)
    if wanted.companies is not None:
        query = query.where(_among(col(SyncRun.connection_id), wanted.companies))
    if wanted.since_at is not None:
        query = query.where(col(SyncRun.started_at) >= wanted.since_at)
    if wanted.until_at is not None:
        query = query.where(col(SyncRun.started_at) < wanted.until_at)
    return _page(session, query, SyncRun, wanted, size)


def as_dict(row: SyncLogEntry, connection: str) -> dict[str, Any]:
    """Show a line as the JSON surface does."""
    names = ("kind", "run_id", "customer_id", "invoice_id", "text")
    shown = {name: getattr(row, name) for name in names}
    return {"id": row.id, "at": row.at, "connection": connection, **shown, "facts": json.loads(row.facts)}


def run_as_dict(row: SyncRun, connection: str) -> dict[str, Any]:
    """Show a run as the JSON surface does."""
    names = ("started_at", "ended_at", "outcome", "why", "dry", "numbers")
    return {"id": row.id, "connection": connection, **{name: getattr(row, name) for name in names}}


def run_kinds(session: Session, run_id: int) -> dict[str, int]:
    """Count the lines of a run by kind."""
    query = select(col(SyncLogEntry.kind), func.count()).where(col(SyncLogEntry.run_id) == run_id)
    return {kind: int(count) for kind, count in session.execute(query.group_by(col(SyncLogEntry.kind)))}


def under_way(session: Session, companies: Sequence[Connection], now: datetime) -> list[SyncRun]:
    """Find the runs that go on at this moment; without any, nothing is asked."""
    held = [row.id for row in companies if row.lease_until_at is not None and row.lease_until_at > now]
    if not held:
        return []
    query = select(SyncRun).where(col(SyncRun.connection_id).in_(held), col(SyncRun.ended_at).is_(None))
    return list(session.scalars(query.order_by(col(SyncRun.id).desc()).limit(len(held))))


def named(session: Session, rows: Sequence[SyncLogEntry]) -> dict[int, tuple[str, str]]:
    """Give the customer's name and the invoice's number of lines, by the line's id; "" where there is none."""
    customers = {(row.connection_id, row.customer_id) for row in rows if row.customer_id}
    invoices = {(row.connection_id, row.invoice_id) for row in rows if row.invoice_id}
    names = _known(session, CustomerRow, CustomerRow.name, customers)
    numbers = _known(session, InvoiceRow, InvoiceRow.number, invoices)
    return {
        row.id or 0: (
            names.get((row.connection_id, row.customer_id), ""),
            numbers.get((row.connection_id, row.invoice_id), ""),
        )
        for row in rows
    }


def _known(
    session: Session, table: Any, shown: Any, keys: Collection[tuple[int | None, str]]
) -> dict[tuple[int | None, str], str]:
    if not keys:
        return {}
    query = select(table.connection_id, table.external_id, shown)
    query = query.where(of_keys(table.connection_id, table.external_id, keys))
    return {(row[0], row[1]): row[2] for row in session.execute(query)}


def _conditions(session: Session, wanted: Wanted) -> Select[SyncLogEntry] | None:
    """Say it in SQL; None where a name stands for nobody, so that nothing can be found."""
    query = select(SyncLogEntry).where(*_given(wanted))
    if wanted.companies is not None and not (wanted.customer or wanted.invoice):  # whose names say their companies
        query = query.where(_among(col(SyncLogEntry.connection_id), wanted.companies, apart=wanted.run is None))
    for name, table, column, known in (
        (wanted.customer, CustomerRow, SyncLogEntry.customer_id, CustomerRow.name),
        (wanted.invoice, InvoiceRow, SyncLogEntry.invoice_id, InvoiceRow.number),
    ):
        if name:
            meant = _meant(session, table, known, name, wanted.companies)
            if not meant:
                return None
            query = query.where(of_keys(col(SyncLogEntry.connection_id), col(column), meant))
    return query


def _given(wanted: Wanted) -> list[Any]:
    """Say what is asked of each line by itself."""
    asked: list[tuple[bool, Callable[[], Any]]] = [
        (wanted.run is not None, lambda: col(SyncLogEntry.run_id) == wanted.run),
        (bool(wanted.kind), lambda: col(SyncLogEntry.kind) == wanted.kind),
        (bool(wanted.kinds), lambda: col(SyncLogEntry.kind).in_(list(wanted.kinds))),
        (bool(wanted.text), lambda: col(SyncLogEntry.text).icontains(wanted.text, autoescape=True)),
        (wanted.since_at is not None, lambda: col(SyncLogEntry.at) >= wanted.since_at),
        (wanted.until_at is not None, lambda: col(SyncLogEntry.at) < wanted.until_at),
    ]
    return [condition() for is_asked, condition in asked if is_asked]


def _among(column: Any, companies: Collection[int], *, apart: bool = True) -> Any:
    """Say "of these companies" so that no year of lines is sorted for one page.

    One company's lines lie in order in its index. Those of several do not: there the newest lines are gone through and
    filtered, which the "+ 0" makes a database do; so does a run, whose few lines lie together (not ``apart``).
    """
    one = len(companies) == 1 and apart
    return column == next(iter(companies)) if one else (column + 0).in_(list(companies))


def _meant(
    session: Session, table: Any, known: Any, name: str, companies: Collection[int] | None
) -> list[tuple[int, str]]:
    """Whom or what a name stands for: an id, or a number, or a part of a customer's name."""
    same = col(known).icontains(name, autoescape=True) if table is CustomerRow else col(known) == name
    query = select(table.connection_id, table.external_id).where(or_(same, table.external_id == name))
    if companies is not None:
        query = query.where(table.connection_id.in_(list(companies)))
    return [(row[0], row[1]) for row in session.execute(query.limit(_NAMED_MAX))]


def _page(session: Session, query: Select[Any], table: Any, wanted: Wanted, size: int) -> Found:
    """Take one page on either side of an id; one row more than shown tells whether there is another page."""
    if wanted.after is not None:
        rows = list(session.scalars(query.where(table.id > wanted.after).order_by(table.id).limit(size + 1)))
        more, rows = len(rows) > size, rows[:size][::-1]
        return Found(rows, older=rows[-1].id if rows else None, newer=rows[0].id if more else None)
    if wanted.before is not None:
        query = query.where(table.id < wanted.before)
    rows = list(session.scalars(query.order_by(table.id.desc()).limit(size + 1)))
    more, rows = len(rows) > size, rows[:size]
    newer = rows[0].id if rows and wanted.before is not None else None
    return Found(rows, older=rows[-1].id if more else None, newer=newer)
