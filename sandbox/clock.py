"""The sandbox's clock: real time by default, and adjustable, so that a test of seconds covers ninety days."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """The sandbox's time as an aware UTC instant.

    It runs with real time until ``set`` freezes it; ``advance`` moves it in both cases.
    """

    def __init__(self, now: datetime | None = None) -> None:
        """Start at real time, or frozen at ``now``."""
        self.lock = threading.RLock()
        self._frozen_at: datetime | None = None
        self._offset = timedelta()
        if now is not None:
            self.set(now)

    def now(self) -> datetime:
        """Return the sandbox's current time."""
        with self.lock:
            return self._frozen_at if self._frozen_at is not None else datetime.now(UTC) + self._offset

    def set(self, at: datetime) -> None:
        """Freeze the clock at ``at``."""
        if at.tzinfo is None:
            message = "the sandbox's clock needs an instant with a time zone"
            raise ValueError(message)
        with self.lock:
            self._frozen_at = at.astimezone(UTC)

    def advance(self, delta: timedelta) -> datetime:
        """Move the clock by ``delta`` and return the new time; a running clock continues from there."""
        with self.lock:
            if self._frozen_at is None:
                self._offset += delta
            else:
                self._frozen_at += delta
            return self.now()

    def sleep(self, seconds: float) -> None:
        """Wait this long: a frozen clock jumps instead."""
        with self.lock:
            frozen = self._frozen_at is not None
        if frozen:
            self.advance(timedelta(seconds=seconds))
        else:
            time.sleep(seconds)

    def run(self) -> None:
        """Unfreeze the clock: it continues from its current time."""
        with self.lock:
            if self._frozen_at is not None:
                self._offset = self._frozen_at - datetime.now(UTC)
                self._frozen_at = None
