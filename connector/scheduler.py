"""Wakes the hour: a clock that looks for due connections and runs them on a few threads, and stops when asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError

from connector.access.tokens import finish_interrupted_refreshes
from connector.database import reading
from connector.installation import Installation
from connector.lease import claim_due

THREADS = 4
LOOK_EVERY_SECONDS = 15
_MISSED_LOOKS_MAX = 4
log = logging.getLogger("duewell.scheduler")

Run = Callable[[Installation, int], object]
Errand = Callable[[Installation], object]


class Scheduler:
    """The clock of one process. The connection's row says when it is due; APScheduler only wakes us to look."""

    def __init__(
        self,
        installation: Installation,
        run: Run,
        *,
        threads: int = THREADS,
        look_every_seconds: float = LOOK_EVERY_SECONDS,
        errands: Sequence[Errand] = (),
    ) -> None:
        """Prepare; ``run`` runs one connection for an hour, ``errands`` are done beside the hours, each look once."""
        self._installation = installation
        self._errands = errands
        self._run = run
        self._threads = threads
        self._every = timedelta(seconds=look_every_seconds)
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="hour")
        self._clock = BackgroundScheduler(timezone=UTC)
        self._running: set[int] = set()
        self._guard = threading.Lock()
        self._looked_at: datetime | None = None

    def start(self) -> None:
        """Mend what a killed process left, then look at once and from then on again and again."""
        for problem in finish_interrupted_refreshes(self._installation):
            log.warning("a refresh that was cut off could not be finished: %s", problem)
        for job in (self.look, *(partial(self._do, errand) for errand in self._errands)):
            self._clock.add_job(
                job,
                IntervalTrigger(seconds=max(1, int(self._every.total_seconds())), timezone=UTC),
                next_run_time=datetime.now(UTC),
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,  # after the machine slept: look once, late
            )
        self._clock.start()

    def look(self) -> None:
        """Start a run for every due connection there is a thread for."""
        if self._installation.stopping():
            return
        with self._guard:
            busy = set(self._running)
        free = self._threads - len(busy)
        try:
            with reading(self._installation.engine) as session:
                due = claim_due(session, self._installation.now(), self._threads + len(busy))
        except SQLAlchemyError as problem:
            log.warning("the database could not be asked what is due: %s", type(problem).__name__)
            return
        self._looked_at = datetime.now(UTC)
        for connection_id in [each for each in due if each not in busy][:free]:
            with self._guard:
                self._running.add(connection_id)
            self._pool.submit(self._run_one, connection_id)

    def alive(self) -> bool:
        """Tell whether the clock is running and has looked lately."""
        looked_at = self._looked_at
        if not self._clock.running or looked_at is None:
            return False
        return datetime.now(UTC) - looked_at < _MISSED_LOOKS_MAX * self._every + timedelta(seconds=_MISSED_LOOKS_MAX)

    def stop(self) -> None:
        """Ask every run to end, and wait until the calls under way have."""
        self._installation.stop.set()
        if self._clock.running:
            self._clock.shutdown(wait=False)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _do(self, errand: Errand) -> None:
        try:
            errand(self._installation)
        except Exception:  # what is done beside the hours must never end the clock
            log.exception("an errand beside the hours broke off")

    def _run_one(self, connection_id: int) -> None:
        try:
            self._run(self._installation, connection_id)
        except Exception:  # a fault of ours in one company's hour must not stop the others' hours
            log.exception("the run of connection %s broke off", connection_id)
        finally:
            with self._guard:
                self._running.discard(connection_id)
