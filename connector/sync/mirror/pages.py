"""Storing what a ledger sends, one page at a time; ``load_statements`` reads it back for the policies.

A page is stored as a whole or, with the caller's transaction, not at all. An older version of a record never
overwrites a newer one, and an unchanged record is not written or counted. A record that the database cannot hold (an
amount out of range, say) is kept as malformed, and the rest of its page is stored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Delete, Table, Update, and_, bindparam, delete, func, literal, or_, select, update
from sqlalchemy import Connection as Database
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from sqlmodel import SQLModel, col

from connector.db.tables import (
    ApplicationRow,
    CompletedStep,
    Connection,
    CreditRow,
    CustomerRow,
    CustomerSetting,
    Instant,
    InvoiceRow,
    PaymentRow,
)
from connector.sync.mirror import (
    applications,
    deposits,
    erased,
    malformed_records,
    merges,
    missing_currencies,
    sweep,
    write_offs,
)
from connector.sync.mirror.statements import load_statements
from connector.sync.mirror.upserts import STORAGE, DatedRecord, SqlRow, build_rows, upsert_text
from policies.receivables import InvoiceStatus
from providers.ledger import (
    ChangePage,
    CreditRecord,
    CustomerRecord,
    DeletedRecord,
    InvoiceRecord,
    MalformedRecord,
    PaymentRecord,
    RecordKind,
)

__all__ = ["PageCounts", "load_statements", "store_page"]

_Dated = TypeVar("_Dated", CustomerRecord, InvoiceRecord, PaymentRecord, CreditRecord, DeletedRecord)
_CLOCK_SKEW = timedelta(minutes=10)  # a ledger's clock may be ahead of ours by as much
_MIRRORED = (CustomerRow, InvoiceRow, PaymentRow, CreditRow, ApplicationRow, CustomerSetting, CompletedStep)
# What a record that cannot be stored raises; anything else is not caught.
_STORAGE_ERRORS = (DataError, IntegrityError, ValueError, TypeError, AttributeError, OverflowError)


class PageCounts(NamedTuple):
    """How many rows a page added or changed; unchanged records do not count."""

    customers: int = 0
    invoices: int = 0
    payments: int = 0
    credits: int = 0
    applications: int = 0
    deleted: int = 0
    malformed: int = 0
    deposits: int = 0

    @property
    def changed(self) -> int:
        """The total: 0 means that the mirror is unchanged."""
        return sum(self)


def store_page(session: Session, connection_id: int, page: ChangePage, *, at: datetime | None = None) -> PageCounts:
    """Store a page in the caller's transaction, in which the caller stores its cursor, too.

    Records the database cannot hold are added to ``page.malformed``, so that they are logged like those the provider
    could not read. ``at`` is when the page was read, for malformed records and for changes that the ledger dates later.
    """
    stored_at = at or datetime.now(UTC)
    if page.brings_only_cursor() and not sweep.is_in_progress(session.connection(), connection_id):
        return PageCounts(customers=merges.apply_merges(session, connection_id, page, [], stored_at))
    if at is not None:
        _date_back(page, at)
    erased.redact_page(session, connection_id, page, at=stored_at)
    session.flush()
    missing_currencies.fill(session, connection_id, page)
    new_merges = merges.find_merges(session, connection_id, page, stored_at)
    database = session.connection()
    if page.full_resync:
        sweep.start_sweep(database, connection_id)
    writer = _PageWriter(database, connection_id, page, stored_at)
    customers = writer.records("customer", page.customers)
    writer.date_balances(at or datetime.now(UTC))
    invoices = writer.records("invoice", _with_entry_times(session, connection_id, page.invoices))
    payments = writer.records("payment", page.payments)
    credit_notes = writer.records("credit", page.credits)
    written_off = write_offs.store(database, connection_id, page.write_offs, page.no_write_offs)
    deleted = sum(map(writer.delete, [*page.deleted, *sweep.mark_seen(database, connection_id, page)]))
    counts = PageCounts(
        customers=customers + merges.apply_merges(session, connection_id, page, new_merges, stored_at),
        invoices=invoices,
        payments=payments,
        credits=credit_notes,
        applications=writer.applications() + written_off,
        deleted=deleted,
        malformed=malformed_records.store_malformed(database, connection_id, page, seen_at=stored_at),
        deposits=deposits.store(session, connection_id, page, stored_at),
    )
    for row in session.identity_map.values():
        if isinstance(row, _MIRRORED):  # loaded before, and perhaps changed by the statements above
            session.expire(row)
    return counts


def _date_back(page: ChangePage, at: datetime) -> None:
    """Date changes of the future at ``at``: every true change after one would look older, and a payment be missed."""
    page.customers[:] = [_not_after(each, at) for each in page.customers]
    page.invoices[:] = [_not_after(each, at) for each in page.invoices]
    page.payments[:] = [_not_after(each, at) for each in page.payments]
    page.credits[:] = [_not_after(each, at) for each in page.credits]
    page.deleted[:] = [_not_after(each, at) for each in page.deleted]


def _not_after(record: _Dated, at: datetime) -> _Dated:
    is_future = record.updated_at is not None and record.updated_at > at + _CLOCK_SKEW
    return record._replace(updated_at=at) if is_future else record


def _with_entry_times(session: Session, connection_id: int, records: list[InvoiceRecord]) -> list[InvoiceRecord]:
    """Return invoices with when each was entered; without, during a company's first load.

    What a ledger already has then may have been imported, and its customers have known of it for long. Later, an
    invoice was entered when the ledger says so, or else at the latest when the version first seen was made.
    """
    query = select(col(Connection.first_pull_done_at)).where(col(Connection.id) == connection_id)
    is_first_load = session.execute(query).scalar() is None
    if is_first_load:
        return [each._replace(created_at=None) if each.created_at else each for each in records]
    return [each._replace(created_at=min(each.created_at or each.updated_at, each.updated_at)) for each in records]


class _PageWriter:
    """Writes one page."""

    def __init__(self, database: Database, connection_id: int, page: ChangePage, at: datetime) -> None:
        self._database = database
        self._at = at
        self._dialect = database.dialect.name
        self._storage = STORAGE[self._dialect]
        self._connection_id = connection_id
        self._page = page
        self._outdated: set[tuple[str, str]] = set()  # (kind, id) of which the mirror has a newer version

    def records(self, table: str, records: Sequence[DatedRecord]) -> int:
        """Upsert records: all together, else one by one, where those that cannot be stored become malformed."""
        if not records:
            return 0
        try:
            changed = self._upsert(table, records)
        except _STORAGE_ERRORS:
            changed = sum(self._upsert_one(table, record) for record in records)
        if changed < len(records) and table != "customer":
            self._outdated |= self._newer_in_mirror(table, records)
        return changed

    def date_balances(self, at: datetime) -> None:
        """Record when balances were read that the ledger does not report changes of. It is no change itself."""
        untracked = [each.external_id for each in self._page.customers if not each.balance_is_tracked]
        if untracked:
            customer = SQLModel.metadata.tables["customer"]
            read = and_(customer.c.connection_id == self._connection_id, customer.c.external_id.in_(untracked))
            self._database.execute(update(customer).where(read).values(balance_at=at))

    def _upsert(self, table: str, records: Sequence[DatedRecord]) -> int:
        rows = build_rows(table, self._connection_id, records, self._storage)
        with self._database.begin_nested():
            return self._execute_many(upsert_text(table, self._dialect), rows)

    def _upsert_one(self, table: str, record: DatedRecord) -> int:
        try:
            return self._upsert(table, [record])
        except _STORAGE_ERRORS as error:
            kind = _kind_of(record, table)
            reason = str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0]
            owner = "" if isinstance(record, CustomerRecord) else record.customer_id
            self._page.malformed.append(MalformedRecord(kind, record.external_id, reason, _as_json(record), owner))
            return 0

    def applications(self) -> int:
        """Replace the applications of the page's invoices and sources."""
        page = self._page
        if not (page.applications or page.replaced_invoice_ids or page.replaced_sources):
            return 0
        return applications.replace_applications(self._database, self._connection_id, page, self._outdated, self._at)

    def delete(self, deleted: DeletedRecord) -> int:
        """Delete what the ledger deleted, unless the mirror has a newer version. Invoices and customers are marked."""
        deletion = _DELETIONS.get(deleted.kind, _DELETIONS["credit"])
        values = {
            "company_id": self._connection_id,
            "id": deleted.external_id,
            "credit_kind": deleted.kind,
            "deleted_at": deleted.updated_at,
            "until_at": deleted.updated_at or datetime.max.replace(tzinfo=UTC),
        }
        changed = self._database.execute(deletion, values).rowcount
        if changed and deleted.kind == RecordKind.INVOICE:
            applications.delete_of_invoice(self._database, self._connection_id, deleted.external_id)
        elif changed and deleted.kind != RecordKind.CUSTOMER:
            applications.delete_of_source(
                self._database, self._connection_id, deleted.kind, deleted.external_id, self._at
            )
        return changed

    def _newer_in_mirror(self, name: str, records: Sequence[DatedRecord]) -> set[tuple[str, str]]:
        table = SQLModel.metadata.tables[name]
        kind = table.c.kind if name == "credit" else literal(name)
        page_has = {(_kind_of(record, name), record.external_id): record.updated_at for record in records}
        query = select(kind, table.c.external_id, table.c.updated_at).where(
            table.c.connection_id == self._connection_id,
            table.c.external_id.in_([external_id for _kind, external_id in page_has]),
        )
        found = {(row[0], row[1]): row[2] for row in self._database.execute(query)}
        return {key for key, updated_at in page_has.items() if found.get(key) and found[key] > updated_at}

    def _execute_many(self, text: str, rows: list[SqlRow]) -> int:
        return self._database.exec_driver_sql(text, rows).rowcount


