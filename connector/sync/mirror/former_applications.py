"""Former applications: what was applied to an invoice until some of it was deleted or changed in the ledger.

The days on which an invoice counted as settled bear no late fee, although its payment is gone. By its id a payment is
followed to where it is now: one that another invoice has was moved, and did not come back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection as Database
from sqlalchemy import Row, func, insert, select, tuple_
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from connector.db.money import from_e4
from connector.db.tables.ledger import AppliedBefore
from policies.invoice_names import invoice_name
from policies.receivables import BalanceChange, CreditKind, FormerHistory, Invoice

_TABLES = SQLModel.metadata.tables
_TABLE, _APPLICATION, _INVOICE = (_TABLES[each] for each in ("former_applications", "application", "invoice"))
_PAYMENT, _CREDIT, _CUSTOMER = (_TABLES[each] for each in ("payment", "credit", "customer"))
_IDS_PER_QUERY = 5000  # both databases accept as many
_INVOICE_COLUMNS = tuple(_INVOICE.c[each] for each in ("external_id", "number", "issued_on", "customer_id"))
_MONEY = _APPLICATION.c.amount_e4 - _APPLICATION.c.credited_e4 - _APPLICATION.c.adjusted_e4

_Source = tuple[str, str]  # kind and id of a payment or credit


class _Place(NamedTuple):
    """What of a source is applied to an invoice now; ``name`` is what people call that, ``customer`` whose it is."""

    invoice_id: str
    amount: Decimal
    name: str
    customer_id: str
    customer: str


class SourcesNow(NamedTuple):
    """Where payments and credits are applied now, and what of each is unapplied."""

    places: Mapping[_Source, Sequence[_Place]]
    unapplied: Mapping[_Source, Decimal]


def keep(database: Database, connection_id: int, invoice_ids: Collection[str], at: datetime) -> None:
    """Keep what is applied to some invoices now, before some of it is deleted or changed."""
    application, ids = _APPLICATION.c, sorted(invoice_ids)
    every = _APPLICATION.alias("every")
    everywhere = (
        select(func.sum(every.c.amount_e4 - every.c.credited_e4 - every.c.adjusted_e4))
        .where(
            every.c.connection_id == application.connection_id,
            every.c.source_kind == application.source_kind,
            every.c.source_id == application.source_id,
        )
        .scalar_subquery()
    )
    columns = (application.invoice_id, application.applied_on, application.amount_e4)
    for start in range(0, len(ids), _IDS_PER_QUERY):
        query = select(*columns, application.source_kind, application.source_id, everywhere.label("everywhere")).where(
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


def load_sources(session: Session, connection_id: int, rows: Iterable[Row[Any]]) -> SourcesNow:
    """Load where the payments and credits of former applications are now."""
    ids = sorted({(AppliedBefore(*each).kind, AppliedBefore(*each).source_id) for row in rows for each in row.applied})
    places: defaultdict[_Source, list[_Place]] = defaultdict(list)
    unapplied: dict[_Source, Decimal] = {}
    for start in range(0, len(ids), _IDS_PER_QUERY):
        some = ids[start : start + _IDS_PER_QUERY]
        of_source = tuple_(_APPLICATION.c.source_kind, _APPLICATION.c.source_id).in_(some)
        same = (_INVOICE.c.connection_id == connection_id) & (_INVOICE.c.external_id == _APPLICATION.c.invoice_id)
        owner = (_CUSTOMER.c.connection_id == connection_id) & (_CUSTOMER.c.external_id == _INVOICE.c.customer_id)
        source = (_APPLICATION.c.source_kind, _APPLICATION.c.source_id, _MONEY.label("money"))
        query = (
            select(*source, *_INVOICE_COLUMNS, _CUSTOMER.c.name)
            .select_from(_APPLICATION.join(_INVOICE, same).outerjoin(_CUSTOMER, owner))
            .where(_APPLICATION.c.connection_id == connection_id, of_source)
            .order_by(_INVOICE.c.issued_on, _INVOICE.c.external_id)
        )
        for row in session.execute(query):
            name = invoice_name(row.number, row.issued_on, is_shared=True)
            place = _Place(row.external_id, from_e4(row.money), name, row.customer_id, row.name or "")
            places[row.source_kind, row.source_id].append(place)
        payments = [external_id for kind, external_id in some if kind == CreditKind.PAYMENT]
        rests = select(_PAYMENT.c.external_id, _PAYMENT.c.unapplied_e4).where(
            _PAYMENT.c.connection_id == connection_id, _PAYMENT.c.external_id.in_(payments)
        )
        unapplied |= {
            (CreditKind.PAYMENT, row.external_id): from_e4(row.unapplied_e4) for row in session.execute(rests)
        }
        rests = select(_CREDIT.c.kind, _CREDIT.c.external_id, _CREDIT.c.remaining_e4).where(
            _CREDIT.c.connection_id == connection_id, _CREDIT.c.external_id.in_([each[1] for each in some])
        )
        unapplied |= {(row.kind, row.external_id): from_e4(row.remaining_e4) for row in session.execute(rests)}
    return SourcesNow(places, unapplied)


def build_former_history(row: Row[Any], until_on: date, now: SourcesNow) -> FormerHistory:
    """Return what the ledger said until a day, and what of it is on other invoices now.

    ``row`` has the invoice's ``customer_id`` as well.
    """
    applied = [AppliedBefore(*each) for each in row.applied]
    changes = [BalanceChange(date.fromisoformat(each.on), -from_e4(each.amount_e4)) for each in applied]
    deleted = [change for change, each in zip(changes, applied, strict=True) if each.source not in now.unapplied]
    moved, names = Decimal(0), dict[str, None]()
    for each in applied:
        places = now.places.get(each.source, ())
        own = sum((place.amount for place in places if place.invoice_id == row.invoice_id), Decimal(0))
        everywhere = sum((place.amount for place in places), now.unapplied.get(each.source, Decimal(0)))
        lost = max(from_e4(each.everywhere_e4) - everywhere, Decimal(0))
        others = {_describe(place, row.customer_id): None for place in places if place.invoice_id != row.invoice_id}
        if others and (part := from_e4(each.amount_e4) - own - lost) > 0:
            moved += part
            names |= others
    return FormerHistory(until_on, tuple(changes), moved, tuple(names), tuple(deleted))


def with_moves_to_relatives(
    invoice: Invoice, relatives: Sequence[tuple[str, Invoice]], thanked: Collection[str]
) -> Invoice:
    """Return an invoice whose payment, deleted and entered again, an invoice of a relative has now.

    ``relatives`` are invoices with their customers' names; those in ``thanked`` had their payment before.
    """
    *earlier, last = invoice.former_histories
    gone = [each for each in last.deleted if each not in invoice.balance_changes]
    for change in gone:
        for name, other in relatives:
            if other.id not in thanked and _has(other, change):
                text = f"{invoice_name(other.number, other.issued_on, is_shared=True)} ({name})"
                moved = replace(last, moved=-change.amount, moved_to=(text,))
                return replace(invoice, former_histories=(*earlier, moved))
    return invoice


def _describe(place: _Place, customer_id: str) -> str:
    """Return the name of an invoice, with its customer's where that is another one."""
    return place.name if place.customer_id == customer_id else f"{place.name} ({place.customer})"


def _has(invoice: Invoice, change: BalanceChange) -> bool:
    return any((each.on, each.amount) == (change.on, change.amount) for each in invoice.balance_changes)


def _store(database: Database, connection_id: int, applied: Iterable[Row[Any]], at: datetime) -> None:
    by_invoice: defaultdict[str, list[AppliedBefore]] = defaultdict(list)
    for row in applied:
        by_invoice[row.invoice_id].append(
            AppliedBefore(
                row.applied_on.isoformat(), row.amount_e4, row.source_kind, row.source_id, int(row.everywhere or 0)
            )
        )
    rows = [
        {"connection_id": connection_id, "invoice_id": invoice_id, "until_at": at, "applied": applied}
        for invoice_id, applied in by_invoice.items()
    ]
    if rows:
        database.execute(insert(_TABLE), rows)
