"""The mirror of the books: stores what a ledger says, a page at a time; ``customers_facts`` reads it for the policies.

A page is stored whole or, with the caller's transaction, not at all. An older version of a record never overwrites a
newer one, and a record that is the same as before changes nothing and is not counted. A record that the database cannot
hold (an amount out of range, say) is put aside as malformed; the rest of its page goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Delete,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy import Connection as Database
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from connector.db.tables import (
    ApplicationRow,
    CompletedStep,
    CreditRow,
    CustomerRow,
    CustomerSetting,
    Instant,
    InvoiceRow,
    PaymentRow,
)
from connector.sync.mirror import applications, erased, merges, sweep
from connector.sync.mirror.statements import load_statements
from connector.sync.mirror.upserts import STORAGE, SqlRow, build_malformed_row, build_rows, upsert_text
from policies.receivables import InvoiceStatus
from providers.ledger import ChangePage, DeletedRecord, MalformedRecord, RecordKind

__all__ = ["PageCounts", "load_statements", "store_page"]

_MIRRORED = (CustomerRow, InvoiceRow, PaymentRow, CreditRow, ApplicationRow, CustomerSetting, CompletedStep)
_MALFORMED = SQLModel.metadata.tables["malformed_record"]
_KNOWN_MALFORMED = select(_MALFORMED.c.kind, _MALFORMED.c.external_id).where(
    _MALFORMED.c.connection_id == bindparam("company_id")
)
# What a single record can have that makes a database refuse it; anything else is raised.
_STORAGE_ERRORS = (DataError, IntegrityError, ValueError, TypeError, AttributeError, OverflowError)


class PageCounts(NamedTuple):
    """How many rows a page brought or changed; records that were there already, the same, don't count."""

    customers: int = 0
    invoices: int = 0
    payments: int = 0
    credits: int = 0
    applications: int = 0
    deleted: int = 0
    malformed: int = 0

    @property
    def changed(self) -> int:
        """Everything together: 0 means that the mirror is what it was."""
        return sum(self)


def store_page(session: Session, connection_id: int, page: ChangePage, *, at: datetime | None = None) -> PageCounts:
    """Store a page in the caller's transaction; the caller stores its cursor in the same one.

    Records the database cannot hold are added to ``page.malformed``, so that they are logged like those the provider
    could not read. ``at`` is when the page was read, for malformed records alone.
    """
    erased.redact_page(session, connection_id, page, at=at or datetime.now(UTC))
    session.flush()
    database = session.connection()
    if page.full_resync:
        sweep.start_sweep(database, connection_id)
    store = _PageWriter(database, connection_id, page)
    customers = store.records("customer", page.customers)
    invoices = store.records("invoice", page.invoices)
    payments = store.records("payment", page.payments)
    credited = store.records("credit", page.credits)
    counts = PageCounts(
        customers=customers + merges.move_merged_customers(session, connection_id, page.customers),
        invoices=invoices,
        payments=payments,
        credits=credited,
        applications=store.applications(),
        deleted=sum(map(store.delete, [*page.deleted, *sweep.mark_seen(database, connection_id, page)])),
        malformed=store.malformed(at or datetime.now(UTC)),
    )
    for row in session.identity_map.values():
        if isinstance(row, _MIRRORED):  # it was loaded as an object before, and may have changed below it
            session.expire(row)
    return counts


