"""Intuit's limits for one company: 10 requests in a second, 500 and 40 batches in a minute. Off by default."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

PER_SECOND = 10
PER_MINUTE = 500
BATCHES_PER_MINUTE = 40


@dataclass(slots=True)
class Throttle:
    """Counts the requests of each company by the sandbox's clock; off by default, because tests often freeze it."""

    enabled: bool = False
    per_second: int = PER_SECOND
    per_minute: int = PER_MINUTE
    batches_per_minute: int = BATCHES_PER_MINUTE
    _seen: dict[str, deque[datetime]] = field(default_factory=dict)
    _batches: dict[str, deque[datetime]] = field(default_factory=dict)

    def allow(self, realm: str, now: datetime, *, is_batch: bool = False) -> bool:
        """Count a request and return whether it is within the limits."""
        if not self.enabled:
            return True
        if is_batch:
            batches = self._batches.setdefault(realm, deque())
            while batches and batches[0] <= now - timedelta(minutes=1):
                batches.popleft()
            if len(batches) >= self.batches_per_minute:
                return False
            batches.append(now)
        seen = self._seen.setdefault(realm, deque())
        while seen and seen[0] <= now - timedelta(minutes=1):
            seen.popleft()
        last_second = sum(1 for at in seen if at > now - timedelta(seconds=1))
        if len(seen) >= self.per_minute or last_second >= self.per_second:
            return False
        seen.append(now)
        return True
