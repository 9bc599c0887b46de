"""What `duewell run` has in common with the server, which it does not load: signals, and how many companies at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

THREADS = 4  # companies synced side by side


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Make SIGTERM and Ctrl-C set ``stop`` instead of ending the process; a second Ctrl-C interrupts at once."""

    def request_stop(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    before = {number: signal.signal(number, request_stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
