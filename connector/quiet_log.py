"""A log for what strangers cause: one line a minute and subject, with a count, however often it happens."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

INTERVAL_S = 60.0


class QuietLog:
    """Wraps a logger. Its own lines, and those that a library writes to ``logger``, are held back for a minute."""

    def __init__(self, logger: logging.Logger, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.logger = logger
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._written_at: dict[str, float] = {}
        self._held_back: dict[str, int] = {}
        logger.addFilter(self._is_due)

    def note(self, subject: str, reason: str, network: str) -> None:
        """Log, at the level of information, that something happened for a reason, and the network it came from."""
        self.logger.info("%s: %s, last from %s", subject, reason, network, extra={"subject": f"{subject}: {reason}"})

    def _is_due(self, record: logging.LogRecord) -> bool:
        subject = getattr(record, "subject", str(record.msg))
        now = self._monotonic()
        with self._lock:
            written_at = self._written_at.get(subject)
            if written_at is not None and now - written_at < INTERVAL_S:
                self._held_back[subject] = self._held_back.get(subject, 0) + 1
                return False
            self._written_at[subject] = now
            more = self._held_back.pop(subject, 0)
        if more:
            record.msg = f"{record.msg} (and {more} more times in the last minutes)"
        return True
