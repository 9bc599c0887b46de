"""The scheduler: polls for due connections, syncs them on a few threads, and stops when asked."""

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
from connector.server.process import THREADS

POLL_SECONDS = 15
_MAX_MISSED_POLLS = 4
log = logging.getLogger("duewell.scheduler")

RunFunction = Callable[[AppContext, int], object]
BackgroundJob = Callable[[AppContext], object]


class RegularJobs:
    """What is done again and again in this process, each job on a thread of its own; a failing one stops nothing."""

    def __init__(self, app: AppContext, jobs: Sequence[BackgroundJob], *, poll_seconds: float = POLL_SECONDS) -> None:
        """Prepare the jobs; nothing runs before ``start``."""
        self._app = app
        self._jobs = jobs
        self._trigger = IntervalTrigger(seconds=max(1, int(poll_seconds)), timezone=UTC)
        self._clock = BackgroundScheduler(timezone=UTC)

    @property
    def is_running(self) -> bool:
        """Whether they were started and not stopped."""
        return bool(self._clock.running)

    def start(self) -> None:
        """Do each job at once, then regularly."""
        for job in self._jobs:
            self._clock.add_job(
                partial(self._do, job),
                self._trigger,
                next_run_time=datetime.now(UTC),
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,  # after the machine was suspended: once, late
            )
        self._clock.start()

    def stop(self) -> None:
        """Begin no job any more."""
        if self._clock.running:
            self._clock.shutdown(wait=False)

    def _do(self, job: BackgroundJob) -> None:
        try:
            job(self._app)
        except Exception:
            log.exception("a background job failed")


class SyncWorker:
    """What syncs due connections on a few threads, and how it begins, wherever it learns of them."""

    def __init__(self, app: AppContext, run: RunFunction, threads: int) -> None:
        """Hold the application whose connections are synced, what syncs one, and how many at the same time."""
        self._app = app
        self._run = run
        self._threads = threads

    def start(self) -> None:
        """Finish token refreshes that a killed process interrupted, then begin."""
        for problem in finish_interrupted_refreshes(self._app):
            log.warning("an interrupted token refresh could not be finished: %s", problem)
        self._begin()

    def _begin(self) -> None:
        raise NotImplementedError

    def _sync(self, connection_id: int) -> None:
        try:
            self._run(self._app, connection_id)
        except Exception:  # an internal error in one company must not stop the others
            log.exception("the run of connection %s failed", connection_id)


class Scheduler(SyncWorker):
    """The scheduler of one process. The database says which connections are due; APScheduler only triggers polls."""

    def __init__(
        self,
        app: AppContext,
        run: RunFunction,
        *,
        threads: int = THREADS,
        poll_seconds: float = POLL_SECONDS,
        jobs: Sequence[BackgroundJob] = (),
    ) -> None:
        """Prepare a scheduler; nothing runs before ``start``.

        Args:
            app: The application whose connections are synced.
            run: Syncs one connection.
            threads: How many connections are synced at the same time.
            poll_seconds: The time between two polls.
            jobs: What else is done once per poll, on threads of its own.
        """
        super().__init__(app, run, threads)
        self._poll_interval = timedelta(seconds=poll_seconds)
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="sync")
        self._clock = RegularJobs(app, (lambda _app: self.poll(), *jobs), poll_seconds=poll_seconds)
        self._running: set[int] = set()
        self._lock = threading.Lock()
        self._polled_at: datetime | None = None

    def _begin(self) -> None:
        self._clock.start()  # polls at once

    def poll(self) -> None:
        """Start the sync of every due connection there is a free thread for."""
        if self._app.is_stopping():
            return
        with self._lock:
            running = set(self._running)
        try:
            with reading(self._app.engine) as session:
                limit = self._threads + len(running)
                due = list_due(session, self._app.now(), limit, home=self._app.settings.duewell_home)
        except SQLAlchemyError as error:
            log.warning("the due connections could not be read: %s", type(error).__name__)
            return
        self._polled_at = datetime.now(UTC)
        free_threads = self._threads - len(running)
        for connection_id in [each for each in due if each not in running][:free_threads]:
            with self._lock:
                self._running.add(connection_id)
            self._pool.submit(self._run_one, connection_id)

    def is_alive(self) -> bool:
        """Return whether the scheduler is running and has polled recently."""
        polled_at = self._polled_at
        if not self._clock.is_running or polled_at is None:
            return False
        tolerance = _MAX_MISSED_POLLS * (self._poll_interval + timedelta(seconds=1))
        return datetime.now(UTC) - polled_at < tolerance

    def stop(self) -> None:
        """Ask every run to stop, and wait for the calls under way."""
        self._app.stop.set()
        self._clock.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run_one(self, connection_id: int) -> None:
        try:
            self._sync(connection_id)
        finally:
            with self._lock:
                self._running.discard(connection_id)
