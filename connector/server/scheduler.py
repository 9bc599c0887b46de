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

from connector.app_context import AppContext
from connector.connections.tokens import finish_interrupted_refreshes
from connector.db.engine import reading
from connector.runtime.lease import list_due

THREADS = 4
POLL_SECONDS = 15
_MAX_MISSED_POLLS = 4
log = logging.getLogger("duewell.scheduler")

RunFunction = Callable[[AppContext, int], object]
BackgroundJob = Callable[[AppContext], object]


class Scheduler:
    """The clock of one process. The connection's row says when it is due; APScheduler only wakes us to look."""

    def __init__(
        self,
        app: AppContext,
        run: RunFunction,
        *,
        threads: int = THREADS,
        poll_seconds: float = POLL_SECONDS,
        jobs: Sequence[BackgroundJob] = (),
    ) -> None:
        """Prepare; ``run`` runs one connection for an hour, ``errands`` are done beside the hours, each look once."""
        self._installation = app
        self._jobs = jobs
        self._run = run
        self._threads = threads
        self._poll_interval = timedelta(seconds=poll_seconds)
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="hour")
        self._clock = BackgroundScheduler(timezone=UTC)
        self._running: set[int] = set()
        self._lock = threading.Lock()
        self._polled_at: datetime | None = None

    def start(self) -> None:
        """Mend what a killed process left, then look at once and from then on again and again."""
        for problem in finish_interrupted_refreshes(self._installation):
            log.warning("a refresh that was cut off could not be finished: %s", problem)
        for job in (self.poll, *(partial(self._run_job, errand) for errand in self._jobs)):
            self._clock.add_job(
                job,
                IntervalTrigger(seconds=max(1, int(self._poll_interval.total_seconds())), timezone=UTC),
                next_run_time=datetime.now(UTC),
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,  # after the machine slept: look once, late
            )
        self._clock.start()

    def poll(self) -> None:
        """Start a run for every due connection there is a thread for."""
        if self._installation.is_stopping():
            return
        with self._lock:
            busy = set(self._running)
        free = self._threads - len(busy)
        try:
            with reading(self._installation.engine) as session:
                due = list_due(session, self._installation.now(), self._threads + len(busy))
        except SQLAlchemyError as problem:
            log.warning("the database could not be asked what is due: %s", type(problem).__name__)
            return
        self._polled_at = datetime.now(UTC)
        for connection_id in [each for each in due if each not in busy][:free]:
            with self._lock:
                self._running.add(connection_id)
            self._pool.submit(self._run_one, connection_id)

    def is_alive(self) -> bool:
        """Tell whether the clock is running and has looked lately."""
        looked_at = self._polled_at
        if not self._clock.running or looked_at is None:
            return False
        return datetime.now(UTC) - looked_at < _MAX_MISSED_POLLS * self._poll_interval + timedelta(
            seconds=_MAX_MISSED_POLLS
        )

    def stop(self) -> None:
        """Ask every run to end, and wait until the calls under way have."""
        self._installation.stop.set()
        if self._clock.running:
            self._clock.shutdown(wait=False)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run_job(self, job: BackgroundJob) -> None:
        try:
            job(self._installation)
        except Exception:  # what is done beside the hours must never end the clock
            log.exception("an errand beside the hours broke off")

    def _run_one(self, connection_id: int) -> None:
        try:
            self._run(self._installation, connection_id)
        except Exception:  # a fault of ours in one company's hour must not stop the others' hours
            log.exception("the run of connection %s broke off", connection_id)
        finally:
            with self._lock:
                self._running.discard(connection_id)
