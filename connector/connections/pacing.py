"""Paces the calls to a ledger by its known limits, for all processes together, so that a 429 is news and not routine.

Each call first reserves its place in the database, in a moving window: however the service's own windows lie, none of
them holds more calls than allowed. What others have used of a limit, as the replies tell, counts as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import bindparam, select, tuple_, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import Session, SQLModel

from connector.app_context import AppContext
from connector.db.engine import writing
from connector.db.tables import KeyValue
from providers.calls import CallKind, CallObserver
from providers.capabilities import CallLimit, PacedProvider
from providers.errors import LimitWindow, RateLimited
from providers.response_parsing import parse_retry_after

PATIENCE = timedelta(seconds=65)  # of a sync: a minute's limit is waited out; anything longer is left to another run
VISITOR_PATIENCE = timedelta(seconds=5)  # of somebody who waits for a page
BUCKETS_PER_WINDOW = 50  # calls are counted by fiftieths of a window
_MINUTE_REMAINING = "x-minlimit-remaining"  # Xero
_LIMIT_REACHED = "x-rate-limit-problem"  # Xero; only those of a minute or a day come with Retry-After
_HOLD_MAX = timedelta(minutes=2)  # what a 429 asks for beyond that is the daily limit, which the budget keeps
_PACED = frozenset({CallKind.READ, CallKind.WRITE})
# Each call reads and stores the rows of its limits: on the table, and built once, it takes a third of the time.
_ROWS = SQLModel.metadata.tables["key_value"]
_KEY = tuple_(_ROWS.c.connection_id, _ROWS.c.name)
_LOCKED = (
    select(_ROWS.c.connection_id, _ROWS.c.name, _ROWS.c.value)
    .where(_KEY.in_(bindparam("keys", expanding=True)))
    .order_by(_ROWS.c.connection_id, _ROWS.c.name)
    .with_for_update()
)
_STORE = (
    update(_ROWS)
    .where(_ROWS.c.connection_id == bindparam("of_company"), _ROWS.c.name == bindparam("of_name"))
    .values(value=bindparam("value"), stored_at=bindparam("stored_at"))
)


class _Window(msgspec.Struct):
    """The calls of one limit: ``[start, count]`` in milliseconds, oldest first; some lie ahead, reserved."""

    buckets: list[tuple[int, int]] = []
    held_until: int = 0  # a 429 asked to wait until then

    def forget(self, width: int, length: int, now: int) -> None:
        """Remove what no longer counts, and what a clock that was put back has left in the future."""
        self.buckets = [(at, n) for at, n in self.buckets if now - length - width < at <= now + 2 * length]
        if self.held_until > now + _HOLD_MAX.total_seconds() * 1000:
            self.held_until = 0

    def free_at(self, calls: int, capacity: int, width: int, length: int, now: int) -> int:
        """Return when so many more calls may start, by the calls that have then left the window."""
        at = max(now, self.held_until)
        missing = calls - (capacity - sum(n for _, n in self.buckets))
        for start, count in self.buckets:
            if missing <= 0:
                break
            missing -= count
            at = max(at, start + width + length)
        return at

    def add(self, calls: int, width: int, at: int) -> None:
        """Count calls that start then."""
        start = at - at % width
        counts = dict(self.buckets)
        counts[start] = counts.get(start, 0) + calls
        self.buckets = sorted(counts.items())


@dataclass(frozen=True, slots=True)
class _Rule:
    """A limit, with the row and the name under which its calls are counted."""

    limit: CallLimit
    connection_id: int
    row: str

    @property
    def key(self) -> tuple[int, str]:
        return self.connection_id, self.row

    @property
    def name(self) -> str:
        return f"{self.length} ms"

    @property
    def length(self) -> int:
        return int(self.limit.within.total_seconds() * 1000)

    @property
    def width(self) -> int:
        return max(1, self.length // BUCKETS_PER_WINDOW)

    @property
    def capacity(self) -> int:
        """A little less than is allowed: of two calls that start apart, the later may arrive closer to the first."""
        return self.limit.calls - max(1, self.limit.calls // 30)


class Pacer:
    """Starts the calls to one company's ledger only when its limits allow."""

    def __init__(self, app: AppContext, connection_id: int, provider: str, patience: timedelta = PATIENCE) -> None:
        """Find the limits of the provider; one that names none is not paced.

        Args:
            app: The database, the clock, and how to wait.
            connection_id: The company.
            provider: The provider's name: companies of one app share some limits.
            patience: How long a call may wait; beyond it ``RateLimited`` says when to try again.
        """
        self._app = app
        self.patience = patience
        self.waited = timedelta()
        self._counted = 0  # of the company's longest window, at the last call
        found = app.providers[provider]
        limits = found.call_limits() if isinstance(found, PacedProvider) else ()
        self._rules = [
            _Rule(each, 0 if each.of_app else connection_id, f"calls:{provider}" if each.of_app else "calls")
            for each in limits
        ]

    def wait_turn(self) -> None:
        """Reserve the next call, and wait until it may start."""
        if self._rules:
            self._wait_until(self._reserve(1))

    def wait_for_room(self, calls: int) -> None:
        """Wait until so many calls may start one right after the other: what belongs together is not torn apart."""
        if self._rules:
            self._wait_until(self._reserve(0, calls))

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Raise ``RateLimited`` for calls inside that could not start at once."""
        patience, self.patience = self.patience, timedelta()
        try:
            yield
        finally:
            self.patience = patience

    def record_reply(self, status: int, headers: Mapping[str, str]) -> None:
        """Count what others have used of the minute, and hold all calls for as long as a 429 asks."""
        lowered = {name.lower(): value.strip() for name, value in headers.items()}
        of_company = [rule for rule in self._rules if rule.connection_id]
        if not of_company:
            return
        longest = max(of_company, key=lambda rule: rule.length)
        now = self._app.now()
        if status == 429:
            if _LIMIT_REACHED in lowered and "retry-after" not in lowered:
                return  # too many calls at once: there is room again as soon as one of them ends
            until = parse_retry_after(lowered.get("retry-after"), now) or now + longest.limit.within
            if until <= now + _HOLD_MAX:
                self._update(lambda windows: setattr(windows[longest], "held_until", _ms(until)), [longest])
            return
        remaining = lowered.get(_MINUTE_REMAINING, "")
        if remaining.isdigit():
            missing = longest.limit.calls - int(remaining) - self._counted
            if missing > 0:
                self._counted += missing
                self._update(lambda windows: windows[longest].add(missing, longest.width, _ms(now)), [longest])

    def _reserve(self, calls: int, needed: int = 0) -> datetime:
        """Return when ``calls`` (or the ``needed``) may start; ``calls`` are counted then."""
        now = self._app.now()
        at = _ms(now)

        def reserve(windows: dict[_Rule, _Window]) -> None:
            nonlocal at
            for rule, window in windows.items():
                wanted = min(calls or needed, rule.capacity)
                at = max(at, window.free_at(wanted, rule.capacity, rule.width, rule.length, _ms(now)))
            if calls and at - _ms(now) <= self.patience.total_seconds() * 1000:
                for rule, window in windows.items():
                    window.add(calls, rule.width, at)
                    if rule.connection_id:
                        self._counted = sum(count for _, count in window.buckets)

        self._update(reserve, self._rules)
        return now + timedelta(milliseconds=at - _ms(now))

    def _wait_until(self, at: datetime) -> None:
        delay = at - self._app.now()
        if delay <= timedelta():
            return
        if delay > self.patience:
            message = "this company's calls for this minute are used up; the next ones wait for their turn"
            raise RateLimited(message, limit=LimitWindow.MINUTE, retry_at=at)
        self.waited += delay
        self._app.wait(delay.total_seconds())

    def _update(self, change: Callable[[dict[_Rule, _Window]], object], rules: list[_Rule]) -> None:
        """Change the windows in one transaction. Where the database fails, a call is made without its reservation."""
        try:
            self._try_update(change, rules)
        except IntegrityError:  # another process has created the row in this moment
            self._try_update(change, rules)
        except OperationalError:
            return  # the run will notice for itself; a limit kept by chance is better than a call not made

    def _try_update(self, change: Callable[[dict[_Rule, _Window]], object], rules: list[_Rule]) -> None:
        now = self._app.now()
        # It reads only the rows that it locks, always in this order: no call waits for what others write meanwhile.
        with writing(self._app.engine, durable=False, locks_its_rows=True) as session:
            rows = _load_rows(session, rules, now)
            windows = {rule: _window(rows[rule.key], rule) for rule in rules}
            for rule, window in windows.items():
                window.forget(rule.width, rule.length, _ms(now))
            change(windows)
            for rule, window in windows.items():
                rows[rule.key][rule.name] = msgspec.to_builtins(window)
            changed = [
                {"of_company": company, "of_name": name, "value": value, "stored_at": now}
                for (company, name), value in rows.items()
            ]
            session.execute(_STORE, changed)


class PacedCalls:
    """An observer of calls that lets each wait for its turn first."""

    def __init__(self, calls: CallObserver, pacer: Pacer) -> None:
        self._calls = calls
        self._pacer = pacer

    def before(self, kind: CallKind) -> None:
        """Wait, and only then ask whether the call may still be made."""
        if kind in _PACED:
            self._pacer.wait_turn()
        self._calls.before(kind)

    def after(self, kind: CallKind, status: int, headers: Mapping[str, str]) -> None:
        """Take over what the reply says about the limits."""
        if kind in _PACED:
            self._pacer.record_reply(status, headers)
        self._calls.after(kind, status, headers)


def _load_rows(session: Session, rules: list[_Rule], now: datetime) -> dict[tuple[int, str], dict[str, object]]:
    """Return the rows of some limits by key, locked; two processes that create one at once wait for each other."""
    keys = sorted({rule.key for rule in rules})
    rows: dict[tuple[int, str], dict[str, object]] = {
        (company, name): {**value} for company, name, value in session.execute(_LOCKED, {"keys": keys})
    }
    if missing := [key for key in keys if key not in rows]:
        session.add_all(KeyValue(connection_id=key[0], name=key[1], value={}, stored_at=now) for key in missing)
        session.flush()
    return {key: rows.get(key, {}) for key in keys}


def _window(row: Mapping[str, object], rule: _Rule) -> _Window:
    try:
        return msgspec.convert(row.get(rule.name, {}), type=_Window)
    except msgspec.ValidationError:  # of another version: start anew
        return _Window()


def _ms(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() * 1000)
