"""The one database: how it is opened, brought up to date, read and written, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlmodel import Session

import migrations
from connector.secrets.private_files import private_file, private_folder

_BUSY_TIMEOUT_MS = 30_000
_WRITING, _DURABLE, _QUEUE = "duewell_writing", "duewell_durable", "duewell_write_queue"
_PRAGMAS = (
    "journal_mode=WAL",
    "foreign_keys=ON",
    "synchronous=FULL",
    "temp_store=MEMORY",
    "cache_size=-16000",  # kilobytes
    "wal_autocheckpoint=8000",  # pages, 32 MB: a first load writes the same pages again and again
)
_UPGRADE_LOCK = 7_215_001  # PostgreSQL advisory lock: one upgrade at a time


class DatabaseError(Exception):
    """A database that must not be used as it is; the sentence says why, and what to do."""


def open_engine(url: str) -> Engine:
    """Open the database; a SQLite file is made private to its owner, and refused where others can read it."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed)
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed, pool_pre_ping=True, hide_parameters=True)  # an error must not quote a record
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def sqlite_file(engine: Engine) -> Path | None:
    """Return the file of an embedded database, ``None`` for a server."""
    return Path(str(engine.url.database)) if engine.dialect.name == "sqlite" else None


@contextmanager
def writing(engine: Engine, *, durable: bool = True) -> Iterator[Session]:
    """Write in one transaction: committed durably at the end, undone on any error.

    On SQLite it begins as a writer (BEGIN IMMEDIATE): two writers wait for each other instead of failing half-way,
    and those of this process in the order in which they came.
    Not ``durable`` is for what can be read from a ledger again: a power cut may undo the last of these transactions,
    whole and in order; a crash of the program undoes none.
    """
    options = {_WRITING: True, _DURABLE: durable}
    line = engine.get_execution_options().get(_QUEUE)
    turn: AbstractContextManager[None] = line.turn() if line is not None else nullcontext()
    with turn, Session(engine.execution_options(**options), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Read from one consistent state; nothing is kept of what is changed on the way."""
    options = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with Session(engine.execution_options(**options), expire_on_commit=False) as session:
        yield session


def schema_revision(engine: Engine) -> str | None:
    """Return the revision a database is at, ``None`` for an empty one."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def is_known_revision(revision: str) -> bool:
    """Tell whether a database at this revision is one that this duewell can bring up to date."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    return revision in {script.revision for script in scripts.walk_revisions()}


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest revision; does nothing, and costs nothing, where it is there already."""
    if schema_revision(engine) == migrations.HEAD:
        return
    with engine.execution_options(**{_WRITING: True}).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
        _run_alembic(connection)


def _run_alembic(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  # 0.2 s that a start without an upgrade need not spend
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        message = f"this database is not one this duewell knows; it may be of a newer version ({error})"
        raise DatabaseError(message) from error


class _WriteQueue:
    """Where the writers of one process stand and wait for the one SQLite lets write, first come, first served.

    Left to SQLite they would sleep and try again, each by itself, and whoever happens to be awake is served: beside
    four runs that write page after page a webhook may wait for long. Writers of other processes are waited for as ever.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # one who is interrupted as he lets it go must not wait for himself
        self._waiting: deque[threading.Event] = deque()  # the first one writes
        self._local = threading.local()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until those who came before are done; not longer than SQLite would, which then says that it is busy."""
        if getattr(self._local, "turn", False):  # nobody waits for himself
            yield
            return
        mine = threading.Event()
        try:
            with self._lock:
                self._waiting.append(mine)
                self._waiting[0].set()
            mine.wait(_BUSY_TIMEOUT_MS / 1000)
            self._local.turn = True
            yield
        finally:  # also where somebody pressed Ctrl-C before it was his turn: nobody waits for who has gone
            self._local.turn = False
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                if self._waiting:
                    self._waiting[0].set()


def _open_sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        message = "the database must be a file, like sqlite:////home/me/duewell.db"
        raise DatabaseError(message)
    path = Path(url.database).absolute()
    private_folder(path.parent)
    private_file(path)  # SQLite gives -wal and -shm the same mode
    patient = {"timeout": _BUSY_TIMEOUT_MS / 1000}
    engine = create_engine(
        url.set(database=str(path)),
        connect_args=patient,
        hide_parameters=True,
        execution_options={_QUEUE: _WriteQueue()},
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(dbapi_connection: sqlite3.Connection, _record: Any) -> None:
    dbapi_connection.isolation_level = None  # we say BEGIN ourselves: the driver would begin late, and as a reader
    for pragma in _PRAGMAS:
        dbapi_connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get(_WRITING):
        connection.exec_driver_sql("BEGIN")
        return
    connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options.get(_DURABLE, True) else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get(_DURABLE) is False:
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
