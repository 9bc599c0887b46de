"""Row ids: as users and programs type them, and many of them in a query."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_

Column = Any  # a column of a SQLModel table, which is typed as its value

ID_MAX = 2**31 - 1  # of both databases; PostgreSQL refuses to compare with more


def parse_id(text: str) -> int | None:
    """Return a text as an id; None where it is not one, or larger than any id."""
    number = int(text) if text.isdecimal() and len(text) <= len(str(ID_MAX)) else None
    return number if number is not None and number <= ID_MAX else None


def matches_keys(company: Column, external_id: Column, keys: Collection[tuple[int | None, str]]) -> ColumnElement[bool]:
    """Return the condition that a row is one of ``keys``: pairs of a company's id and the ledger's id.

    The condition groups them by company, because SQLite finds pairs by no index.
    """
    by_company: dict[int | None, list[str]] = {}
    for company_id, key in keys:
        by_company.setdefault(company_id, []).append(key)
    if not by_company:
        return false()
    return or_(*(and_(company == company_id, external_id.in_(ids)) for company_id, ids in by_company.items()))
