"""Stores exceptions: a check finds some of a kind, and the stored ones of that kind are made equal to them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, select
from sqlmodel import Session, col

from connector.db.tables import ExceptionRow


class ExceptionKey(NamedTuple):
    """Which exception of a company; without a customer it is of the company itself."""

    customer_id: str
    code: str
    invoice_id: str = ""


def replace_exceptions(
    session: Session,
    connection_id: int,
    checked: ColumnElement[bool],
    found: Mapping[ExceptionKey, str],
    at: datetime,
    *,
    reopens_changed: bool = False,
) -> list[ExceptionRow]:
    """Make a company's stored exceptions equal to those that a check has found; returns the new ones.

    Args:
        session: The caller's transaction.
        connection_id: The company.
        checked: The condition of the exceptions that the check would have found again: the others stay.
        found: The reasons.
        at: When they were found.
        reopens_changed: Whether one that somebody marked as correct opens again when its reason changes.
    """
    stored = select(ExceptionRow).where(col(ExceptionRow.connection_id) == connection_id, checked)
    obsolete = {(row.customer_id, row.code, row.invoice_id): row for row in session.scalars(stored)}
    new: list[ExceptionRow] = []
    for key, reason in found.items():
        row = obsolete.pop(key, None)
        if row is None:
            new.append(ExceptionRow(**key._asdict(), connection_id=connection_id, reason=reason, since_at=at))
            continue
        if reopens_changed and row.reason != reason:
            row.resolved_at, row.resolved_by = None, ""
        row.reason = reason
    for row in obsolete.values():
        session.delete(row)
    session.add_all(new)
    return new
