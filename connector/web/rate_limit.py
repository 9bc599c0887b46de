"""How often something may happen in a while, per key, kept in memory: for pages that anybody may open."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta

_KEYS_MAX = 10_000  # beyond, the key that was quiet longest is forgotten


class RateLimiter:
    """So many times in so long; a key that asks too often is refused until its oldest time is over."""

    def __init__(self, limit: int, window: timedelta) -> None:
        """Allow ``times`` per key ``within`` a while."""
        self._limit = limit
        self._window = window
        self._seen: OrderedDict[str, deque[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def try_acquire(self, key: str, now: datetime) -> bool:
        """Tell whether it may happen once more now, and count it if so."""
        with self._lock:
            seen = self._seen.pop(key, deque())
            self._seen[key] = seen
            while seen and not timedelta(0) <= now - seen[0] < self._window:  # a clock put back frees as well
                seen.popleft()
            if len(self._seen) > _KEYS_MAX:
                self._seen.popitem(last=False)
            if len(seen) >= self._limit:
                return False
            seen.append(now)
            return True
