"""The queue brings due companies to workers; the rows decide, so whatever happens to the queue costs nothing."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from connector.app_context import AppContext, open_app
from connector.connections.registry import pause
from connector.db.engine import open_engine, upgrade
from connector.runtime import lease
from connector.server import job_queue
from connector.server.job_queue import QueueWorker, prepare_queue
from connector.settings import load_settings
from connector.web.metrics import metrics_text
from tests.connector.installed import GiveConsent, SandboxServices
from tests.connector.server.syncing_worker import syncing_worker
from tests.connector.server.test_scheduler import FakeRuns


@pytest.fixture
def app(services: SandboxServices, tmp_path: Path, server_url: str) -> Iterator[AppContext]:
    """An installation on PostgreSQL."""
    engine = open_engine(server_url)
    upgrade(engine)
    engine.dispose()
    own = {name.lower(): value for name, value in services.sandbox.settings(services.url).items()}
    settings = load_settings(**own, duewell_home=tmp_path / "home", duewell_database_url=server_url)
    app = open_app(settings, now=services.sandbox.clock.now, sleep=services.sandbox.clock.sleep)
    yield app
    app.close()


class LeasedRuns(FakeRuns):
    """Stands in for a sync, which holds the company's lease."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = threading.Semaphore(0)

    def __call__(self, app: AppContext, connection_id: int) -> None:
        with lease.acquire(app, connection_id):
            super().__call__(app, connection_id)
        self.ends.release()

    def wait_for_end(self) -> None:
        assert self.ends.acquire(timeout=60)


@contextmanager
def working(app: AppContext, runs: LeasedRuns, **options: Any) -> Iterator[QueueWorker]:
    """Run a worker, and stop it also where the test fails."""
    worker = QueueWorker(app, runs, **options)
    worker.start()
    try:
        yield worker
    finally:
        runs.let_go.set()
        worker.stop()


def jobs_in(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection, connection.begin():
        rows = connection.execute(text("SELECT status, count(*) FROM procrastinate_jobs GROUP BY status"))
        return dict(rows.tuples().all())


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_due_companies_run_once_and_paused_ones_do_not(app: AppContext, give_consent: GiveConsent) -> None:
    first, second = give_consent(app, "xero")
    pause(app, second.id or 0)
    runs = LeasedRuns()
    runs.let_go.set()
    with working(app, runs) as one, working(app, runs) as other:
        runs.wait_for_end()
        assert (one.is_alive(), other.is_alive()) == (True, True)
    assert runs.ended == [first.id]
    assert (one.is_alive(), other.is_alive()) == (False, False)


def test_a_company_that_is_being_synced_does_not_hold_up_another_or_the_background_jobs(
    app: AppContext, give_consent: GiveConsent
) -> None:
    give_consent(app, "xero")
    runs, done = LeasedRuns(), threading.Event()

    def broken(_installation: AppContext) -> None:
        raise ValueError("a fault of ours")

    def works(_installation: AppContext) -> None:
        done.set()

    with working(app, runs, threads=2, jobs=(broken, works)):
        runs.wait_for(2)
        assert done.wait(60)
        assert b"duewell_due_connections 0.0" in metrics_text(app, scheduler_alive=True)
    assert len(runs.ended) == 2


def test_a_queue_that_is_lost_or_of_another_version_loses_nothing(app: AppContext, give_consent: GiveConsent) -> None:
    give_consent(app, "quickbooks")
    prepare_queue(app.engine)
    execute(
        app.engine,
        "INSERT INTO procrastinate_jobs (task_name, queue_name, queueing_lock, status)"
        " VALUES ('gone', 'syncs', 'sync-1', 'todo')",
        "UPDATE key_value SET value = '{\"procrastinate\": \"1.0\"}' WHERE name = 'queue_schema'",
    )
    runs = LeasedRuns()
    runs.let_go.set()
    with working(app, runs, poll_seconds=1):
        runs.wait_for_end()
        execute(app.engine, "TRUNCATE procrastinate_jobs CASCADE", "UPDATE connection SET next_run_at = NULL")
        runs.wait_for_end()
    assert runs.ended == [1, 1]


def test_jobs_of_dead_workers_are_cleared_away_and_block_nothing(app: AppContext, give_consent: GiveConsent) -> None:
    give_consent(app, "quickbooks")
    prepare_queue(app.engine)
    execute(
        app.engine,
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '2 minutes')",
        "INSERT INTO procrastinate_jobs (task_name, queue_name, queueing_lock, status, worker_id)"
        " SELECT 'sync', 'syncs', 'sync-1', 'doing', id FROM procrastinate_workers",
        "INSERT INTO procrastinate_jobs (task_name, queue_name, queueing_lock, status)"
        " VALUES ('sync', 'syncs', 'sync-2', 'doing')",
    )
    assert b'duewell_queue_jobs{state="stalled"} 2.0' in metrics_text(app, scheduler_alive=True)
    runs = LeasedRuns()
    with working(app, runs):
        runs.wait_for(1)
        assert jobs_in(app.engine).get("doing") in {1, 2}  # the sync, and perhaps the look for what is due
    assert jobs_in(app.engine) == {}


