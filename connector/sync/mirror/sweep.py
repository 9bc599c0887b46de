"""Finds what a ledger deleted without telling: when everything is read afresh, whatever does not come again is gone.

What the mirror holds is noted when the reading begins, struck off page by page, and the rest is taken away at its end.
The notes are in the database, so a reading that breaks off goes on where it was.
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
    """Note everything the mirror holds of a company."""
    database.execute(_UNSEEN.delete().where(_UNSEEN.c.connection_id == connection_id))
    for name in ("customer", "invoice", "payment", "credit"):
        table = _TABLES[name]
        kind = table.c.kind if name == "credit" else literal(name)
        held = select(table.c.connection_id, kind, table.c.external_id).where(table.c.connection_id == connection_id)
        if name == "customer":
            held = held.where(table.c.deleted.is_(False))
        if name == "invoice":
            held = held.where(table.c.status != InvoiceStatus.DELETED.value)
        database.execute(insert(_UNSEEN).from_select(_COLUMNS, held))


def mark_seen(database: Database, connection_id: int, page: ChangePage) -> list[DeletedRecord]:
    """Strike off what a page brings; with the last page, return what never came. Nothing unless a reading is afresh."""
    if database.execute(_IN_PROGRESS, {"company_id": connection_id}).first() is None:
        return []
    here = _UNSEEN.c.connection_id == connection_id
    for kind, ids in _ids_by_kind(page).items():
        database.execute(_UNSEEN.delete().where(here, _UNSEEN.c.kind == kind, _UNSEEN.c.external_id.in_(ids)))
    if not page.is_last:
        return []
    gone = database.execute(select(_UNSEEN.c.kind, _UNSEEN.c.external_id).where(here)).all()
    database.execute(_UNSEEN.delete().where(here))
    return [DeletedRecord(row.kind, row.external_id, None) for row in gone]


def _ids_by_kind(page: ChangePage) -> dict[str, list[str]]:
    """Every record of a page by kind, also those that could not be read: they are there."""
    named = [("customer", one.external_id) for one in page.customers]
    named += [("invoice", one.external_id) for one in page.invoices]
    named += [("payment", one.external_id) for one in page.payments]
    named += [(one.kind, one.external_id) for one in page.credits]
    named += [(one.kind, one.external_id) for one in page.malformed]
    brought: dict[str, list[str]] = {}
    for kind, external_id in named:
        brought.setdefault(kind, []).append(external_id)
    return brought
