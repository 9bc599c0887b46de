"""A cache for figures that depend only on the mirrored data and the date, until either changes."""

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
_CACHE_SIZE = 5000  # a few for each company
_CacheKey = tuple[str, tuple[int, ...]]  # the function, and the companies
_CacheVersion = tuple[date, tuple[tuple[int, date], ...]]  # the date, and each company's version of the mirror and date
_cache: WeakKeyDictionary[Pool, dict[_CacheKey, tuple[_CacheVersion, Any]]] = WeakKeyDictionary()  # by open database


def cached(compute: Callable[[Session, Scope], Figures]) -> Callable[[Session, Scope], Figures]:
    """Compute figures once for the same data and date: with a hundred thousand open invoices that takes seconds."""

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
