"""Customer merges: the rows of a customer that was merged in the ledger move to the surviving customer.

Xero names the survivor in the merged contact. Of QuickBooks only a webhook does; without it, a customer whose documents
have all moved to another one, and who is inactive or deleted, was merged into it. What users set is combined once, by
``merged_settings``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Table, false, select, true, update
from sqlalchemy.orm import Session
from sqlmodel import SQLModel, col

from connector.db.tables import KeyValue, WebhookEvent
from connector.sync.mirror import merged_settings
from policies.receivables import InvoiceStatus
from providers.addresses import parse_addresses
from providers.ledger import ChangePage, RecordKind

_TABLES = SQLModel.metadata.tables
_DOCUMENTS = ("invoice", "payment", "credit")
_TABLES_TO_MOVE = (*_DOCUMENTS, "completed_step", "agreement", "task", "outbox", "received_reply", "malformed_record")
_BATCH_SIZE = 500
_MERGE_CHAIN_MAX = 20  # ledgers contain circular merges
_MOVES_KEY = "customer_moves"  # whose documents have moved to whom and when, until it is known if that was a merge
MOVES_RETENTION = timedelta(days=90)  # a merge moves everything at once; later it is a coincidence


class _StoredCustomer(NamedTuple):
    external_id: str
    merged_into: str | None
    active: bool
    updated_at: datetime | None


class Merge(NamedTuple):
    """A customer and the one it was merged into; ``is_known`` where the mirror had that customer before.

    ``before`` is the one it was merged into until now. ``is_undone`` where it is a customer of its own again.
    """

    merged: str
    survivor: str
    is_known: bool
    before: str | None = None
    is_undone: bool = False


def find_merges(session: Session, connection_id: int, page: ChangePage, at: datetime) -> list[Merge]:
    """Return the merges that a page brings, before it is stored; those stored before are not among them.

    A merged customer that the ledger sends again without its survivor keeps it.
    """
    gone = {record.external_id for record in page.customers if record.merged_into or not record.active}
    stored = {row.external_id: row.merged_into for row in _stored_customers(session, connection_id, gone)}
    page.customers = [
        record._replace(merged_into=stored.get(record.external_id))
        if not (record.active or record.merged_into)
        else record
        for record in page.customers
    ]
    _remember_moves(session, connection_id, page, at)
    undone = _find_undone(session, connection_id, page)
    return undone + [
        Merge(record.external_id, record.merged_into, record.external_id in stored, stored.get(record.external_id))
        for record in page.customers
        if record.merged_into and stored.get(record.external_id) != record.merged_into
    ]


def _find_undone(session: Session, connection_id: int, page: ChangePage) -> list[Merge]:
    """Return the merged customers that the page has as customers of their own again."""
    restored = {each.external_id for each in page.customers if each.active and not each.merged_into}
    if not restored:
        return []
    customer = _TABLES["customer"]
    query = select(customer.c.external_id, customer.c.merged_into).where(
        _in_company(customer, connection_id), customer.c.merged_into.is_not(None)
    )
    return [
        Merge(row.external_id, _survivor(session, connection_id, row.merged_into), is_known=True, is_undone=True)
        for row in session.execute(query)
        if row.external_id in restored
    ]


def apply_merges(session: Session, connection_id: int, page: ChangePage, new: Sequence[Merge], at: datetime) -> int:
    """Move the rows of merged customers to the survivors, after the page is stored; return how many moved.

    Rows of an old merge move as well: an invoice may name the merged customer for some time.
    """
    announced = _record_announced_merges(session, connection_id)
    inferred = _infer_merges(session, connection_id, at)
    survivors = {record.external_id: record.merged_into for record in page.customers if record.merged_into}
    survivors |= {each.merged: each.survivor for each in (*announced, *inferred)}
    final = {merged: _survivor(session, connection_id, into) for merged, into in survivors.items()}
    moved = sum(_move(session, connection_id, merged, survivor) for merged, survivor in final.items())
    for each in (*new, *announced, *inferred):
        if each.is_undone:
            moved += merged_settings.keep_stops(session, connection_id, each.merged, each.survivor, at)
            continue
        survivor = final[each.merged]
        is_combined = each.before is not None and _survivor(session, connection_id, each.before) == survivor
        if survivor != each.merged and not is_combined:
            moved += merged_settings.combine(session, connection_id, each.merged, survivor, at, is_known=each.is_known)
    return moved + len(announced)


def _remember_moves(session: Session, connection_id: int, page: ChangePage, at: datetime) -> None:
    """Keep from whom to whom the page moves documents, and when."""
    moves: dict[str, dict[str, str]] = {}
    for name, records in (("invoice", page.invoices), ("payment", page.payments), ("credit", page.credits)):
        table = _TABLES[name]
        sent = {record.external_id: record for record in records}
        for some in _in_batches(sent):
            query = select(table.c.external_id, table.c.customer_id, table.c.updated_at).where(
                _in_company(table, connection_id), table.c.external_id.in_(some)
            )
            for external_id, customer_id, updated_at in session.execute(query):
                record = sent[external_id]
                is_older = updated_at is not None and record.updated_at < updated_at
                if customer_id != record.customer_id and not is_older:
                    moves.setdefault(customer_id, {})[record.customer_id] = at.isoformat()
    if moves:
        stored = session.get(KeyValue, (connection_id, _MOVES_KEY))
        known = dict(stored.value) if stored is not None else {}
        value = known | {each: known.get(each, {}) | to for each, to in moves.items()}
        session.merge(KeyValue(connection_id=connection_id, name=_MOVES_KEY, value=value, stored_at=at))
        session.flush()


def _record_announced_merges(session: Session, connection_id: int) -> list[Merge]:
    """Return the merges that the ledger's webhook has announced, and record them.

    One whose survivor is not in the mirror yet waits for it, for as long as events are kept. A customer who has been
    made active again since was not merged.
    """
    events = session.execute(
        select(col(WebhookEvent.external_id), col(WebhookEvent.merged_id), col(WebhookEvent.received_at))
        .where(col(WebhookEvent.connection_id) == connection_id, col(WebhookEvent.merged_id) != "")
        .order_by(col(WebhookEvent.received_at))
    ).all()
    survivors = {merged: survivor.removeprefix(WebhookEvent.CUSTOMER_PREFIX) for survivor, merged, _at in events}
    announced_at = {merged: at for _survivor, merged, at in events}
    known = {
        row.external_id: row for row in _stored_customers(session, connection_id, {*survivors, *survivors.values()})
    }
    found = [
        Merge(merged, survivor, is_known=True, before=known[merged].merged_into)
        for merged, survivor in survivors.items()
        if merged in known and survivor in known and known[merged].merged_into != survivor
        if not _is_active_again(known[merged], announced_at[merged])
    ]
    for each in found:
        _record_merge(session, connection_id, each)
    return found


def _is_active_again(customer: _StoredCustomer, announced_at: datetime) -> bool:
    return customer.active and customer.updated_at is not None and customer.updated_at > announced_at


def _infer_merges(session: Session, connection_id: int, at: datetime) -> list[Merge]:
    """Return the merges that nobody announced, and record them; forget moves that were none."""
    stored = session.get(KeyValue, (connection_id, _MOVES_KEY))
    if stored is None:
        return []
    found: list[Merge] = []
    oldest = (at - MOVES_RETENTION).isoformat()
    left = {each: {to: on for to, on in moves.items() if on >= oldest} for each, moves in stored.value.items()}
    for row in _stored_customers(session, connection_id, stored.value):
        if row.merged_into:
            left[row.external_id] = {}
        elif not (row.active or _has_documents(session, connection_id, row.external_id)):
            moves = left.pop(row.external_id)
            found += [Merge(row.external_id, each, is_known=True) for each in sorted(moves, key=moves.__getitem__)]
    for each in found:
        _record_merge(session, connection_id, each)
    stored.value = {each: moves for each, moves in left.items() if moves}
    if not stored.value:
        session.delete(stored)
    session.flush()
    return found


def _record_merge(session: Session, connection_id: int, merge: Merge) -> None:
    customer = _TABLES["customer"]
    session.execute(
        update(customer)
        .where(_in_company(customer, connection_id), customer.c.external_id == merge.merged)
        .values(merged_into=merge.survivor)
    )


def load_former_addresses(session: Session, connection_id: int) -> dict[str, frozenset[str]]:
    """Return the addresses of the records that were merged into a customer, in lower case, by the customer's id."""
    customer = _TABLES["customer"]
    query = select(customer.c.external_id, customer.c.merged_into, customer.c.emails).where(
        _in_company(customer, connection_id), customer.c.merged_into.is_not(None)
    )
    merged = {row.external_id: row for row in session.execute(query)}
    found: dict[str, set[str]] = {}
    for row in merged.values():
        survivor = row.merged_into
        for _ in range(_MERGE_CHAIN_MAX):
            survivor = merged[survivor].merged_into if survivor in merged else survivor
        found.setdefault(survivor, set()).update(each.lower() for each in parse_addresses(row.emails).valid)
    return {survivor: frozenset(addresses) for survivor, addresses in found.items()}


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