def _kind_of(record: DatedRecord, table: str) -> RecordKind:
    return RecordKind(record.kind if isinstance(record, CreditRecord) else table)


def _deletions() -> dict[str, Update | Delete]:
    """Build the statements that delete a record, by its kind."""
    tables = SQLModel.metadata.tables
    customer, invoice, payment, credit = (tables[name] for name in ("customer", "invoice", "payment", "credit"))
    deleted_at = func.coalesce(bindparam("deleted_at", type_=Instant), invoice.c.updated_at, type_=Instant)
    customer_at = func.coalesce(bindparam("deleted_at", type_=Instant), customer.c.updated_at, type_=Instant)
    deleted = InvoiceStatus.DELETED
    return {
        "customer": update(customer)
        .where(_matches_record(customer), customer.c.deleted.is_(False))
        .values(deleted=True, active=False, updated_at=customer_at),
        "invoice": update(invoice)
        .where(_matches_record(invoice), invoice.c.status != deleted)
        .values(status=deleted, is_open=False, due_e4=0, updated_at=deleted_at),
        "payment": delete(payment).where(_matches_record(payment)),
        "credit": delete(credit).where(_matches_record(credit), credit.c.kind == bindparam("credit_kind")),
    }


def _matches_record(table: Table) -> ColumnElement[bool]:
    return and_(
        table.c.connection_id == bindparam("company_id"),
        table.c.external_id == bindparam("id"),
        or_(table.c.updated_at.is_(None), table.c.updated_at <= bindparam("until_at", type_=Instant)),
    )


_DELETIONS = _deletions()


def _as_json(record: DatedRecord) -> bytes:
    return json.dumps(record._asdict(), default=str).encode()
