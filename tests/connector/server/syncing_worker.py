"""A worker process whose syncs never end, to be killed: ``python -m tests.connector.server.syncing_worker HOST AT``."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from connector.app_context import AppContext, open_app
from connector.runtime import lease
from connector.server.job_queue import QueueWorker
from connector.server.scheduler import Scheduler
from connector.settings import load_settings


@contextmanager
def syncing_worker(app: AppContext, home: Path, host: str = "") -> Iterator[subprocess.Popen[str]]:
    """Start a worker beside ``app``, by default on its machine, and wait until it syncs a company."""
    settings = {
        "DUEWELL_HOME": str(home),
        "DUEWELL_DATABASE_URL": app.settings.duewell_database_url,
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    command = [sys.executable, "-m", "tests.connector.server.syncing_worker", host, app.now().isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | settings) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "syncing\n"
        yield worker
        worker.kill()


def _sync_for_ever(app: AppContext, connection_id: int) -> None:
    with lease.acquire(app, connection_id):
        sys.stdout.write("syncing\n")
        sys.stdout.flush()
        threading.Event().wait()


def main() -> None:
    """Sync what is due, until somebody kills this process."""
    host, at = sys.argv[1:]
    if host:
        socket.gethostname = lambda: host
    app = open_app(load_settings(), now=lambda: datetime.fromisoformat(at))
    engine = QueueWorker if app.engine.dialect.name == "postgresql" else Scheduler
    engine(app, _sync_for_ever).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
