"""The database engine: opening, upgrading, reading and writing, on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlmodel import Session

import migrations
from connector.secrets.private_files import private_file, private_folder
from providers.import_lock import IMPORT_LOCK

_BUSY_TIMEOUT_MS = 30_000
_WRITING, _DURABLE, _QUEUE = "duewell_writing", "duewell_durable", "duewell_write_queue"
_COMPANY = "duewell_company"  # of a transaction that changes one company only
_LOCKS_ROWS = "duewell_locks_rows"  # of a transaction that needs no turn
_PRAGMAS = (
    "journal_mode=WAL",
    "foreign_keys=ON",
    "synchronous=FULL",
    "temp_store=MEMORY",
    "cache_size=-16000",  # kilobytes
    "wal_autocheckpoint=8000",  # pages, 32 MB: a first load writes the same pages again and again
)
_WITH_OPTIONS: WeakKeyDictionary[Engine, dict[tuple[tuple[str, Any], ...], Engine]] = WeakKeyDictionary()
# PostgreSQL advisory locks: one upgrade at a time; one writer at a time, of everything or of one company
_UPGRADE_LOCK = 7_215_001
_WRITERS_LOCK = 7_215_003
_COMPANY_LOCK_CLASS = 7_215_004


class DatabaseError(Exception):
    """A database that must not be used as it is; the message says why, and what to do."""


def open_engine(url: str, *, is_pooled: bool = False) -> Engine:
    """Open the database. A SQLite file is created private to its owner, and refused where others can read it.

    ``is_pooled``: a pooler such as PgBouncer hands out the server's connections by the transaction. Statements that
    were prepared on one of them may be unknown on the next, so none are.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed)
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    queue = {_QUEUE: _WriteQueue()}
    # Errors must not quote records.
    prepare = {"prepare_threshold": None} if is_pooled else {}
    engine = create_engine(
        parsed, pool_pre_ping=True, hide_parameters=True, execution_options=queue, connect_args=prepare
    )
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def sqlite_file(engine: Engine) -> Path | None:
    """Return the file of an embedded database, None for a server."""
    return Path(str(engine.url.database)) if engine.dialect.name == "sqlite" else None


@contextmanager
def writing(
    engine: Engine, *, durable: bool = True, company_id: int | None = None, locks_its_rows: bool = False
) -> Iterator[Session]:
    """Open a session in one transaction: committed durably at the end, rolled back on any error.

    Writers take turns from their first statement on: what one has read stays true until it has written. On SQLite a
    transaction begins as a writer (BEGIN IMMEDIATE), and those of this process are served in order. On PostgreSQL it
    begins with a lock that ends with it: of everything, or only of the company whose rows alone it reads and changes
    (``company_id``), so that the runs of many companies work side by side; a short transaction that reads nothing but
    rows that it locks (``locks_its_rows``) waits for those alone. Who has to wait for all others does so in order in
    each process there, too, before it takes a connection: those that wait must not take them all from the readers.
    ``durable=False`` is for what can be read from a ledger again: a power cut may undo the last of these transactions,
    whole and in order; a crash of the program undoes none.
    """
    options = {_WRITING: True, _DURABLE: durable, _COMPANY: company_id, _LOCKS_ROWS: locks_its_rows}
    waits_for_all = engine.dialect.name == "sqlite" or (company_id is None and not locks_its_rows)
    queue = engine.get_execution_options().get(_QUEUE)
    turn: AbstractContextManager[None] = queue.turn() if queue is not None and waits_for_all else nullcontext()
    with turn, Session(_with_options(engine, options), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Open a session on one consistent state; changes made in it are discarded."""
    options = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with Session(_with_options(engine, options), expire_on_commit=False) as session:
        yield session


def _with_options(engine: Engine, options: dict[str, Any]) -> Engine:
    """Return the engine with options, made once: a sync opens twenty sessions."""
    made = _WITH_OPTIONS.setdefault(engine, {})
    key = tuple(options.items())
    if key not in made:
        made[key] = engine.execution_options(**options)
    return made[key]


def schema_revision(engine: Engine) -> str | None:
    """Return the revision of a database, None for an empty one."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def is_known_revision(revision: str) -> bool:
    """Return whether this version of duewell can upgrade a database at this revision."""
    with IMPORT_LOCK:
        from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    return revision in {script.revision for script in scripts.walk_revisions()}


def upgrade(engine: Engine, revision: str = migrations.HEAD) -> None:
    """Upgrade the database to a revision, by default the newest; free where it is there already."""
    if schema_revision(engine) == revision:
        return
    with engine.execution_options(**{_WRITING: True}).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
        _run_alembic(connection, revision)


def _run_alembic(connection: Connection, revision: str) -> None:
    with IMPORT_LOCK:
        from alembic import command  # noqa: PLC0415  # 0.2 s that a start without an upgrade need not spend
        from alembic.config import Config  # noqa: PLC0415
        from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        message = f"this version of duewell does not know this database; it may belong to a newer version ({error})"
        raise DatabaseError(message) from error


class _WriteQueue:
    """A first-come, first-served queue of one process's writers, of which the database allows one at a time.

    SQLite itself makes writers sleep and retry, and serves whoever happens to be awake: beside four runs that write
    page after page, a webhook may wait for long. Writers of other processes still wait that way.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a thread interrupted while it releases the lock must not block itself
        self._waiting: deque[threading.Event] = deque()  # the first one writes
        self._local = threading.local()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the writers before, at most as long as SQLite would, which then reports that it is busy."""
        if getattr(self._local, "turn", False):  # a nested write has its turn already
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
        finally:  # also on Ctrl-C while waiting: nobody waits for a writer that is gone
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
    connect_args = {"timeout": _BUSY_TIMEOUT_MS / 1000}
    engine = create_engine(
        url.set(database=str(path)),
        connect_args=connect_args,
        hide_parameters=True,
        execution_options={_QUEUE: _WriteQueue()},
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(dbapi_connection: sqlite3.Connection, _record: Any) -> None:
    dbapi_connection.isolation_level = None  # BEGIN is explicit: the driver would begin late, and as a reader
    for pragma in _PRAGMAS:
        dbapi_connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get(_WRITING):
        connection.exec_driver_sql("BEGIN")
        return
    connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options.get(_DURABLE, True) else 'NORMAL'}")
    _begin_as_writer(connection)


def _begin_as_writer(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(_DURABLE) is False:
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
    if _COMPANY in options:
        _take_writers_turn(connection, options[_COMPANY], locks_its_rows=options[_LOCKS_ROWS])


def _take_writers_turn(connection: Connection, company_id: int | None, *, locks_its_rows: bool) -> None:
    """Wait until no other transaction writes what this one may read or write; fail after as long as SQLite would.

    A lock on the rows read would not be enough: what two decisions contradict each other about may be a row that is
    not there yet (an agreement, a task), or a count (of the owners who are left). One lock, always taken first, cannot
    deadlock either. READ COMMITTED, whatever the server's default: each statement sees what was committed before the
    turn came, where a snapshot taken with the first statement would be older.
    """
    if locks_its_rows:
        locks = ""
    elif company_id is None:
        locks = f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})"
    else:
        locks = (
            f"SELECT pg_advisory_xact_lock_shared({_WRITERS_LOCK});"
            f"SELECT pg_advisory_xact_lock({_COMPANY_LOCK_CLASS}, {int(company_id)})"
        )
    connection.exec_driver_sql(
        f"SET TRANSACTION ISOLATION LEVEL READ COMMITTED;SET LOCAL lock_timeout = {_BUSY_TIMEOUT_MS};{locks}"
    )
