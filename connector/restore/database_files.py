"""Files of embedded databases: copied in one step, checked, left in one piece, and kept when they are replaced."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from connector.db.engine import DatabaseError, sqlite_file

_WAL_MODE = b"\x02\x02"  # bytes 18 and 19 of a database file that may have a write-ahead log beside it


def copy_database(source: Path, target: Path) -> None:
    """Copy a database in one step, so that all pages are from the same instant, and check the copy."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)
            writer.execute("PRAGMA journal_mode=DELETE")  # one file, without -wal and -shm
    except sqlite3.DatabaseError as error:
        message = f"{source} cannot be read as a database: {error}"
        raise DatabaseError(message) from error
    check_integrity(target, source)


def check_integrity(database: Path, file: Path) -> None:
    """Refuse a damaged database; ``file`` is what the message names."""
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            (verdict,) = reader.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        message = f"{file} is damaged: {verdict}"
        raise DatabaseError(message)


def leave_wal_mode(engine: Engine) -> None:
    """Close a database, in one file."""
    engine.dispose()
    with closing(sqlite3.connect(str(sqlite_file(engine)))) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def keep_replaced(target: Path, at: datetime) -> Path:
    """Link the current database to a second name, so that a rename replaces the first in one step."""
    kept = target.with_name(f"{target.name}.replaced-{at.astimezone(UTC):%Y%m%dT%H%M%S}")
    while kept.exists():  # restored twice within a second, or killed and restarted
        kept = kept.with_name(f"{kept.name}-again")
    for sidecar in sidecar_files(target):  # of a damaged database: they must not be taken for the restored one's
        if sidecar.exists():
            sidecar.rename(kept.with_name(kept.name + sidecar.name.removeprefix(target.name)))
    os.link(target, kept)
    return kept


def refuse_if_running(target: Path) -> None:
    """Raise where another process has the database open: only without one does SQLite leave write-ahead mode."""
    try:
        with closing(sqlite3.connect(target, timeout=1)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            return
        mode = "wal"
    except sqlite3.DatabaseError:
        return  # damaged: nobody is using it
    if mode == "wal":
        message = "duewell is running with this database: stop it (serve, worker, run), then try again"
        raise DatabaseError(message)


def sidecar_files(database: Path) -> list[Path]:
    """Return the files that SQLite may put beside a database."""
    return [database.with_name(database.name + ending) for ending in ("-wal", "-shm", "-journal")]


def is_in_wal_mode(file: Path) -> bool:
    """Return whether a file may have a write-ahead log beside it; a backup has none."""
    with file.open("rb") as opened:
        return opened.read(20)[18:] == _WAL_MODE
