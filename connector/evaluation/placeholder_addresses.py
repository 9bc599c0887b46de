"""Probable placeholder addresses as exceptions: one address of very many customers, which nobody reads for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Session, col

from connector.db.tables import Connection, ExceptionRow
from connector.evaluation.exception_rows import ExceptionKey, replace_exceptions
from policies.exception_checks import ExceptionCode


def update_exceptions(
    session: Session, connection: Connection, placeholders: Mapping[str, int], now: datetime
) -> list[ExceptionRow]:
    """Make the exceptions about placeholders equal to the addresses found; returns the new ones.

    They are of the company, and not of one customer; the address stands in the place of an invoice.
    """
    code = ExceptionCode.PROBABLE_PLACEHOLDER
    found = {ExceptionKey("", code, address): _describe(address, count) for address, count in placeholders.items()}
    return replace_exceptions(session, connection.id or 0, col(ExceptionRow.code) == code, found, now)


def _describe(address: str, count: int) -> str:
    return (
        f"{address} is the email address of {count:,} customers: probably a placeholder. Each of them is emailed there"
        " as if alone, and a stop or a pause of one does not apply to the others. Enter their own addresses in the"
        " accounting system."
    )
