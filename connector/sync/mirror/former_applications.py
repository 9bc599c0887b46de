"""Former applications: what was applied to an invoice until some of it was deleted or changed in the ledger.

The days on which an invoice counted as settled bear no late fee, although its payment is gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date, datetime

from sqlalchemy import Connection as Database
from sqlalchemy import Row, insert, select
from sqlmodel import SQLModel

from connector.db.money import from_e4
from policies.receivables import BalanceChange, FormerHistory

_TABLE = SQLModel.metadata.tables["former_applications"]
_APPLICATION = SQLModel.metadata.tables["application"]
_IDS_PER_QUERY = 5000  # both databases accept as many


def keep(database: Database, connection_id: int, invoice_ids: Collection[str], at: datetime) -> None:
    """Keep what is applied to some invoices now, before some of it is deleted or changed."""
    application, ids = _APPLICATION.c, sorted(invoice_ids)
    for start in range(0, len(ids), _IDS_PER_QUERY):
        query = select(application.invoice_id, application.applied_on, application.amount_e4).where(
            application.connection_id == connection_id,
            application.invoice_id.in_(ids[start : start + _IDS_PER_QUERY]),
        )
        _store(database, connection_id, database.execute(query.order_by(application.applied_on)), at)


def keep_of_source(database: Database, connection_id: int, kind: str, external_id: str, at: datetime) -> None:
    """Keep what is applied to the invoices of a payment or credit that is about to be deleted."""
    query = select(_APPLICATION.c.invoice_id).where(
        _APPLICATION.c.connection_id == connection_id,
        _APPLICATION.c.source_kind == kind,
        _APPLICATION.c.source_id == external_id,
    )
    keep(database, connection_id, list(database.execute(query).scalars()), at)


def build_former_history(row: Row[tuple[int, str, datetime, list[tuple[str, int]]]], until_on: date) -> FormerHistory:
    """Return what the ledger said until a day."""
    changes = (BalanceChange(date.fromisoformat(on), -from_e4(amount_e4)) for on, amount_e4 in row.applied)
    return FormerHistory(until_on, tuple(changes))


def _store(database: Database, connection_id: int, applied: Iterable[Row[tuple[str, date, int]]], at: datetime) -> None:
    by_invoice: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in applied:
        by_invoice[row.invoice_id].append((row.applied_on.isoformat(), row.amount_e4))
    rows = [
        {"connection_id": connection_id, "invoice_id": invoice_id, "until_at": at, "applied": applied}
        for invoice_id, applied in by_invoice.items()
    ]
    if rows:
        database.execute(insert(_TABLE), rows)
