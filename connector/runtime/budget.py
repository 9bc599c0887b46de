"""The call budget of a run: counts every call, spreads a day's calls over its runs, and stops before limits are hit.

Xero's day starts at a different time for each company, and its responses only tell how many calls remain: a jump
upwards is taken for the start of a new day. What remains is reserved, in this order, for writes that are already due
(``DAILY_WRITE_RESERVE``) and for one sync in each run still to come (``CALLS_PER_RUN``); of the rest one run may use
half. So a first load is quick, and the last run of the day can still read. Where not even that remains, the runs are
spaced further apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlmodel import Session, SQLModel, col

from connector.db.tables import Budget, Connection
from policies.formatting import format_datetime
from providers.calls import CallKind
from providers.errors import LimitWindow, RateLimited

DAILY_WRITE_RESERVE = 50  # calls a day for writes, so that notes about emails already sent can still be added
READS_PER_RUN = 6  # what a sync with changes reads at Xero; one without reads three …
CALLS_PER_RUN = READS_PER_RUN + 2  # … and writes a note or two
MONTHLY_RESERVE_SHARE = 0.01  # of a month's reads, for those of sign-ins and checks, which are not counted here
MAX_BLOCK = timedelta(days=31)
_DAY = timedelta(days=1)
_TOO_MANY_REQUESTS = 429
_REMAINING_HEADERS = {"x-daylimit-remaining": LimitWindow.DAY}  # Xero; the transport waits out the minute's limit
_APP_WIDE_LIMITS = (LimitWindow.APP, LimitWindow.MONTH)  # shared by all companies of an app


class BudgetExhausted(RateLimited):
    """A call was not made, to keep within a limit; nothing has been sent."""


@dataclass(slots=True)
class _Limit:
    """A limit as the provider last reported it; ``window_started_at`` is None where it is not known."""

    used: int = 0
    remaining: int | None = None
    window_started_at: datetime | None = None
    blocked_until_at: datetime | None = None


class CallBudget:
    """The calls of one connection (implements ``providers.ledger.Calls``), counted by kind and checked before each."""

    def __init__(
        self,
        session: Session,
        connection_id: int,
        now: Callable[[], datetime],
        *,
        interval: timedelta = timedelta(hours=1),
        monthly_read_limit: int | None = None,
    ) -> None:
        """Load the limits as the last runs left them.

        Args:
            session: Read only.
            connection_id: The connection whose calls are counted.
            now: The clock.
            interval: The time between two runs.
            monthly_read_limit: Reads a month for all companies of the app together; None where they are not metered.
        """
        self.connection_id = connection_id
        self.now = now
        self.calls_made: Counter[CallKind] = Counter()
        self.authorize_call: Callable[[], None] = _allow  # called before every write and email; raises to stop it
        self.report_rejection: Callable[[CallKind], None] = _ignore  # called where a service rejects a call for a limit
        self._interval = interval
        self._monthly_read_limit = monthly_read_limit
        self._limits = {
            row.limit_name: _Limit(row.used, row.remaining, row.window_started_at, row.blocked_until_at)
            for row in session.scalars(select(Budget).where(col(Budget.connection_id) == connection_id))
        }
        self._read_allowance: int | None = None  # reads of this run, known after the first response
        self._month_reads_before_run = self._month_reads_used()
        app_limits = list_app_limits(session, connection_id)
        self._app_blocks = [(row.limit_name, row.blocked_until_at) for row in app_limits]
        month = month_start(now())
        self._month_reads_of_others = sum(
            row.used
            for row in app_limits
            if row.limit_name == LimitWindow.MONTH
            and row.connection_id != connection_id
            and row.window_started_at == month
        )

    def before(self, kind: CallKind) -> None:
        """Raise ``RateLimited``, with the time to try again, for a call that would exceed a limit."""
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
        """Count the call, and record the remaining calls that its response reports."""
        self.calls_made[kind] += 1
        if status == _TOO_MANY_REQUESTS:
            self.report_rejection(kind)
        for name, value in headers.items():
            limit = _REMAINING_HEADERS.get(name.lower())
            if limit and value.strip().isdigit():
                self._record_remaining(limit, int(value))

    def record_limit(self, error: object) -> None:
        """Remember a limit that the provider reported as reached, for this and later runs."""
        if isinstance(error, BudgetExhausted):
            return
        if isinstance(error, RateLimited) and error.retry_at and error.limit in {LimitWindow.DAY, *_APP_WIDE_LIMITS}:
            limit = self._limits.setdefault(LimitWindow(error.limit), _Limit(window_started_at=self.now()))
            limit.blocked_until_at = min(error.retry_at, self.now() + MAX_BLOCK)

    def run_spacing(self) -> timedelta | None:
        """Return the time between runs where too few calls remain for one every interval, else None."""
        day = self._limits.get(LimitWindow.DAY)
        if day is None or day.remaining is None or self._has_expired(day):
            return None
        affordable = max(day.remaining - DAILY_WRITE_RESERVE, 0) // READS_PER_RUN  # notes can wait
        return self._time_to_end(day) / (affordable + 1) if affordable < self._remaining_runs(day) else None

    def save(self, session: Session) -> None:
        """Store the limits for the next run, in the caller's transaction."""
        month = self._limits.setdefault(LimitWindow.MONTH, _Limit())
        month.used = self._month_reads_before_run + self.calls_made[CallKind.READ]
        month.window_started_at = month_start(self.now())
        stored = set(session.connection().execute(_NAMES, {"company_id": self.connection_id}).scalars())
        for name, limit in self._limits.items():
            values = {
                "company_id": self.connection_id,
                "name": name,
                "new_used": limit.used,
                "new_remaining": limit.remaining,
                "started_at": limit.window_started_at,
                "until_at": limit.blocked_until_at,
            }
            session.connection().execute(_UPDATE if name in stored else _INSERT, values)

    def _record_remaining(self, name: LimitWindow, remaining: int) -> None:
        limit = self._limits.setdefault(name, _Limit())
        if limit.remaining is None or remaining > limit.remaining or self._has_expired(limit):
            limit.window_started_at, limit.used = self.now(), 0
        limit.used, limit.remaining = limit.used + 1, remaining
        if self._read_allowance is None:
            reads_before = self.calls_made[CallKind.READ] - 1
            self._read_allowance = reads_before + self._compute_read_allowance(limit, remaining + 1)

    def _compute_read_allowance(self, limit: _Limit, remaining: int) -> int:
        """Return how many reads this run may make: its own share, and half of what no run needs."""
        rest = remaining - DAILY_WRITE_RESERVE
        spare = rest - CALLS_PER_RUN * self._remaining_runs(limit)
        return READS_PER_RUN + spare // 2 if spare > 0 else max(min(READS_PER_RUN, rest), 0)

    def _check_day_limit(self, kind: CallKind, day: _Limit, remaining: int) -> None:
        if remaining <= (DAILY_WRITE_RESERVE if kind == CallKind.READ else 0):
            message = f"only {remaining} of today's calls for this company remain; they are reserved for notes and fees"
            raise BudgetExhausted(message, limit=LimitWindow.DAY, retry_at=self.now() + self._time_to_end(day))
        allowance = self._read_allowance
        if kind == CallKind.READ and allowance is not None and self.calls_made[CallKind.READ] >= allowance:
            message = (
                f"this sync has used its share ({allowance}) of today's remaining calls for this company;"
                " the next one continues"
            )
            retry_at = self.now() + (self.run_spacing() or self._interval)
            raise BudgetExhausted(message, limit=LimitWindow.DAY, retry_at=retry_at)

    def _check_month_limit(self, allowed: int) -> None:
        used = self._month_reads_of_others + self._month_reads_before_run + self.calls_made[CallKind.READ]
        if used >= allowed * (1 - MONTHLY_RESERVE_SHARE):
            message = f"{used:,} of this month's {allowed:,} reads are used; the ledger would reject more"
            raise BudgetExhausted(message, limit=LimitWindow.MONTH, retry_at=_next_month_start(self.now()))

    def _check_blocks(self) -> None:
        own = [(name, limit.blocked_until_at) for name, limit in self._limits.items()]
        for name, until in [*self._app_blocks, *own]:
            if until is not None and until > self.now():
                message = (
                    f"the ledger's call limit ({name}) is reached; the next attempt is at {format_datetime(until)}"
                )
                raise BudgetExhausted(message, limit=LimitWindow(name), retry_at=until)

    def _has_expired(self, limit: _Limit) -> bool:
        """Return whether the window is over, or started in the future because a clock was wrong."""
        return limit.window_started_at is None or not timedelta(0) <= self.now() - limit.window_started_at < _DAY

    def _time_to_end(self, limit: _Limit) -> timedelta:
        return (limit.window_started_at or self.now()) + _DAY - self.now()

    def _remaining_runs(self, limit: _Limit) -> int:
        return ceil(self._time_to_end(limit) / self._interval)

    def _month_reads_used(self) -> int:
        month = self._limits.get(LimitWindow.MONTH)
        return month.used if month is not None and month.window_started_at == month_start(self.now()) else 0


