"""Records without a currency: they are in the company's own, and unreadable where nobody knows that one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from connector.db.tables import Connection
from providers.ledger import ChangePage, MalformedRecord, RecordKind

_REASON = "it has no currency, and the accounting system names none for the company"


def fill(session: Session, connection_id: int, page: ChangePage) -> None:
    """Set the currency of a page's records that name none; those that have none then become malformed."""
    records: list[list[Any]] = [page.invoices, page.payments, page.credits]
    if all(record.currency for some in records for record in some):
        return
    home = session.scalar(select(col(Connection.base_currency)).where(col(Connection.id) == connection_id)) or ""
    if not home:
        page.malformed += [_malformed(each, kind) for each, kind in _without_currency(page)]
    for some in records:
        some[:] = [each if each.currency else each._replace(currency=home) for each in some if each.currency or home]


def _without_currency(page: ChangePage) -> Iterable[tuple[Any, RecordKind]]:
    yield from ((each, RecordKind.INVOICE) for each in page.invoices if not each.currency)
    yield from ((each, RecordKind.PAYMENT) for each in page.payments if not each.currency)
    yield from ((each, RecordKind(each.kind)) for each in page.credits if not each.currency)


def _malformed(record: Any, kind: RecordKind) -> MalformedRecord:
    return MalformedRecord(kind, record.external_id, _REASON, msgspec.json.encode(record), record.customer_id)