def _stored_customers(session: Session, connection_id: int, ids: Iterable[str]) -> list[_StoredCustomer]:
    """Return customers as they are in the database, past the session's identity map."""
    customer = _TABLES["customer"]
    columns = (customer.c.external_id, customer.c.merged_into, customer.c.active, customer.c.updated_at)
    found: list[_StoredCustomer] = []
    for some in _in_batches(ids):
        query = select(*columns).where(_in_company(customer, connection_id), customer.c.external_id.in_(some))
        found += [_StoredCustomer(*row) for row in session.execute(query)]
    return found


def _in_batches(ids: Iterable[str]) -> Iterable[list[str]]:
    every = list(ids)
    return (every[start : start + _BATCH_SIZE] for start in range(0, len(every), _BATCH_SIZE))


def move_what_is_done(session: Session, connection_id: int, invoice_ids: Sequence[str]) -> None:
    """Move what was done and agreed about an invoice with it where the ledger moved it to another customer.

    Otherwise the reminders would start again for the new customer, and the database would refuse each step. The emails
    are those that reached nobody: their step runs again.
    """
    invoice, outbox = _TABLES["invoice"], _TABLES["outbox"]
    for table in (_TABLES["completed_step"], _TABLES["agreement"], outbox):
        owner = (
            select(invoice.c.customer_id)
            .where(_in_company(invoice, connection_id), invoice.c.external_id == table.c.invoice_id)
            .scalar_subquery()
        )
        is_moved = outbox.c.refusal != "" if table is outbox else true()
        for some in _in_batches(invoice_ids):
            session.execute(
                update(table)
                .where(_in_company(table, connection_id), table.c.invoice_id.in_(some), table.c.customer_id != owner)
                .where(is_moved)
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
        if name == "malformed_record":  # a customer's own record says nothing about the survivor
            change = change.where(table.c.kind != RecordKind.CUSTOMER)
        moved += session.connection().execute(change.values(customer_id=survivor)).rowcount
    return moved


def _in_company(table: Table, connection_id: int) -> ColumnElement[bool]:
    return table.c.connection_id == connection_id
