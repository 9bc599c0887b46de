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

from connector.db.tables import Budget, Connection
from policies.formatting import format_datetime
from providers.calls import CallKind
from providers.errors import LimitWindow, RateLimited

DAILY_WRITE_RESERVE = 50  # of a day's calls, for writes: notes and fees of mails already sent still find a way out
READS_PER_RUN = 6  # what an hour with changes reads at Xero; a quiet one reads three …
CALLS_PER_RUN = READS_PER_RUN + 2  # … and a note or two is written
MONTHLY_RESERVE_SHARE = 0.01  # of a month's reads: those of sign-ins and checks are not counted here
_DAY = timedelta(days=1)
_REMAINING_HEADERS = {"x-daylimit-remaining": LimitWindow.DAY}  # Xero; the minute is waited for by the transport
_APP_WIDE_LIMITS = (LimitWindow.APP, LimitWindow.MONTH)  # limits that hold for all of an app's companies together


class BudgetExhausted(RateLimited):
    """A call that was not made, though the vendor may have allowed it; nothing left this machine."""


@dataclass(slots=True)
class _Limit:
    """A limit as the vendor last told of it; ``began_at`` is when its window began, as far as that is known."""

    used: int = 0
    remaining: int | None = None
    window_started_at: datetime | None = None
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
        monthly_read_limit: int | None = None,
    ) -> None:
        """Load what the last runs learned; ``reads_a_month`` are those the app may make for all its companies."""
        self.connection_id = connection_id
        self.now = now
        self.calls_made: Counter[CallKind] = Counter()
        self._interval = interval
        self._monthly_read_limit = monthly_read_limit
        self.authorize_call: Callable[[], None] = lambda: (
            None
        )  # asked before every write and mail; raises where it may not
        self._limits = {
            row.limit_name: _Limit(row.used, row.remaining, row.window_started_at, row.blocked_until_at)
            for row in session.scalars(select(Budget).where(col(Budget.connection_id) == connection_id))
        }
        self._read_allowance: int | None = None  # of the reads, this run's; once the vendor has told what is left
        self._month_reads_before_run = self._month_reads_used()
        others = list_app_limits(session, connection_id)
        self._app_blocks = [(row.limit_name, row.blocked_until_at) for row in others]
        month = month_start(now())
        self._month_reads_of_others = sum(
            row.used
            for row in others
            if row.limit_name == LimitWindow.MONTH
            and row.connection_id != connection_id
            and row.window_started_at == month
        )

    def before(self, kind: CallKind) -> None:
        """Refuse a call the vendor would refuse: raises ``RateLimited`` with the time when it may be tried again."""
        if kind in {CallKind.WRITE, CallKind.EMAIL}:
            self.authorize_call()
        if kind in {CallKind.TOKEN, CallKind.EMAIL}:
            return
        self._check_blocks()
        day = self._limits.get(LimitWindow.DAY)
        if day is not None and day.remaining is not None and not self._has_expired(day):
            self._check_day_limit(kind, day, day.remaining)
        if kind == CallKind.READ and self._monthly_read_limit is not None:
            self._check_month_limit(self._monthly_read_limit)

    def after(self, kind: CallKind, status: int, headers: Mapping[str, str]) -> None:
        """Count the call and note what its reply says is left."""
        self.calls_made[kind] += 1
        for name, value in headers.items():
            limit = _REMAINING_HEADERS.get(name.lower())
            if limit and value.strip().isdigit():
                self._record_remaining(limit, int(value))

    def record_limit(self, error: object) -> None:
        """Remember a limit that the vendor says is reached, for the runs to come, of all its companies if it is so."""
        if isinstance(error, BudgetExhausted):
            return
        if isinstance(error, RateLimited) and error.retry_at and error.limit in {LimitWindow.DAY, *_APP_WIDE_LIMITS}:
            limit = self._limits.setdefault(LimitWindow(error.limit), _Limit(window_started_at=self.now()))
            limit.blocked_until_at = min(error.retry_at, self.now() + 31 * _DAY)

    def run_spacing(self) -> timedelta | None:
        """Give the time between runs where less is left than they would need; None where there is enough."""
        day = self._limits.get(LimitWindow.DAY)
        if day is None or day.remaining is None or self._has_expired(day):
            return None
        affordable = max(day.remaining - DAILY_WRITE_RESERVE, 0) // READS_PER_RUN  # notes can wait
        return self._time_to_end(day) / (affordable + 1) if affordable < self._remaining_runs(day) else None

    def save(self, session: Session) -> None:
        """Store what was learned, in the caller's transaction."""
        month = self._limits.setdefault(LimitWindow.MONTH, _Limit())
        month.used, month.window_started_at = (
            self._month_reads_before_run + self.calls_made[CallKind.READ],
            month_start(self.now()),
        )
        for name, limit in self._limits.items():
            session.merge(
                Budget(
                    connection_id=self.connection_id,
                    limit_name=name,
                    used=limit.used,
                    remaining=limit.remaining,
                    window_started_at=limit.window_started_at,
                    blocked_until_at=limit.blocked_until_at,
                )
            )

    def _record_remaining(self, name: LimitWindow, remaining: int) -> None:
        limit = self._limits.setdefault(name, _Limit())
        if limit.remaining is None or remaining > limit.remaining or self._has_expired(limit):
            limit.window_started_at, limit.used = self.now(), 0
        limit.used, limit.remaining = limit.used + 1, remaining
        if self._read_allowance is None:
            self._read_allowance = (
                self.calls_made[CallKind.READ] - 1 + self._compute_read_allowance(limit, remaining + 1)
            )

    def _compute_read_allowance(self, limit: _Limit, remaining: int) -> int:
        rest = remaining - DAILY_WRITE_RESERVE
        spare = rest - CALLS_PER_RUN * self._remaining_runs(limit)
        return READS_PER_RUN + spare // 2 if spare > 0 else max(min(READS_PER_RUN, rest), 0)

    def _check_day_limit(self, kind: CallKind, day: _Limit, remaining: int) -> None:
        if remaining <= (DAILY_WRITE_RESERVE if kind == CallKind.READ else 0):
            message = (
                f"only {remaining} of today's calls to this company are left; they are kept for notes already owed"
            )
            raise BudgetExhausted(message, limit=LimitWindow.DAY, retry_at=self.now() + self._time_to_end(day))
        if (
            kind == CallKind.READ
            and self._read_allowance is not None
            and self.calls_made[CallKind.READ] >= self._read_allowance
        ):
            message = (
                f"this run has made its part ({self._read_allowance}) of the calls that are left to this company today;"
                " the next goes on"
            )
            raise BudgetExhausted(
                message, limit=LimitWindow.DAY, retry_at=self.now() + (self.run_spacing() or self._interval)
            )

    def _check_month_limit(self, allowed: int) -> None:
        used = self._month_reads_of_others + self._month_reads_before_run + self.calls_made[CallKind.READ]
        if used >= allowed * (1 - MONTHLY_RESERVE_SHARE):
            message = f"{used:,} of this month's {allowed:,} reads are used; beyond them the ledger would refuse"
            raise BudgetExhausted(message, limit=LimitWindow.MONTH, retry_at=_next_month_start(self.now()))

    def _check_blocks(self) -> None:
        own = [(name, limit.blocked_until_at) for name, limit in self._limits.items()]
        for name, until in [*self._app_blocks, *own]:
            if until is not None and until > self.now():
                message = (
                    f"the ledger's limit of calls ({name}) is reached; it is asked again from {format_datetime(until)}"
                )
                raise BudgetExhausted(message, limit=LimitWindow(name), retry_at=until)

    def _has_expired(self, limit: _Limit) -> bool:
        """Tell whether a day has passed since its window began, or it began by a clock that was wrong."""
        return limit.window_started_at is None or not timedelta(0) <= self.now() - limit.window_started_at < _DAY

    def _time_to_end(self, limit: _Limit) -> timedelta:
        return (limit.window_started_at or self.now()) + _DAY - self.now()

    def _remaining_runs(self, limit: _Limit) -> int:
        return ceil(self._time_to_end(limit) / self._interval)

    def _month_reads_used(self) -> int:
        month = self._limits.get(LimitWindow.MONTH)
        return month.used if month is not None and month.window_started_at == month_start(self.now()) else 0


def month_start(now: datetime) -> datetime:
    """Give the first instant of the month."""
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def list_app_limits(session: Session, connection_id: int) -> list[Budget]:
    """List what is known of the limits that a connection shares with all others of its ledger."""
    provider = select(col(Connection.provider)).where(col(Connection.id) == connection_id).scalar_subquery()
    query = (
        select(Budget)
        .join(Connection, col(Connection.id) == Budget.connection_id)
        .where(col(Connection.provider) == provider, col(Budget.limit_name).in_(_APP_WIDE_LIMITS))
    )
    return list(session.scalars(query))


def count_month_reads(session: Session, now: datetime) -> dict[str, int]:
    """Count the reads of this month by ledger: what QuickBooks meters for all companies of an app together."""
    query = (
        select(col(Connection.provider), func.sum(col(Budget.used)))
        .join(Connection, col(Connection.id) == Budget.connection_id)
        .where(col(Budget.limit_name) == LimitWindow.MONTH, col(Budget.window_started_at) == month_start(now))
        .group_by(col(Connection.provider))
    )
    return {provider: int(used) for provider, used in session.execute(query)}


def _next_month_start(now: datetime) -> datetime:
    return month_start(month_start(now) + timedelta(days=32))
