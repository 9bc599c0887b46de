"""What a run may still call: counts every call, remembers vendors' limits, and stops before they are hit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import Session, col

from connector.tables import Budget
from providers.errors import RateLimited

# Reads stop while this many of a day's calls are left: notes and fees of mails already sent still find a way out.
DAY_RESERVE = 50
_LEFT_HEADERS = {"x-daylimit-remaining": "day"}  # Xero; the minute is waited for by the transport


class CallBudget:
    """One connection's calls (the port ``providers.ledger.Calls``): counted by kind, checked against what is left."""

    def __init__(self, session: Session, connection_id: int, now: Callable[[], datetime]) -> None:
        """Load what the last runs learned."""
        self.connection_id = connection_id
        self.now = now
        self.made: Counter[str] = Counter()
        self._limits = {
            row.limit_name: (row.remaining, row.window_started_at, row.blocked_until_at, row.used)
            for row in session.scalars(select(Budget).where(col(Budget.connection_id) == connection_id))
        }
        self._reads_before = self._used_this_month()

    def before(self, kind: str) -> None:
        """Refuse a call the vendor would refuse: raises ``RateLimited`` with the time when it may be tried again."""
        if kind in {"token", "mail"}:
            return
        left, seen_at, _blocked, _used = self._limits.get("day", (None, None, None, 0))
        if left is None or seen_at is None or not timedelta(0) <= self.now() - seen_at < timedelta(days=1):
            return  # never told, told yesterday, or told by a clock that was wrong
        if left <= (DAY_RESERVE if kind == "read" else 0):
            message = f"only {left} of today's calls to this company are left; they are kept for notes already owed"
            raise RateLimited(message, limit="day", not_before_at=seen_at + timedelta(days=1))

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        """Count the call and note what its reply says is left."""
        self.made[kind] += 1
        for name, value in headers.items():
            limit = _LEFT_HEADERS.get(name.lower())
            if limit and value.strip().isdigit():
                self._limits[limit] = (int(value), self.now(), None, 0)

    def save(self, session: Session) -> None:
        """Store what was learned, in the caller's transaction."""
        month = self.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self._limits["month"] = (None, month, None, self._reads_before + self.made["read"])
        for name, (left, seen_at, blocked, used) in self._limits.items():
            session.merge(
                Budget(
                    connection_id=self.connection_id,
                    limit_name=name,
                    used=used,
                    remaining=left,
                    window_started_at=seen_at,
                    blocked_until_at=blocked,
                )
            )

    def _used_this_month(self) -> int:
        _left, started_at, _blocked, used = self._limits.get("month", (None, None, None, 0))
        same = started_at is not None and (started_at.year, started_at.month) == (self.now().year, self.now().month)
        return used if same else 0
