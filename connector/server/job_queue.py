"""Due work on PostgreSQL: a queue, by procrastinate, brings it to the workers of many machines.

The queue decides nothing. A connection's row says when it is due, its lease and fence who runs it, and outbox keys what
happens once: the queue may be emptied or lost, and a job may run twice. Jobs have a ``queueing_lock``, so that a
connection waits in it once, and no ``lock``: that of a killed worker's job would never end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from time import monotonic
from typing import Any

import procrastinate
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.schema import SchemaManager
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from connector.app_context import AppContext
from connector.db.engine import reading, writing
from connector.db.tables import KeyValue
from connector.runtime import worker_beats
from connector.runtime.lease import lease_owner, list_due
from connector.runtime.queued_jobs import clear_stalled, has_queue, list_queueing_locks
from connector.server.process import THREADS
from connector.server.scheduler import POLL_SECONDS, BackgroundJob, RunFunction, SyncWorker

QUEUED_MAX = 1_000  # syncs that wait: those due later come when these have begun
_SYNCS, _UPKEEP = "syncs", "upkeep"
_UPKEEP_THREADS = 2
_POOLED_POLL_SECONDS = 2.0
_RESTART_SECONDS = 5.0
_BEAT_SECONDS = 5.0
_LOST_BEATS = 12
_APP_WIDE = 0  # connection_id of values that belong to no connection
_SCHEMA_KEY = "queue_schema"
log = logging.getLogger("duewell.queue")


class QueueWorker(SyncWorker):
    """One of several workers on one PostgreSQL database; ``is_alive`` and ``stop`` as the ``Scheduler`` has.

    Each of them also looks for what is due, in turns, and clears away what killed workers left in the queue.
    """

    def __init__(
        self,
        app: AppContext,
        run: RunFunction,
        *,
        threads: int = THREADS,
        poll_seconds: int = POLL_SECONDS,
        jobs: Sequence[BackgroundJob] = (),
    ) -> None:
        """Prepare a worker; nothing runs before ``start``.

        Args:
            app: The application whose connections are synced.
            run: Syncs one connection.
            threads: How many connections are synced at the same time.
            poll_seconds: The time between two looks for what is due, by one worker each; a divisor of 60.
            jobs: What else is done regularly, by one worker at a time.
        """
        super().__init__(app, run, threads)
        self._home = app.settings.duewell_home
        self._owner = lease_owner(self._home)
        self._jobs = {job.__name__: job for job in jobs}
        self._queue = self._build_queue(poll_seconds)
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)
        self._is_ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()  # belongs to the loop
        self._beat_at = 0.0
        logging.getLogger("procrastinate").setLevel(logging.WARNING)  # it logs each job three times

    def _begin(self) -> None:
        prepare_queue(self._app.engine)
        self._thread.start()
        self._is_ready.wait()

    def is_alive(self) -> bool:
        """Return whether the worker is connected to the queue and takes jobs."""
        return self._thread.is_alive() and monotonic() - self._beat_at < _LOST_BEATS * _BEAT_SECONDS

    def stop(self) -> None:
        """Ask every run to stop, and wait for the calls under way."""
        self._app.stop.set()
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def _build_queue(self, poll_seconds: int) -> procrastinate.App:
        url = self._app.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        is_pooled = self._app.settings.duewell_database_pooler == "1"
        connecting = {"application_name": "duewell queue"} | ({"prepare_threshold": None} if is_pooled else {})
        connector = procrastinate.PsycopgConnector(conninfo=url, kwargs=connecting, min_size=1, max_size=3)
        queue = procrastinate.App(connector=connector)
        self._sync_task = queue.task(name="sync", queue=_SYNCS)(self._run_one)
        self._upkeep = [
            queue.task(name=name, queue=_UPKEEP, queueing_lock=name)(self._as_job(job))
            for name, job in self._jobs.items()
        ]
        self._tick = queue.task(name="tick", queue=_UPKEEP, queueing_lock="tick")(self._defer_due)
        queue.periodic(cron=f"* * * * * */{poll_seconds}")(self._tick)  # the sixth field is seconds
        return queue

    def _work(self) -> None:
        with asyncio.Runner() as runner, ThreadPoolExecutor(self._threads + 2 * _UPKEEP_THREADS) as pool:
            runner.get_loop().set_default_executor(pool)
            runner.run(self._work_until_stopped())

    async def _work_until_stopped(self) -> None:
        self._loop = asyncio.get_running_loop()
        beating = asyncio.create_task(self._beat_on())
        self._is_ready.set()
        while not self._app.is_stopping():
            try:
                await self._work_while_connected()
            except Exception as error:  # noqa: BLE001 - whatever it is, due work must not wait for a person
                log.warning("the queue cannot be reached, and is tried again: %s", type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), _RESTART_SECONDS)
        beating.cancel()

    async def _work_while_connected(self) -> None:
        is_pooled = self._app.settings.duewell_database_pooler == "1"
        shared: dict[str, Any] = {
            "wait": True,
            "delete_jobs": "always",  # the sync log says what was done
            "install_signal_handlers": False,
            "listen_notify": not is_pooled,
        } | ({"fetch_job_polling_interval": _POOLED_POLL_SECONDS} if is_pooled else {})
        async with self._queue.open_async():
            await self._defer(self._tick, "tick", timestamp=0)
            working = [
                asyncio.create_task(self._queue.run_worker_async(queues=[name], concurrency=threads, **shared))
                for name, threads in ((_SYNCS, self._threads), (_UPKEEP, _UPKEEP_THREADS))
            ]
            stopped = asyncio.create_task(self._stopped.wait())
            while not any(each.done() for each in (stopped, *working)):
                self._beat_at = monotonic()
                await asyncio.wait((stopped, *working), timeout=_BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for each in working:
                each.cancel()  # it then takes no job any more, and waits for those that it has
            for ended in await asyncio.gather(*working, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

    async def _beat_on(self) -> None:
        """Note in the database that this worker is alive, also while the queue cannot be reached or it is stopping."""
        while True:
            await asyncio.to_thread(self._beat)
            await asyncio.sleep(_BEAT_SECONDS)

    def _beat(self) -> None:
        try:
            with writing(self._app.engine, locks_its_rows=True) as session:
                worker_beats.beat(session, self._owner)
        except SQLAlchemyError as error:
            log.warning("it could not be noted that this worker is alive: %s", type(error).__name__)

    async def _defer_due(self, timestamp: int) -> None:  # procrastinate hands over the time of the tick
        """Queue the connections that are due and do not wait in the queue yet, and the other regular work."""
        due = await asyncio.to_thread(self._look)
        for connection_id in due:
            await self._defer(self._sync_task, _sync_lock(connection_id), connection_id=connection_id)
        for task in self._upkeep:
            await self._defer(task, task.name)

    @staticmethod
    async def _defer(task: Any, queueing_lock: str, **arguments: int) -> None:
        with contextlib.suppress(AlreadyEnqueued):
            await task.configure(queueing_lock=queueing_lock).defer_async(**arguments)

    def _look(self) -> list[int]:
        if self._app.is_stopping():
            return []
        with writing(self._app.engine, locks_its_rows=True) as session:
            clear_stalled(session)
            worker_beats.release_silent(session)
        with reading(self._app.engine) as session:
            due = list_due(session, self._app.now(), QUEUED_MAX, home=self._home)
            waiting = list_queueing_locks(session)
        return [each for each in due if _sync_lock(each) not in waiting]

    def _run_one(self, connection_id: int) -> None:
        """Sync a connection that is still due: another worker may have done so since it was queued."""
        try:
            with reading(self._app.engine) as session:
                is_due = bool(list_due(session, self._app.now(), 1, home=self._home, connection_id=connection_id))
        except SQLAlchemyError:
            log.exception("whether connection %s is due could not be read", connection_id)
            return
        if is_due and not self._app.is_stopping():
            self._sync(connection_id)

    def _as_job(self, job: BackgroundJob) -> Callable[[], None]:
        def do() -> None:
            try:
                job(self._app)
            except Exception:  # a background job must never stop the worker
                log.exception("a background job failed")

        return do


def prepare_queue(engine: Engine) -> None:
    """Make the queue's tables, anew where they belong to another version of procrastinate: the queue may be lost."""
    here = {"procrastinate": version("procrastinate")}
    with writing(engine) as session:
        known = session.get(KeyValue, (_APP_WIDE, _SCHEMA_KEY))
        if has_queue(session) and known is not None and known.value == here:
            return
        for drop in session.execute(text(_DROPS)).scalars().all():
            session.execute(text(drop))
        session.connection().exec_driver_sql(SchemaManager.get_schema(), execution_options={"no_parameters": True})
        at = session.execute(text("SELECT now()")).scalar_one()
        session.merge(KeyValue(connection_id=_APP_WIDE, name=_SCHEMA_KEY, value=here, stored_at=at))


def _sync_lock(connection_id: int) -> str:
    return f"sync-{connection_id}"


_DROPS = """
SELECT format('DROP TABLE %I CASCADE', relname) FROM pg_class
WHERE relkind = 'r' AND relname LIKE 'procrastinate\\_%' AND relnamespace = current_schema()::regnamespace
UNION ALL
SELECT format('DROP FUNCTION IF EXISTS %s CASCADE', oid::regprocedure) FROM pg_proc
WHERE proname LIKE 'procrastinate\\_%' AND pronamespace = current_schema()::regnamespace
UNION ALL
SELECT format('DROP TYPE IF EXISTS %I CASCADE', typname) FROM pg_type LEFT JOIN pg_class ON pg_class.oid = typrelid
WHERE (typtype = 'e' OR relkind = 'c') AND typname LIKE 'procrastinate\\_%'
  AND typnamespace = current_schema()::regnamespace
"""
