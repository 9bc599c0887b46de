"""Remembers figures that depend on nothing but the books and the day, until either of them is another one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy.pool import Pool
from sqlmodel import Session

from connector.reports.scope import Scope

Figures = TypeVar("Figures")
_CACHE_SIZE = 300
_CacheKey = tuple[str, tuple[int, ...]]  # which figures, of which companies
_CacheVersion = tuple[date, tuple[tuple[int, date], ...]]  # the day, and each company's books as read, and its day
_cache: WeakKeyDictionary[Pool, dict[_CacheKey, tuple[_CacheVersion, Any]]] = WeakKeyDictionary()  # by open database


def cached(compute: Callable[[Session, Scope], Figures]) -> Callable[[Session, Scope], Figures]:
    """Make figures once for the same books on the same day: with a hundred thousand open invoices it takes seconds."""

    @wraps(compute)
    def known_or_made(session: Session, scope: Scope) -> Figures:
        known = _cache.setdefault(session.connection().engine.pool, {})
        about = (f"{compute.__module__}.{compute.__qualname__}", tuple(scope.ids))
        days = scope.today_by_company()
        stamp = (scope.today, tuple((row.mirror_version, days[row.id or 0]) for row in scope.companies))
        if about not in known or known[about][0] != stamp:
            if len(known) >= _CACHE_SIZE:
                known.clear()
            known[about] = (stamp, compute(session, scope))
        figures: Figures = known[about][1]
        return figures

    return known_or_made
