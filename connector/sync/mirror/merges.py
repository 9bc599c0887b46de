"""Customer merges: the rows of a customer that was merged in the ledger move to the surviving customer.

Xero names the survivor. QuickBooks does not: there, a customer whose documents have all moved to another one, and who
is inactive or deleted, was merged into it. What users set is combined once, by ``merged_settings``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Table, false, select, update
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from connector.db.tables import CustomerRow, KeyValue
from connector.sync.mirror import merged_settings
from policies.receivables import InvoiceStatus
from providers.ledger import ChangePage

_TABLES = SQLModel.metadata.tables
_DOCUMENTS = ("invoice", "payment", "credit")
_TABLES_TO_MOVE = (*_DOCUMENTS, "completed_step", "agreement", "task", "received_reply")
_BATCH_SIZE = 500
_MERGE_CHAIN_MAX = 20  # ledgers contain circular merges
_MOVES_KEY = "customer_moves"  # whose invoices have moved to whom, until it is known whether that was a merge


class Merge(NamedTuple):
    """A customer and the one it was merged into; ``is_known`` where the mirror had that customer before."""

    merged: str
    survivor: str
    is_known: bool


def find_merges(session: Session, connection_id: int, page: ChangePage) -> list[Merge]:
    """Return the merges that a page brings, before it is stored; those stored before are not among them.

    A merged customer that the ledger sends again without its survivor keeps it.
    """
    gone = {record.external_id for record in page.customers if record.merged_into or not record.active}
    stored = {row.external_id: row.merged_into for row in _customer_rows(session, connection_id, gone)}
    page.customers = [
        record._replace(merged_into=stored.get(record.external_id))
        if not (record.active or record.merged_into)
        else record
        for record in page.customers
    ]
    _remember_moves(session, connection_id, page)
    return [
        Merge(record.external_id, record.merged_into, record.external_id in stored)
        for record in page.customers
        if record.merged_into and stored.get(record.external_id) != record.merged_into
    ]


def apply_merges(session: Session, connection_id: int, page: ChangePage, new: Sequence[Merge], at: datetime) -> int:
    """Move the rows of merged customers to the survivors, after the page is stored; return how many moved.

    Rows of an old merge move as well: an invoice may name the merged customer for some time.
    """
    inferred = _infer_merges(session, connection_id)
    survivors = {record.external_id: record.merged_into for record in page.customers if record.merged_into}
    survivors |= {each.merged: each.survivor for each in inferred}
    final = {merged: _survivor(session, connection_id, into) for merged, into in survivors.items()}
    moved = sum(_move(session, connection_id, merged, survivor) for merged, survivor in final.items())
    for each in (*new, *inferred):
        survivor = final[each.merged]
        if survivor != each.merged:
            moved += merged_settings.combine(session, connection_id, each.merged, survivor, at, is_known=each.is_known)
    return moved


def _remember_moves(session: Session, connection_id: int, page: ChangePage) -> None:
    """Keep from whom to whom the page moves invoices."""
    invoice = _TABLES["invoice"]
    sent = {record.external_id: record for record in page.invoices}
    moves: dict[str, set[str]] = {}
    for some in _in_batches(sent):
        query = select(invoice.c.external_id, invoice.c.customer_id, invoice.c.updated_at).where(
            _in_company(invoice, connection_id), invoice.c.external_id.in_(some)
        )
        for invoice_id, customer_id, updated_at in session.execute(query):
            is_older = updated_at is not None and sent[invoice_id].updated_at < updated_at
            if customer_id != sent[invoice_id].customer_id and not is_older:
                moves.setdefault(customer_id, set()).add(sent[invoice_id].customer_id)
    if not moves:
        return
    stored = session.get(KeyValue, (connection_id, _MOVES_KEY))
    known = dict(stored.value) if stored is not None else {}
    value = known | {each: sorted(set(known.get(each, ())) | to) for each, to in moves.items()}
    at = max(record.updated_at for record in page.invoices)
    session.merge(KeyValue(connection_id=connection_id, name=_MOVES_KEY, value=value, stored_at=at))
    session.flush()


def _infer_merges(session: Session, connection_id: int) -> list[Merge]:
    """Return the merges that nobody announced, and record them."""
    stored = session.get(KeyValue, (connection_id, _MOVES_KEY))
    if stored is None:
        return []
    found: list[Merge] = []
    customer = _TABLES["customer"]
    for row in _customer_rows(session, connection_id, stored.value):
        if row.active or _has_documents(session, connection_id, row.external_id):
            continue
        targets = stored.value[row.external_id]
        found += [Merge(row.external_id, each, is_known=True) for each in targets]
        session.execute(
            update(customer)
            .where(_in_company(customer, connection_id), customer.c.external_id == row.external_id)
            .values(merged_into=targets[-1])
        )
    stored.value = {each: to for each, to in stored.value.items() if each not in {one.merged for one in found}}
    session.flush()
    return found


def _has_documents(session: Session, connection_id: int, customer_id: str) -> bool:
    """Return whether a document is left with a customer; a deleted invoice stays with the customer it had."""
    for name in _DOCUMENTS:
        table = _TABLES[name]
        is_deleted = table.c.status == InvoiceStatus.DELETED if name == "invoice" else false()
        query = select(table.c.external_id).where(
            _in_company(table, connection_id), table.c.customer_id == customer_id, ~is_deleted
        )
        if session.execute(query.limit(1)).first() is not None:
            return True
    return False


def _customer_rows(session: Session, connection_id: int, ids: Iterable[str]) -> list[CustomerRow]:
    customer = _TABLES["customer"]
    rows: list[CustomerRow] = []
    for some in _in_batches(ids):
        rows += session.execute(
            select(customer).where(_in_company(customer, connection_id), customer.c.external_id.in_(some))
        ).all()  # type: ignore[arg-type]  # rows with the columns of CustomerRow, past the session's identity map
    return rows


def _in_batches(ids: Iterable[str]) -> Iterable[list[str]]:
    every = list(ids)
    return (every[start : start + _BATCH_SIZE] for start in range(0, len(every), _BATCH_SIZE))


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
    for some in _in_batches(invoice_ids):
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
    return moved


def _in_company(table: Table, connection_id: int) -> ColumnElement[bool]:
    return table.c.connection_id == connection_id
