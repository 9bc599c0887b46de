"""The sandbox's clock: real time by default, and adjustable, so that a test of seconds covers ninety days."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Observer = Callable[[datetime], None]


class SandboxClock:
    """The sandbox's time as an aware UTC instant.

    It runs with real time until ``set`` freezes it; ``advance`` moves it in both cases. Observers are only notified of
    times later than all before: what has happened in the sandbox is not undone if a test sets the clock back.
    """

    def __init__(self, now: datetime | None = None) -> None:
        """Start at real time, or frozen at ``now``."""
        self._lock = threading.RLock()
        self._frozen_at: datetime | None = None
        self._offset = timedelta()
        self._observers: list[Observer] = []
        self._latest_notified: datetime | None = None
        if now is not None:
            self.set(now)

    def now(self) -> datetime:
        """Return the sandbox's current time."""
        with self._lock:
            return self._frozen_at if self._frozen_at is not None else datetime.now(UTC) + self._offset

    def set(self, at: datetime) -> None:
        """Freeze the clock at ``at``."""
        if at.tzinfo is None:
            message = "the sandbox's clock needs an instant with a time zone"
            raise ValueError(message)
        with self._lock:
            self._frozen_at = at.astimezone(UTC)
            self._notify_observers()

    def advance(self, delta: timedelta) -> datetime:
        """Move the clock by ``delta`` and return the new time; a running clock continues from there."""
        with self._lock:
            if self._frozen_at is None:
                self._offset += delta
            else:
                self._frozen_at += delta
            self._notify_observers()
            return self.now()

    def run(self) -> None:
        """Unfreeze the clock: it continues from its current time."""
        with self._lock:
            if self._frozen_at is not None:
                self._offset = self._frozen_at - datetime.now(UTC)
                self._frozen_at = None

    def observe(self, observer: Observer) -> None:
        """Call ``observer`` with the new time whenever the clock is moved past all times before."""
        with self._lock:
            self._observers.append(observer)

    def _notify_observers(self) -> None:
        now = self.now()
        if self._latest_notified is not None and now <= self._latest_notified:
            return
        self._latest_notified = now
        for observer in tuple(self._observers):
            observer(now)
