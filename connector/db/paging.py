"""A part of a list: of some companies, from some place on, so many rows; in an order that never changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, false, or_, tuple_


@dataclass(frozen=True, slots=True)
class Page:
    """What is wanted of a list. ``companies`` None means all; ``after`` is the key of the last row before this part."""

    companies: Collection[int] | None = None
    after: Sequence[Any] = ()
    size: int = 100


def cut(query: Any, part: Page | None, company: Any, *key: Any, newest_first: bool = False) -> Any:
    """Cut a query down to a part, ordered by ``key``, which must be unique; without a part it stays as it is."""
    if part is None:
        return query
    if part.companies is not None:
        query = query.where(company.in_(list(part.companies)))
    if part.after:
        here, there = tuple_(*key), tuple_(*part.after)
        query = query.where(here < there if newest_first else here > there)
    order = [each.desc() if newest_first else each for each in key]
    return query.order_by(None).order_by(*order).limit(part.size)


def matches_keys(company: Any, external_id: Any, keys: Collection[tuple[Any, str]]) -> Any:
    """Say "one of these", each a company's id and the ledger's: by company, for SQLite finds no pairs by an index."""
    by_company: dict[Any, list[str]] = {}
    for company_id, thing_id in keys:
        by_company.setdefault(company_id, []).append(thing_id)
    if not by_company:
        return false()
    return or_(*(and_(company == each, external_id.in_(ids)) for each, ids in by_company.items()))