def test_a_job_that_a_killed_worker_had_just_taken_keeps_no_company_waiting(
    app: AppContext, give_consent: GiveConsent
) -> None:
    give_consent(app, "quickbooks")
    prepare_queue(app.engine)
    execute(
        app.engine,
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now())",
        "INSERT INTO procrastinate_jobs (task_name, queue_name, queueing_lock, status, worker_id)"
        " SELECT 'sync', 'syncs', 'sync-1', 'doing', id FROM procrastinate_workers",
    )
    runs = LeasedRuns()
    with working(app, runs):
        runs.wait_for(1)
    assert runs.ended == [1]


def test_the_company_of_a_killed_worker_on_another_machine_is_synced_when_its_silence_is_noticed(
    app: AppContext, give_consent: GiveConsent, tmp_path: Path
) -> None:
    give_consent(app, "quickbooks")
    elsewhere = shutil.copytree(app.settings.duewell_home, tmp_path / "elsewhere")
    with syncing_worker(app, elsewhere, "elsewhere") as worker:
        worker.kill()
    runs = LeasedRuns()
    runs.let_go.set()
    with working(app, runs, poll_seconds=1) as other:
        assert other._look() == []  # it may be alive
        execute(
            app.engine, "UPDATE key_value SET stored_at = now() - interval '44 seconds' WHERE name LIKE 'worker els%'"
        )
        assert other._look() == []
        execute(
            app.engine, "UPDATE key_value SET stored_at = now() - interval '46 seconds' WHERE name LIKE 'worker els%'"
        )
        runs.wait_for_end()
    with app.engine.connect() as connection:
        owners = connection.execute(text("SELECT name FROM key_value WHERE name LIKE 'worker %'")).scalars().all()
    assert owners == [f"worker {lease.lease_owner(app.settings.duewell_home)}"]
    assert runs.ended == [1]


@pytest.fixture
def pooler_url(server_url: str, free_port: int, tmp_path: Path) -> Iterator[str]:
    """The URL of a PgBouncer in transaction mode before the server; skips where there is none."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("no PgBouncer here (apt install pgbouncer)")
    url = make_url(server_url)
    host = str(url.query.get("host", "") or url.host)
    settings = tmp_path / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={host} port={url.port or 5432} user={url.username}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {free_port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\nmax_client_conn = 50\ndefault_pool_size = 1\n"
    )
    command = [program, "-q", str(settings)]
    if os.getuid() == 0:  # it refuses to run as root, and the server's socket is its owner's
        owner = pwd.getpwuid(Path(host).stat().st_uid).pw_name if host.startswith("/") else "nobody"
        shutil.copy(settings, f"{host}/pgbouncer.ini" if host.startswith("/") else settings)
        command = [program, "-q", "-u", owner, f"{host}/pgbouncer.ini" if host.startswith("/") else str(settings)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as pooler:
        wait_for_port(free_port)
        yield str(url.set(host="127.0.0.1", port=free_port, query={}).render_as_string(hide_password=False))
        pooler.terminate()


def wait_for_port(port: int) -> None:
    for _attempt in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        threading.Event().wait(0.05)
    pytest.fail("the pooler did not start")


def test_a_worker_behind_a_pooler_runs_what_is_due_without_prepared_statements(
    app: AppContext, give_consent: GiveConsent, pooler_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "_POOLED_POLL_SECONDS", 0.2)
    give_consent(app, "xero")
    pooled = open_app(
        app.settings.model_copy(update={"duewell_database_url": pooler_url, "duewell_database_pooler": "1"}),
        now=app.now,
    )
    runs = LeasedRuns()
    runs.let_go.set()
    with working(pooled, runs, poll_seconds=1):
        runs.wait_for_end()
        runs.wait_for_end()
        execute(pooled.engine, "UPDATE connection SET next_run_at = NULL WHERE id = 1")
        runs.wait_for_end()
    with pooled.engine.connect() as connection:
        for _again in range(6):  # psycopg prepares a statement at its fifth use
            with connection.begin():
                connection.execute(text("SELECT id FROM connection"))
        prepared = connection.execute(text("SELECT count(*) FROM pg_prepared_statements"))  # the pooler has one line
        assert prepared.scalar() == 0
    pooled.close()
    assert len(runs.ended) == 3
