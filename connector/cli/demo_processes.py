"""Syncs of the demo in processes of their own, so that two cores share the work and the web app answers meanwhile."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.pool import Pool

from connector.app_context import AppContext, open_app
from connector.connections.registry import set_mode
from connector.run import RunResult, run_connection
from connector.settings import load_settings


@dataclass
class DayClock:
    """The simulated day of a process; whoever waits moves it on."""

    at: datetime

    def now(self) -> datetime:
        """Return the simulated time."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Move on instead of waiting."""
        self.at += timedelta(seconds=seconds)


@dataclass(frozen=True)
class _Worker:
    app: AppContext
    clock: DayClock


_workers: list[_Worker] = []  # the one of this process


class SyncProcesses:
    """Processes that sync one company each at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def sync(self, connection_ids: Sequence[int], at: datetime) -> list[RunResult]:
        """Sync these companies side by side as of ``at``."""
        return self._pool.starmap(_sync, [(each, at) for each in connection_ids], chunksize=1)

    def go_live(self, connection_ids: Sequence[int], at: datetime) -> list[RunResult]:
        """Sync them for the first time, in observe mode, and switch them to live."""
        return self._pool.starmap(_go_live, [(each, at) for each in connection_ids], chunksize=1)


@contextmanager
def open_processes(values: Mapping[str, str], count: int, at: datetime) -> Iterator[SyncProcesses]:
    """Start so many processes on an installation with these settings; they end with the block, whatever they do."""
    with multiprocessing.get_context("spawn").Pool(count, _open, (dict(values), at)) as pool:
        yield SyncProcesses(pool)


def _open(values: dict[str, str], at: datetime) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    clock = DayClock(at)
    _workers.append(_Worker(open_app(load_settings(**values), now=clock.now, sleep=clock.sleep), clock))


def _sync(connection_id: int, at: datetime) -> RunResult:
    (worker,) = _workers
    worker.clock.at = at
    return run_connection(worker.app, connection_id)


def _go_live(connection_id: int, at: datetime) -> RunResult:
    result = _sync(connection_id, at)
    set_mode(_workers[0].app, connection_id, "live", by="the demo")
    return result
