"""Runs the web app and the scheduler in one process until asked to stop."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI

from connector.app_context import AppContext
from connector.auth.sign_in import create_first_link
from connector.privacy import retention
from connector.run import run_connection
from connector.server.prepared_figures import prepare_figures
from connector.server.process import THREADS, stop_on_signals
from connector.server.protocol import LimitedProtocol
from connector.server.scheduler import RegularJobs, RunFunction, Scheduler
from connector.setting_types import is_loopback_host
from connector.web.app import make_app
from connector.webhooks import delivery
from providers.import_lock import IMPORT_LOCK

if TYPE_CHECKING:
    from connector.server.job_queue import QueueWorker

BACKGROUND_JOBS = (delivery.deliver_pending, retention.prune_daily)
REQUESTS_END_S = 5  # for requests under way when asked to stop
THREADS_END_S = 1.0  # for the threads of those that were given up
_REQUEST_THREAD = "AnyIO worker thread"
STOP_S = 180.0  # for the calls of runs, each of which ends within two minutes
log = logging.getLogger("duewell.serve")


class ServeError(Exception):
    """The web app cannot be served; ``str()`` says why and what to do."""


def serve(
    app: AppContext,
    host: str,
    port: int,
    *,
    notify: Callable[[str], None] = print,
    run: RunFunction = run_connection,
    is_syncing: bool = True,
) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish the calls under way, start no new ones, and return.

    A request that does not end is given up after seconds; whatever else does not end, after minutes.

    While there is no user, ``notify`` gets the link to create the first owner. Without ``is_syncing`` nothing runs
    but the web app: others sync.
    """
    scheduler = _make_worker(app, run) if is_syncing else None
    own_jobs = RegularJobs(app, (prepare_figures,))
    web_app = make_app(app, scheduler, *([host] if not _is_unspecified(host) else []))
    config = server_config(web_app, host=host, port=port)
    if not is_loopback_host(host) and not app.settings.duewell_base_url.startswith("https://"):
        log.warning(
            "%s is reachable from other machines: put HTTPS in front and set DUEWELL_BASE_URL accordingly", host
        )
    listening = _listen(host, port)  # first of all: a second `serve` must not start syncs and then fail
    link = create_first_link(app)
    if link is not None:
        notify(f"No user can sign in yet. Create the owner here: {app.settings.duewell_base_url}/welcome/{link}")
    with listening, stop_on_signals(threading.Event()):  # uvicorn stops on a signal and raises it again when it ends
        own_jobs.start()
        if scheduler is not None:
            scheduler.start()
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            with _forced_exit_after(STOP_S):
                own_jobs.stop()
                if scheduler is not None:
                    scheduler.stop()
    _exit_despite_request_threads()


def server_config(web_app: FastAPI, **more: Any) -> uvicorn.Config:
    """Return how uvicorn serves the web app: with limits for slow clients, and an end to waiting when it stops."""
    return uvicorn.Config(
        web_app,
        http=LimitedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=REQUESTS_END_S,
        **more,
    )


@contextmanager
def _forced_exit_after(seconds: float) -> Iterator[None]:
    """End the process where the block does not end in time: what runs leave behind is made good by the next start."""

    def end() -> None:
        log.error("stopping took more than %.0f s; the process ends now", seconds)
        _exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _exit_despite_request_threads() -> None:
    """End the process where a request that was given up still keeps its thread: Python would wait for it."""
    stuck = [each for each in threading.enumerate() if each.name.startswith(_REQUEST_THREAD) and not each.daemon]
    for thread in stuck:
        thread.join(timeout=THREADS_END_S / len(stuck))
    if any(thread.is_alive() for thread in stuck) and threading.current_thread() is threading.main_thread():
        log.warning("a request that was given up has not ended; the process ends without it")
        _exit(0)


def _exit(code: int) -> None:
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        message = (
            f"Cannot listen on {host}:{port} ({error.strerror}). If another `duewell serve` uses it, one is enough;"
            " otherwise choose another port with --port and set DUEWELL_BASE_URL accordingly."
        )
        raise ServeError(message) from error


def run_worker(app: AppContext, *, threads: int = THREADS) -> None:
    """Sync due connections until asked to stop, without a web app: one of several workers on a PostgreSQL database."""
    scheduler = _make_worker(app, run_connection, threads=threads)
    with stop_on_signals(app.stop):
        scheduler.start()
        app.stop.wait()
        scheduler.stop()


def _make_worker(app: AppContext, run: RunFunction, *, threads: int = THREADS) -> Scheduler | QueueWorker:
    if app.engine.dialect.name == "sqlite":
        return Scheduler(app, run, threads=threads, jobs=BACKGROUND_JOBS)
    with IMPORT_LOCK:
        from connector.server.job_queue import QueueWorker  # noqa: PLC0415 - only an installation with a queue loads it

    return QueueWorker(app, run, threads=threads, jobs=BACKGROUND_JOBS)


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
