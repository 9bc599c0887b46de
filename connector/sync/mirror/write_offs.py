"""Write-offs that a ledger books as payments: no money came, whatever the invoice's status says."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection as Database
from sqlalchemy import delete, insert, select, update
from sqlmodel import SQLModel

from connector.sync.mirror.upserts import SqlRow
from policies.receivables import CreditKind

_TABLE = SQLModel.metadata.tables["write_off"]
_APPLICATION = SQLModel.metadata.tables["application"]
_KIND, _SOURCE, _AMOUNT, _ADJUSTED = 1, 2, 5, 7  # positions in a row of the table of applications


def store(database: Database, connection_id: int, payment_ids: Collection[str], other_ids: Collection[str]) -> int:
    """Store that payments brought no money, and correct what was applied of them; return for how many that is news.

    The payments ``other_ids`` did: the account of one may have been corrected.
    """
    known = _load(database, connection_id) if payment_ids or other_ids else set()
    corrected = known.intersection(other_ids)
    if corrected:
        of_payments = _TABLE.c.connection_id == connection_id, _TABLE.c.payment_id.in_(corrected)
        database.execute(delete(_TABLE).where(*of_payments))
    new = set(payment_ids) - known
    if not new:
        return len(corrected)
    database.execute(insert(_TABLE), [{"connection_id": connection_id, "payment_id": each} for each in sorted(new)])
    database.execute(
        update(_APPLICATION)
        .where(
            _APPLICATION.c.connection_id == connection_id,
            _APPLICATION.c.source_kind == CreditKind.PAYMENT,
            _APPLICATION.c.source_id.in_(new),
        )
        .values(adjusted_e4=_APPLICATION.c.amount_e4, credited_e4=0)
    )
    return len(new) + len(corrected)


def mark(
    database: Database, connection_id: int, rows: Mapping[tuple[str, str, str], SqlRow]
) -> dict[tuple[str, str, str], SqlRow]:
    """Return rows of applications, those of write-offs as adjustments."""
    known = _load(database, connection_id) if rows else set()
    return {key: _as_adjustment(row) if known and _is_write_off(row, known) else row for key, row in rows.items()}


def _load(database: Database, connection_id: int) -> set[str]:
    return set(database.execute(select(_TABLE.c.payment_id).where(_TABLE.c.connection_id == connection_id)).scalars())


def _is_write_off(row: SqlRow, known: Collection[str]) -> bool:
    return row[_KIND] == CreditKind.PAYMENT and row[_SOURCE] in known


def _as_adjustment(row: SqlRow) -> SqlRow:
    return (*row[:_ADJUSTED], row[_AMOUNT])
