"""Remembers a report that depends on nothing but the books and the day, until either of them is another one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import wraps
from weakref import WeakKeyDictionary

from sqlalchemy.pool import Pool
from sqlmodel import Session

from connector.reports.report import Report
from connector.reports.scope import Scope

_MOST_KNOWN = 64
_Key = tuple[str, date, tuple[tuple[int, int, date], ...]]  # report, day, and each company's books as read, and its day
_known: WeakKeyDictionary[Pool, dict[_Key, Report]] = WeakKeyDictionary()  # by open database


def remembered(make: Callable[[Session, Scope], Report]) -> Callable[[Session, Scope], Report]:
    """Make a report once for the same books on the same day: with a hundred thousand open invoices it takes seconds."""

    @wraps(make)
    def known_or_made(session: Session, scope: Scope) -> Report:
        known = _known.setdefault(session.connection().engine.pool, {})
        days = {each: today for today, ids in scope.todays() for each in ids}
        books = tuple((row.id or 0, row.mirror_version, days[row.id or 0]) for row in scope.companies)
        key = (make.__name__, scope.today, books)
        if key not in known:
            if len(known) >= _MOST_KNOWN:
                known.clear()
            known[key] = make(session, scope)
        return known[key]

    return known_or_made
