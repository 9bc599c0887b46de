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
_MOST_KNOWN = 300
_About = tuple[str, tuple[int, ...]]  # which figures, of which companies
_Stamp = tuple[date, tuple[tuple[int, date], ...]]  # the day, and each company's books as read, and its day
_known: WeakKeyDictionary[Pool, dict[_About, tuple[_Stamp, Any]]] = WeakKeyDictionary()  # by open database


def remembered(make: Callable[[Session, Scope], Figures]) -> Callable[[Session, Scope], Figures]:
    """Make figures once for the same books on the same day: with a hundred thousand open invoices it takes seconds."""

    @wraps(make)
    def known_or_made(session: Session, scope: Scope) -> Figures:
        known = _known.setdefault(session.connection().engine.pool, {})
        about = (f"{make.__module__}.{make.__qualname__}", tuple(scope.ids))
        days = scope.days()
        stamp = (scope.today, tuple((row.mirror_version, days[row.id or 0]) for row in scope.companies))
        if about not in known or known[about][0] != stamp:
            if len(known) >= _MOST_KNOWN:
                known.clear()
            known[about] = (stamp, make(session, scope))
        figures: Figures = known[about][1]
        return figures

    return known_or_made
