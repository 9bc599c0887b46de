"""Customer merges: the rows of a customer that was merged in the ledger move to the surviving customer."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Table, insert, select, update
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from providers.ledger import CustomerRecord

_TABLES = SQLModel.metadata.tables
_SETTING = _TABLES["customer_setting"]
_TABLES_TO_MOVE = ("invoice", "payment", "credit", "completed_step", "agreement", "task")
_BATCH_SIZE = 500
_MERGE_CHAIN_MAX = 20  # ledgers contain circular merges


def move_merged_customers(session: Session, connection_id: int, records: Sequence[CustomerRecord]) -> int:
    """Move the rows of the merged customers among ``records`` to the survivors; return how many moved."""
    return sum(
        _move(session, connection_id, record.external_id, _survivor(session, connection_id, record.merged_into))
        for record in records
        if record.merged_into
    )


def move_completed_steps(session: Session, connection_id: int, invoice_ids: Sequence[str]) -> None:
    """Move an invoice's completed steps with it where the ledger moved it to another customer.

    Otherwise the reminders would start again for the new customer, and the database would refuse each step.
    """
    invoice, step = _TABLES["invoice"], _TABLES["completed_step"]
    owner = (
        select(invoice.c.customer_id)
        .where(_in_company(invoice, connection_id), invoice.c.external_id == step.c.invoice_id)
        .scalar_subquery()
    )
    for start in range(0, len(invoice_ids), _BATCH_SIZE):
        some = invoice_ids[start : start + _BATCH_SIZE]
        session.execute(
            update(step)
            .where(_in_company(step, connection_id), step.c.invoice_id.in_(some), step.c.customer_id != owner)
            .values(customer_id=owner)
        )


def _survivor(session: Session, connection_id: int, customer_id: str) -> str:
    customer = _TABLES["customer"]
    for _ in range(_MERGE_CHAIN_MAX):
        query = select(customer.c.merged_into).where(
            _in_company(customer, connection_id), customer.c.external_id == customer_id
        )
        further = session.execute(query).scalar()
        if not further:
            break
        customer_id = further
    return customer_id


def _move(session: Session, connection_id: int, merged: str, survivor: str) -> int:
    if merged == survivor:
        return 0
    moved = 0
    for name in _TABLES_TO_MOVE:
        table = _TABLES[name]
        change = update(table).where(_in_company(table, connection_id), table.c.customer_id == merged)
        moved += session.connection().execute(change.values(customer_id=survivor)).rowcount
    return moved + _copy_setting(session, connection_id, merged, survivor)


def _copy_setting(session: Session, connection_id: int, merged: str, survivor: str) -> int:
    """Copy the settings of the merged customer ("no reminders", say), unless the survivor has settings."""
    query = select(_SETTING).where(_in_company(_SETTING, connection_id), _SETTING.c.customer_id.in_([merged, survivor]))
    settings = {row.customer_id: row for row in session.execute(query)}
    if merged not in settings or survivor in settings:
        return 0
    values = {**settings[merged]._mapping, "customer_id": survivor}  # noqa: SLF001 - SQLAlchemy's documented attribute
    session.execute(insert(_SETTING), [values])
    return 1


def _in_company(table: Table, connection_id: int) -> ColumnElement[bool]:
    return table.c.connection_id == connection_id
