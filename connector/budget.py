"""What a run may still call: counts every call, shares a day's calls among its hours, and stops before limits are hit.

A vendor's day is not ours: Xero's begins at another moment for each company and only tells what is left. So a jump
upwards is taken for its beginning. What is left is kept for, in this order: the writes owed (``DAY_RESERVE``), one
reading of the books in each run still to come (``RUN_CALLS``); of the rest one run may use half. So a first load goes
fast, and the last hour of the day still reads. Where not even that is left, the runs are put further apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.tables import Budget, Connection
from policies.wording import moment
from providers.errors import RateLimited

DAY_RESERVE = 50  # of a day's calls, for writes: notes and fees of mails already sent still find a way out
RUN_READS = 6  # what an hour with changes reads at Xero; a quiet one reads three …
RUN_CALLS = RUN_READS + 2  # … and a note or two is written
MONTH_SPARED = 0.01  # of a month's reads: those of sign-ins and checks are not counted here
_DAY = timedelta(days=1)
_LEFT_HEADERS = {"x-daylimit-remaining": "day"}  # Xero; the minute is waited for by the transport
_OF_ALL = ("app", "month")  # limits that hold for all of an app's companies together


class Spared(RateLimited):
    """A call that was not made, though the vendor may have allowed it; nothing left this machine."""


@dataclass(slots=True)
class _Limit:
    """A limit as the vendor last told of it; ``began_at`` is when its window began, as far as that is known."""

    used: int = 0
    left: int | None = None
    began_at: datetime | None = None
    blocked_until_at: datetime | None = None


class CallBudget:
    """One connection's calls (the port ``providers.ledger.Calls``): counted by kind, checked against what is left."""

    def __init__(
        self,
        session: Session,
        connection_id: int,
        now: Callable[[], datetime],
        *,
        interval: timedelta = timedelta(hours=1),
        reads_a_month: int | None = None,
    ) -> None:
        """Load what the last runs learned; ``reads_a_month`` are those the app may make for all its companies."""
        self.connection_id = connection_id
        self.now = now
        self.made: Counter[str] = Counter()
        self._interval = interval
        self._reads_a_month = reads_a_month
        self.may_act: Callable[[], None] = lambda: None  # asked before every write and mail; raises where it may not
        self._limits = {
            row.limit_name: _Limit(row.used, row.remaining, row.window_started_at, row.blocked_until_at)
            for row in session.scalars(select(Budget).where(col(Budget.connection_id) == connection_id))
        }
        self._share: int | None = None  # of the reads, this run's; once the vendor has told what is left
        self._reads_before = self._used_this_month()
        others = app_rows(session, connection_id)
        self._blocked = [(row.limit_name, row.blocked_until_at) for row in others]
        month = month_began(now())
        self._reads_of_others = sum(
            row.used
            for row in others
            if row.limit_name == "month" and row.connection_id != connection_id and row.window_started_at == month
        )

    def before(self, kind: str) -> None:
        """Refuse a call the vendor would refuse: raises ``RateLimited`` with the time when it may be tried again."""
        if kind in {"write", "mail"}:
            self.may_act()
        if kind in {"token", "mail"}:
            return
        self._refuse_blocked()
        day = self._limits.get("day")
        if day is not None and day.left is not None and not self._is_over(day):
            self._refuse_by_day(kind, day, day.left)
        if kind == "read" and self._reads_a_month is not None:
            self._refuse_by_month(self._reads_a_month)

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        """Count the call and note what its reply says is left."""
        self.made[kind] += 1
        for name, value in headers.items():
            limit = _LEFT_HEADERS.get(name.lower())
            if limit and value.strip().isdigit():
                self._told(limit, int(value))

    def refused(self, error: object) -> None:
        """Remember a limit that the vendor says is reached, for the runs to come, of all its companies if it is so."""
        if isinstance(error, Spared):
            return
        if isinstance(error, RateLimited) and error.not_before_at and error.limit in {"day", *_OF_ALL}:
            limit = self._limits.setdefault(error.limit, _Limit(began_at=self.now()))
            limit.blocked_until_at = min(error.not_before_at, self.now() + 31 * _DAY)

    def turns_apart(self) -> timedelta | None:
        """Give the time between runs where less is left than they would need; None where there is enough."""
        day = self._limits.get("day")
        if day is None or day.left is None or self._is_over(day):
            return None
        affordable = max(day.left - DAY_RESERVE, 0) // RUN_READS  # notes can wait
        return self._until_end(day) / (affordable + 1) if affordable < self._runs_left(day) else None

    def save(self, session: Session) -> None:
        """Store what was learned, in the caller's transaction."""
        month = self._limits.setdefault("month", _Limit())
        month.used, month.began_at = self._reads_before + self.made["read"], month_began(self.now())
        for name, limit in self._limits.items():
            session.merge(
                Budget(
                    connection_id=self.connection_id,
                    limit_name=name,
                    used=limit.used,
                    remaining=limit.left,
                    window_started_at=limit.began_at,
                    blocked_until_at=limit.blocked_until_at,
                )
            )

    def _told(self, name: str, left: int) -> None:
        limit = self._limits.setdefault(name, _Limit())
        if limit.left is None or left > limit.left or self._is_over(limit):
            limit.began_at, limit.used = self.now(), 0
        limit.used, limit.left = limit.used + 1, left
        if self._share is None:
            self._share = self.made["read"] - 1 + self._share_of(limit, left + 1)

    def _share_of(self, limit: _Limit, left: int) -> int:
        rest = left - DAY_RESERVE
        spare = rest - RUN_CALLS * self._runs_left(limit)
        return RUN_READS + spare // 2 if spare > 0 else max(min(RUN_READS, rest), 0)

    def _refuse_by_day(self, kind: str, day: _Limit, left: int) -> None:
        if left <= (DAY_RESERVE if kind == "read" else 0):
            message = f"only {left} of today's calls to this company are left; they are kept for notes already owed"
            raise Spared(message, limit="day", not_before_at=self.now() + self._until_end(day))
        if kind == "read" and self._share is not None and self.made["read"] >= self._share:
            message = (
                f"this run has made its part ({self._share}) of the calls that are left to this company today;"
                " the next goes on"
            )
            raise Spared(message, limit="day", not_before_at=self.now() + (self.turns_apart() or self._interval))

    def _refuse_by_month(self, allowed: int) -> None:
        used = self._reads_of_others + self._reads_before + self.made["read"]
        if used >= allowed * (1 - MONTH_SPARED):
            message = f"{used:,} of this month's {allowed:,} reads are used; beyond them the ledger would refuse"
            raise Spared(message, limit="month", not_before_at=_next_month(self.now()))

    def _refuse_blocked(self) -> None:
        own = [(name, limit.blocked_until_at) for name, limit in self._limits.items()]
        for name, until in [*self._blocked, *own]:
            if until is not None and until > self.now():
                message = f"the ledger's limit of calls ({name}) is reached; it is asked again from {moment(until)}"
                raise Spared(message, limit=name, not_before_at=until)

    def _is_over(self, limit: _Limit) -> bool:
        """Tell whether a day has passed since its window began, or it began by a clock that was wrong."""
        return limit.began_at is None or not timedelta(0) <= self.now() - limit.began_at < _DAY

    def _until_end(self, limit: _Limit) -> timedelta:
        return (limit.began_at or self.now()) + _DAY - self.now()

    def _runs_left(self, limit: _Limit) -> int:
        return ceil(self._until_end(limit) / self._interval)

    def _used_this_month(self) -> int:
        month = self._limits.get("month")
        return month.used if month is not None and month.began_at == month_began(self.now()) else 0


def month_began(now: datetime) -> datetime:
    """Give the first instant of the month."""
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def app_rows(session: Session, connection_id: int) -> list[Budget]:
    """List what is known of the limits that a connection shares with all others of its ledger."""
    provider = select(col(Connection.provider)).where(col(Connection.id) == connection_id).scalar_subquery()
    query = (
        select(Budget)
        .join(Connection, col(Connection.id) == Budget.connection_id)
        .where(col(Connection.provider) == provider, col(Budget.limit_name).in_(_OF_ALL))
    )
    return list(session.scalars(query))


def reads_this_month(session: Session, now: datetime) -> dict[str, int]:
    """Count the reads of this month by ledger: what QuickBooks meters for all companies of an app together."""
    query = (
        select(col(Connection.provider), func.sum(col(Budget.used)))
        .join(Connection, col(Connection.id) == Budget.connection_id)
        .where(col(Budget.limit_name) == "month", col(Budget.window_started_at) == month_began(now))
        .group_by(col(Connection.provider))
    )
    return {provider: int(used) for provider, used in session.execute(query)}


def _next_month(now: datetime) -> datetime:
    return month_began(month_began(now) + timedelta(days=32))
