"""How often something may happen in a while, per key, kept in memory: for pages and operations open to anybody."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime, timedelta

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

MAX_KEYS = 10_000  # beyond, the key that was quiet longest is forgotten


class RateLimiter:
    """A number of times in a moving window; a key that asks too often is refused until its oldest time is over."""

    def __init__(self, limit: int, window: timedelta, now: Callable[[], datetime]) -> None:
        """Allow ``limit`` times per key within ``window``."""
        self._item = RateLimitItemPerSecond(limit, int(window.total_seconds()))
        self._now = now
        self._windows = MovingWindowRateLimiter(_Windows(now))

    def try_acquire(self, key: str) -> bool:
        """Return whether it may happen once more now, and count it if so."""
        return self._windows.hit(self._item, key)

    def wait_s(self, key: str) -> int:
        """Return the whole seconds after which a refused key may ask again."""
        reset_at = self._windows.get_window_stats(self._item, key).reset_time
        return max(1, math.ceil(reset_at - self._now().timestamp()))


class _Windows(MemoryStorage):
    """The times of each key, by our clock. The library's own windows are by the machine's, and have no bound."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.wrap_exceptions = False  # all that the library's __init__ sets for a window; it starts a thread as well
        self._now = now
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count ``amount`` times unless they would be more than ``limit``."""
        with self._lock:
            now, times = self._current(key, expiry)
            if len(times) + amount > limit:
                return False
            times.extend([now] * amount)
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return the oldest time that still counts, and how many do."""
        with self._lock:
            now, times = self._current(key, expiry)
            return (times[0] if times else now), len(times)

    def _current(self, key: str, expiry: int) -> tuple[float, deque[float]]:
        now, times = self._now().timestamp(), self._times.pop(key, deque())
        self._times[key] = times
        while times and not 0 <= now - times[0] < expiry:  # a clock put back frees as well
            times.popleft()
        if len(self._times) > MAX_KEYS:
            self._times.popitem(last=False)
        return now, times