class _PageWriter:
    """One page on its way into the database."""

    def __init__(self, database: Database, connection_id: int, page: ChangePage) -> None:
        self._database = database
        self._dialect = database.dialect.name
        self._storage = STORAGE[self._dialect]
        self._connection_id = connection_id
        self._page = page
        self._outdated: set[tuple[str, str]] = set()  # (kind, id) of which a newer version is known than the page has

    def records(self, table: str, records: Sequence[Any]) -> int:
        """Upsert records. If the database refuses the lot: one by one, and what it refuses then is malformed."""
        if not records:
            return 0
        try:
            changed = self._upsert(table, records)
        except _STORAGE_ERRORS:
            changed = sum(self._upsert_one(table, record) for record in records)
        if changed < len(records) and table != "customer":
            self._outdated |= self._newer_in_mirror(table, records)
        return changed

    def _upsert(self, table: str, records: Sequence[Any]) -> int:
        rows = build_rows(table, self._connection_id, records, self._storage)
        with self._database.begin_nested():
            return self._execute_many(upsert_text(table, self._dialect), rows)

    def _upsert_one(self, table: str, record: Any) -> int:
        try:
            return self._upsert(table, [record])
        except _STORAGE_ERRORS as error:
            kind = RecordKind(record.kind if table == "credit" else table)
            reason = str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0]
            self._page.malformed.append(MalformedRecord(kind, record.external_id, reason, _as_json(record)))
            return 0

    def applications(self) -> int:
        """Replace the applications of the invoices and sources the page speaks of."""
        page = self._page
        if not (page.applications or page.replaced_invoice_ids or page.replaced_sources):
            return 0
        return applications.replace_applications(self._database, self._connection_id, page, self._outdated)

    def delete(self, gone: DeletedRecord) -> int:
        """Take away what is gone in the ledger, unless it is known newer. Invoices and customers stay, marked."""
        deletion = _DELETIONS.get(gone.kind, _DELETIONS["credit"])
        facts = {
            "company_id": self._connection_id,
            "id": gone.external_id,
            "credit_kind": gone.kind,
            "deleted_at": gone.updated_at,
            "until_at": gone.updated_at or datetime.max.replace(tzinfo=UTC),
        }
        changed = self._database.execute(deletion, facts).rowcount
        if changed and gone.kind == "invoice":
            applications.delete_of_invoice(self._database, self._connection_id, gone.external_id)
        elif changed and gone.kind != "customer":
            applications.delete_of_source(self._database, self._connection_id, gone.kind, gone.external_id)
        return changed

    def malformed(self, seen_at: datetime) -> int:
        """Keep what could not be read, and let go of what can be read by now."""
        kept = self._delete_repaired()
        rows = [
            build_malformed_row(self._connection_id, _storable(one), self._storage, seen_at)
            for one in self._page.malformed
        ]
        if rows:
            kept += self._execute_many(upsert_text("malformed_record", self._dialect), rows)
        return kept

    def _delete_repaired(self) -> int:
        known = {tuple(row) for row in self._database.execute(_KNOWN_MALFORMED, {"company_id": self._connection_id})}
        mended = known & _readable_keys(self._page) if known else known
        for kind, external_id in mended:
            self._database.execute(
                _MALFORMED.delete().where(
                    _MALFORMED.c.connection_id == self._connection_id,
                    _MALFORMED.c.kind == kind,
                    _MALFORMED.c.external_id == external_id,
                )
            )
        return len(mended)

    def _newer_in_mirror(self, name: str, records: Sequence[Any]) -> set[tuple[str, str]]:
        table = SQLModel.metadata.tables[name]
        kind = table.c.kind if name == "credit" else literal(name)
        page_has = {(getattr(record, "kind", name), record.external_id): record.updated_at for record in records}
        query = select(kind, table.c.external_id, table.c.updated_at).where(
            table.c.connection_id == self._connection_id,
            table.c.external_id.in_([external_id for _kind, external_id in page_has]),
        )
        found = {(row[0], row[1]): row[2] for row in self._database.execute(query)}
        return {key for key, updated_at in page_has.items() if found.get(key) and found[key] > updated_at}

    def _execute_many(self, text: str, rows: list[SqlRow]) -> int:
        return self._database.exec_driver_sql(text, rows).rowcount


def _deletions() -> dict[str, Update | Delete]:
    """Prepare the four statements that take a record away."""
    tables = SQLModel.metadata.tables
    customer, invoice, payment, credit = (tables[name] for name in ("customer", "invoice", "payment", "credit"))
    deleted_at = func.coalesce(bindparam("deleted_at", type_=Instant), invoice.c.updated_at, type_=Instant)
    customer_at = func.coalesce(bindparam("deleted_at", type_=Instant), customer.c.updated_at, type_=Instant)
    gone = InvoiceStatus.DELETED.value
    return {
        "customer": update(customer)
        .where(_matches_record(customer), customer.c.deleted.is_(False))
        .values(deleted=True, active=False, updated_at=customer_at),
        "invoice": update(invoice)
        .where(_matches_record(invoice), invoice.c.status != gone)
        .values(status=gone, is_open=False, due_e4=0, updated_at=deleted_at),
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


def _readable_keys(page: ChangePage) -> set[tuple[str, str]]:
    unfit = {(one.kind, one.external_id) for one in page.malformed}
    read = {("customer", record.external_id) for record in page.customers}
    read |= {("invoice", record.external_id) for record in page.invoices}
    read |= {("payment", record.external_id) for record in page.payments}
    read |= {(record.kind, record.external_id) for record in page.credits}
    read |= {(record.kind, record.external_id) for record in page.deleted}
    return read - unfit


def _storable(record: MalformedRecord) -> MalformedRecord:
    """Make a malformed record storable: a name of its own where its id could not be read, and no odd letters."""
    external_id = record.external_id or hashlib.sha256(record.raw).hexdigest()[:16]
    return record._replace(external_id=_to_ascii(external_id), reason=_to_ascii(record.reason))


def _to_ascii(text: str) -> str:
    return text.replace("\x00", "").encode("ascii", "backslashreplace").decode()


def _as_json(record: Any) -> bytes:
    return json.dumps(record._asdict(), default=str).encode()
