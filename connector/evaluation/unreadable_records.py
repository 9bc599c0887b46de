"""Unreadable records as exceptions: each is named, with the accounting system's own words, until it can be read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.tables import Connection, CustomerRow, ExceptionRow, InvoiceRow, MalformedRow
from connector.evaluation.exception_rows import ExceptionKey, replace_exceptions
from connector.plain_text import one_line
from policies.exception_checks import ExceptionCode
from providers.ledger import RecordKind

_NAMED_MAX = 3  # records in one reason
_REASON_LENGTH_MAX = 300


class _Unreadable(NamedTuple):
    kind: RecordKind
    external_id: str
    reason: str
    customer_id: str


def update_exceptions(session: Session, connection: Connection, now: datetime) -> list[ExceptionRow]:
    """Make the exceptions about unreadable records equal to what cannot be read by now; returns the new ones.

    There is one for each customer, and one for the records of which nobody knows whose they are. Of an invoice that
    could be read before there is a task.
    """
    code = ExceptionCode.UNREADABLE_RECORD
    reasons = _find(session, connection.id or 0)
    found = {ExceptionKey(customer_id, code): reason for customer_id, reason in reasons.items()}
    of_kind = col(ExceptionRow.code) == code
    # That they are correct was said of the records named before, and not of others.
    return replace_exceptions(session, connection.id or 0, of_kind, found, now, reopens_changed=True)


def _find(session: Session, connection_id: int) -> dict[str, str]:
    columns = (MalformedRow.kind, MalformedRow.external_id, MalformedRow.reason, MalformedRow.customer_id)
    records = [
        _Unreadable(*row)
        for row in session.execute(
            select(*map(col, columns))
            .where(col(MalformedRow.connection_id) == connection_id)
            .order_by(col(MalformedRow.kind), col(MalformedRow.external_id))
        )
    ]
    unreadable_invoices = select(col(MalformedRow.external_id)).where(
        col(MalformedRow.connection_id) == connection_id, col(MalformedRow.kind) == RecordKind.INVOICE
    )
    has_task = set(
        session.scalars(
            select(col(InvoiceRow.external_id)).where(
                col(InvoiceRow.connection_id) == connection_id, col(InvoiceRow.external_id).in_(unreadable_invoices)
            )
        )
    )
    by_customer: defaultdict[str, list[_Unreadable]] = defaultdict(list)
    for each in records:
        if each.kind != RecordKind.INVOICE or each.external_id not in has_task:
            by_customer[each.customer_id].append(each)
    return {
        customer_id: _describe(session.get(CustomerRow, (connection_id, customer_id)), some)
        for customer_id, some in by_customer.items()
    }


def _describe(customer: CustomerRow | None, records: Sequence[_Unreadable]) -> str:
    whose = f" of {one_line(customer.name)}" if customer is not None else ""
    named = [
        (f"{each.kind.replace('_', ' ')} {each.external_id}", one_line(each.reason, _REASON_LENGTH_MAX))
        for each in records[:_NAMED_MAX]
    ]
    if len(records) == 1:
        [(name, reason)] = named
        return f"The {name}{whose if records[0].kind != RecordKind.CUSTOMER else ''} cannot be read: {reason}"
    more = f"; and {len(records) - _NAMED_MAX} more" if len(records) > _NAMED_MAX else ""
    listed = "; ".join(f"{name}: {reason}" for name, reason in named)
    return f"{len(records)} records{whose} cannot be read: {listed}{more}"
