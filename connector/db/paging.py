"""Pages of a list: rows of some companies after a given key, in an order that never changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, false, or_, tuple_

Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])
Column = Any  # a column of a SQLModel table, which is typed as its value


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list are wanted. ``companies`` None means all; ``after`` is the key of the last row before it."""

    companies: Collection[int] | None = None
    after: Sequence[Any] = ()
    size: int = 100


def paginate(query: Query, page: Page | None, company: Column, *key: Column, newest_first: bool = False) -> Query:
    """Limit a query to a page, ordered by ``key``, which must be unique. Without a page the query is unchanged."""
    if page is None:
        return query
    if page.companies is not None:
        query = query.where(company.in_(list(page.companies)))
    if page.after:
        row_key, last_key = tuple_(*key), tuple_(*page.after)
        query = query.where(row_key < last_key if newest_first else row_key > last_key)
    order = [column.desc() if newest_first else column for column in key]
    return query.order_by(None).order_by(*order).limit(page.size)


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
