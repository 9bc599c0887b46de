"""Whether a database holds what duewell put there: its tables, views and triggers, and none of anybody else's.

Triggers and views run inside our own statements: one that was put into a backup could undo what a restore does. They
are compared before anything else is read from a file.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NamedTuple

import migrations
from connector.db.engine import DatabaseError, is_known_revision, open_engine, sqlite_file, upgrade

_OWN_OF_SQLITE = re.compile(r"sqlite_(autoindex_.*|sequence|stat\d)")
_REVISIONS = "alembic_version"
_NAMED_MAX = 3


class _Object(NamedTuple):
    type: str
    name: str


def check_schema(connection: sqlite3.Connection, file: Path) -> None:
    """Refuse a file that is of another kind, of a newer version, or has foreign or changed tables, views or triggers.

    Additional tables and indexes are somebody's own and stay: nothing of them runs.
    """
    found = _read_objects(connection)
    if found.get(_Object("table", _REVISIONS)) != _expected_objects(migrations.HEAD)[_Object("table", _REVISIONS)]:
        raise DatabaseError(_unknown_kind(file, "it has no revision"))
    row = connection.execute(f"SELECT version_num FROM {_REVISIONS}").fetchone()  # noqa: S608 - our own name
    revision = str(row[0]) if row else ""
    if not is_known_revision(revision):
        message = f"{file} was written by a newer duewell (its schema is {revision[:40]!r}); update duewell first"
        raise DatabaseError(message)
    problems = list(_differences(found, _expected_objects(revision)))
    if problems:
        more = f" and {len(problems) - _NAMED_MAX} more" if len(problems) > _NAMED_MAX else ""
        message = (
            f"{file} does not have the schema that duewell made: {', '.join(problems[:_NAMED_MAX])}{more}. What others"
            " put there could undo what a restore does; nothing was changed"
        )
        raise DatabaseError(message)


def foreign_objects(database: Path) -> list[str]:
    """Return the views and triggers of a database that are not duewell's: a backup with them is not restored."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return list(_differences(_read_objects(connection), _expected_objects(migrations.HEAD)))


def _differences(found: dict[_Object, str], expected: dict[_Object, str]) -> Iterator[str]:
    for each, sql in found.items():
        is_plain = each.type in {"table", "index"} and not sql.upper().startswith("CREATE VIRTUAL")
        if each not in expected and not is_plain:
            yield f"an unknown {each.type} {each.name[:60]!r}"
        elif each in expected and sql != expected[each]:
            yield f"a changed {each.type} {each.name[:60]!r}"
    yield from (f"no {each.type} {each.name!r}" for each in expected if each not in found)


def _read_objects(connection: sqlite3.Connection) -> dict[_Object, str]:
    connection.execute("PRAGMA trusted_schema=OFF")
    rows = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
    return {
        _Object(str(kind), str(name)): str(sql)
        for kind, name, sql in rows
        if not (kind in {"table", "index"} and _OWN_OF_SQLITE.fullmatch(str(name)))
    }


@cache
def _expected_objects(revision: str) -> dict[_Object, str]:
    """Return what an empty database of a revision holds."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{folder}/empty.db")
        try:
            upgrade(engine, revision)
        finally:
            engine.dispose()
        with closing(sqlite3.connect(str(sqlite_file(engine)))) as connection:
            return _read_objects(connection)


def _unknown_kind(file: Path, reason: str) -> str:
    return f"{file} is not a database of duewell ({reason}); choose a file that `duewell backup` wrote"