_ROWS = SQLModel.metadata.tables["budget"]
_OF_COMPANY = _ROWS.c.connection_id == bindparam("company_id")
_VALUES: dict[str, Any] = {
    "used": bindparam("new_used"),
    "remaining": bindparam("new_remaining"),
    "window_started_at": bindparam("started_at"),
    "blocked_until_at": bindparam("until_at"),
}
# Built once: every sync stores its limits.
_NAMES = select(_ROWS.c.limit_name).where(_OF_COMPANY)
_UPDATE = update(_ROWS).where(_OF_COMPANY, _ROWS.c.limit_name == bindparam("name")).values(_VALUES)
_INSERT = insert(_ROWS).values({"connection_id": bindparam("company_id"), "limit_name": bindparam("name"), **_VALUES})


def month_start(now: datetime) -> datetime:
    """Return the first instant of the month."""
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def list_app_limits(session: Session, connection_id: int) -> list[Budget]:
    """List the limits that a connection shares with all others of its provider."""
    provider = select(col(Connection.provider)).where(col(Connection.id) == connection_id).scalar_subquery()
    query = (
        select(Budget)
        .join(Connection, col(Connection.id) == Budget.connection_id)
        .where(col(Connection.provider) == provider, col(Budget.limit_name).in_(_APP_WIDE_LIMITS))
    )
    return list(session.scalars(query))


def count_month_reads(session: Session, now: datetime) -> dict[str, int]:
    """Count this month's reads by provider; QuickBooks meters them for all companies of an app together."""
    query = (
        select(col(Connection.provider), func.sum(col(Budget.used)))
        .join(Connection, col(Connection.id) == Budget.connection_id)
        .where(col(Budget.limit_name) == LimitWindow.MONTH, col(Budget.window_started_at) == month_start(now))
        .group_by(col(Connection.provider))
    )
    return {provider: int(used) for provider, used in session.execute(query)}


def _allow() -> None:
    """Allow any call."""


def _ignore(_kind: CallKind) -> None:
    """Report nothing."""


def _next_month_start(now: datetime) -> datetime:
    return month_start(month_start(now) + timedelta(days=32))
