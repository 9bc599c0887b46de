"""Probable placeholder addresses as exceptions: one address of very many customers, which nobody reads for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.tables import Connection, ExceptionRow
from policies.exception_checks import ExceptionCode


def update_exceptions(
    session: Session, connection: Connection, placeholders: Mapping[str, int], now: datetime
) -> list[ExceptionRow]:
    """Make the exceptions about placeholders equal to the addresses found; returns the new ones.

    They are of the company, and not of one customer; the address stands in the place of an invoice.
    """
    query = select(ExceptionRow).where(
        col(ExceptionRow.connection_id) == connection.id, col(ExceptionRow.code) == ExceptionCode.PROBABLE_PLACEHOLDER
    )
    known = {row.invoice_id: row for row in session.scalars(query)}
    new: list[ExceptionRow] = []
    for address, count in placeholders.items():
        row = known.pop(address, None)
        if row is not None:
            row.reason = _describe(address, count)
            continue
        new.append(
            ExceptionRow(
                connection_id=connection.id or 0,
                customer_id="",
                code=ExceptionCode.PROBABLE_PLACEHOLDER,
                invoice_id=address,
                reason=_describe(address, count),
                since_at=now,
            )
        )
    for row in known.values():
        session.delete(row)
    session.add_all(new)
    return new


def _describe(address: str, count: int) -> str:
    return (
        f"{address} is the email address of {count:,} customers: probably a placeholder. Each of them is emailed there"
        " as if alone, and a stop or a pause of one does not apply to the others. Enter their own addresses in the"
        " accounting system."
    )
