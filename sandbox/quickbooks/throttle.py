"""Intuit's limits for one company: 10 requests in a second, 500 in a minute. Off by default."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

PER_SECOND = 10
PER_MINUTE = 500


@dataclass(slots=True)
class Throttle:
    """Counts the requests of each company by the sandbox's clock; off by default, because tests often freeze it."""

    enabled: bool = False
    per_second: int = PER_SECOND
    per_minute: int = PER_MINUTE
    _seen: dict[str, deque[datetime]] = field(default_factory=dict)

    def allow(self, realm: str, now: datetime) -> bool:
        """Count a request and return whether it is within the limits."""
        if not self.enabled:
            return True
        seen = self._seen.setdefault(realm, deque())
        while seen and seen[0] <= now - timedelta(minutes=1):
            seen.popleft()
        last_second = sum(1 for at in seen if at > now - timedelta(seconds=1))
        if len(seen) >= self.per_minute or last_second >= self.per_second:
            return False
        seen.append(now)
        return True
