"""Records that could not be read or stored: kept as they came, until a later page has them readable."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import Connection as Database
from sqlalchemy import bindparam, select
from sqlmodel import SQLModel

from connector.sync.mirror.upserts import STORAGE, build_malformed_row, upsert_text
from providers.ledger import ChangePage, MalformedRecord, RecordKind

_MALFORMED = SQLModel.metadata.tables["malformed_record"]
_MIRROR_TABLES = {
    RecordKind.INVOICE: "invoice",
    RecordKind.PAYMENT: "payment",
    RecordKind.CREDIT_NOTE: "credit",
    RecordKind.OVERPAYMENT: "credit",
    RecordKind.PREPAYMENT: "credit",
}
_KNOWN_MALFORMED = select(_MALFORMED.c.kind, _MALFORMED.c.external_id).where(
    _MALFORMED.c.connection_id == bindparam("company_id")
)


def store_malformed(database: Database, connection_id: int, page: ChangePage, *, seen_at: datetime) -> int:
    """Store what could not be read, and delete what can be read by now; return how many rows changed."""
    changed = _delete_repaired(database, connection_id, page)
    storage = STORAGE[database.dialect.name]
    rows = [
        build_malformed_row(connection_id, _with_customer(database, connection_id, _storable(one)), storage, seen_at)
        for one in page.malformed
    ]
    if rows:
        changed += database.exec_driver_sql(upsert_text("malformed_record", database.dialect.name), rows).rowcount
    return changed


def _with_customer(database: Database, connection_id: int, record: MalformedRecord) -> MalformedRecord:
    """Return an unreadable record with whose it is, as it says or as an earlier version did."""
    if record.kind == RecordKind.CUSTOMER:
        return record._replace(customer_id=record.external_id)
    name = _MIRROR_TABLES.get(record.kind, "")
    if record.customer_id or not name:
        return record
    table = SQLModel.metadata.tables[name]
    earlier = [table.c.connection_id == connection_id, table.c.external_id == record.external_id]
    if name == "credit":
        earlier.append(table.c.kind == record.kind)
    return record._replace(customer_id=database.execute(select(table.c.customer_id).where(*earlier)).scalar() or "")


def _delete_repaired(database: Database, connection_id: int, page: ChangePage) -> int:
    known = {tuple(row) for row in database.execute(_KNOWN_MALFORMED, {"company_id": connection_id})}
    repaired = known & _readable_keys(page) if known else known
    for kind, external_id in repaired:
        database.execute(
            _MALFORMED.delete().where(
                _MALFORMED.c.connection_id == connection_id,
                _MALFORMED.c.kind == kind,
                _MALFORMED.c.external_id == external_id,
            )
        )
    return len(repaired)


def _readable_keys(page: ChangePage) -> set[tuple[RecordKind, str]]:
    unreadable = {(one.kind, one.external_id) for one in page.malformed}
    read = {(RecordKind.CUSTOMER, record.external_id) for record in page.customers}
    read |= {(RecordKind.INVOICE, record.external_id) for record in page.invoices}
    read |= {(RecordKind.PAYMENT, record.external_id) for record in page.payments}
    read |= {(RecordKind.DEPOSIT, external_id) for external_id in page.replaced_deposits}
    read |= {(RecordKind(record.kind), record.external_id) for record in page.credits}
    read |= {(record.kind, record.external_id) for record in page.deleted}
    return read - unreadable


def _storable(record: MalformedRecord) -> MalformedRecord:
    """Return a malformed record with an id, by its hash if it has none, and in plain ASCII."""
    external_id = record.external_id or hashlib.sha256(record.raw).hexdigest()[:16]
    return record._replace(
        external_id=_to_ascii(external_id), reason=_to_ascii(record.reason), customer_id=_to_ascii(record.customer_id)
    )


def _to_ascii(text: str) -> str:
    return text.replace("\x00", "").encode("ascii", "backslashreplace").decode()
