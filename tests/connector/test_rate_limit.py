"""Rate limits: a moving window by our own clock, for a bounded number of keys and without threads."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from connector import rate_limit
from connector.rate_limit import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 6, 10, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limiter(clock: Clock, limit: int = 3, minutes: int = 1) -> RateLimiter:
    return RateLimiter(limit, timedelta(minutes=minutes), clock.now)


def test_attempts_beyond_the_limit_are_rejected_until_the_oldest_expires(clock: Clock) -> None:
    calls = limiter(clock)
    allowed = []
    for _ in range(4):
        allowed.append(calls.try_acquire("a"))
        clock.advance(10)
    assert allowed == [True, True, True, False]
    assert calls.wait_s("a") == 20
    clock.advance(19.5)
    assert (calls.try_acquire("a"), calls.wait_s("a")) == (False, 1)
    clock.advance(0.5)
    assert [calls.try_acquire("a"), calls.try_acquire("a")] == [True, False]


def test_each_key_has_a_window_of_its_own(clock: Clock) -> None:
    calls = limiter(clock, limit=1)
    assert [calls.try_acquire(key) for key in ("a", "b", "a")] == [True, True, False]


def test_a_clock_that_is_set_back_locks_nobody_out(clock: Clock) -> None:
    calls = limiter(clock, limit=1)
    assert calls.try_acquire("a")
    clock.advance(-3600)
    assert calls.try_acquire("a")


def test_only_the_keys_that_were_active_last_are_kept(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rate_limit.MAX_KEYS == 10_000
    monkeypatch.setattr(rate_limit, "MAX_KEYS", 3)
    calls = limiter(clock, limit=1)
    for key in ("a", "b", "c", "a", "d"):
        calls.try_acquire(key)
    assert [calls.try_acquire(key) for key in ("a", "d", "c", "b")] == [False, False, False, True]


def test_no_thread_is_started(clock: Clock) -> None:
    before = threading.active_count()
    limiter(clock).try_acquire("a")
    assert threading.active_count() == before
