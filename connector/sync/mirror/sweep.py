"""Detection of what a ledger deleted without reporting it: what a full resync does not bring again is deleted.

When the resync starts, everything in the mirror is marked as unseen; page by page, records are marked as seen; what is
left at its end is deleted. The marks are in the database, so that an interrupted resync continues where it was.
"""

from __future__ import annotations

from sqlalchemy import Connection as Database
from sqlalchemy import bindparam, insert, literal, select
from sqlmodel import SQLModel

import connector.db.tables  # noqa: F401  # fills the metadata
from policies.receivables import InvoiceStatus
from providers.ledger import ChangePage, DeletedRecord

_TABLES = SQLModel.metadata.tables
_UNSEEN = _TABLES["unseen_record"]
_IN_PROGRESS = select(_UNSEEN.c.kind).where(_UNSEEN.c.connection_id == bindparam("company_id")).limit(1)
_COLUMNS = ["connection_id", "kind", "external_id"]


def start_sweep(database: Database, connection_id: int) -> None:
    """Mark everything the mirror holds of a company as unseen."""
    database.execute(_UNSEEN.delete().where(_UNSEEN.c.connection_id == connection_id))
    for name in ("customer", "invoice", "payment", "credit"):
        table = _TABLES[name]
        kind = table.c.kind if name == "credit" else literal(name)
        held = select(table.c.connection_id, kind, table.c.external_id).where(table.c.connection_id == connection_id)
        if name == "customer":
            held = held.where(table.c.deleted.is_(False))
        if name == "invoice":
            held = held.where(table.c.status != InvoiceStatus.DELETED)
        database.execute(insert(_UNSEEN).from_select(_COLUMNS, held))


def is_in_progress(database: Database, connection_id: int) -> bool:
    """Return whether a full resync is in progress."""
    return database.execute(_IN_PROGRESS, {"company_id": connection_id}).first() is not None


def mark_seen(database: Database, connection_id: int, page: ChangePage) -> list[DeletedRecord]:
    """Mark a page's records as seen; with the last page, return what was never seen, to be deleted.

    Without a full resync in progress there is nothing to return.
    """
    if not is_in_progress(database, connection_id):
        return []
    of_company = _UNSEEN.c.connection_id == connection_id
    for kind, ids in _ids_by_kind(page).items():
        database.execute(_UNSEEN.delete().where(of_company, _UNSEEN.c.kind == kind, _UNSEEN.c.external_id.in_(ids)))
    if not page.is_last:
        return []
    unseen = database.execute(select(_UNSEEN.c.kind, _UNSEEN.c.external_id).where(of_company)).all()
    database.execute(_UNSEEN.delete().where(of_company))
    return [DeletedRecord(row.kind, row.external_id, None) for row in unseen]


def _ids_by_kind(page: ChangePage) -> dict[str, list[str]]:
    """Return the ids of a page's records by kind, also of unreadable ones: they exist."""
    keys = [("customer", one.external_id) for one in page.customers]
    keys += [("invoice", one.external_id) for one in page.invoices]
    keys += [("payment", one.external_id) for one in page.payments]
    keys += [(one.kind, one.external_id) for one in page.credits]
    keys += [(one.kind, one.external_id) for one in page.malformed]
    by_kind: dict[str, list[str]] = {}
    for kind, external_id in keys:
        by_kind.setdefault(kind, []).append(external_id)
    return by_kind
