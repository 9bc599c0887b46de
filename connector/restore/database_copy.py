"""Move an installation into another database: every row copied, read back and compared, all or nothing.

Both databases are locked meanwhile, and nothing else may have the first one open: what was written after its row was
copied would be lost. Afterwards only one of the two is live, so that nothing is sent twice when both are started: in
the other one everything waits for approval, as after a restore.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    Column,
    Engine,
    Select,
    Table,
    TableClause,
    cast,
    collate,
    column,
    func,
    insert,
    select,
    table,
    text,
)
from sqlalchemy import String as AnyString
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.types import JSON, Text, TypeEngine, UserDefinedType
from sqlmodel import Session, SQLModel

import migrations
from connector.db.engine import DatabaseError, open_engine, schema_revision, sqlite_file, upgrade, writing
from connector.db.tables.columns import EnumText
from connector.restore.database_files import refuse_if_running
from connector.restore.restore_gap import require_approval
from connector.restore.rollback_detection import log_head_of

_ROWS_AT_ONCE = 1_000
_NUL = "\x00"
_EXCERPT_LENGTH = 60
_SHOWN_MAX = 3


class TableCopy(NamedTuple):
    """A copied table: how many rows it has, and the SHA-256 of all of them in the order of their keys."""

    name: str
    rows: int
    sha256: str


class DatabaseCopy(NamedTuple):
    """What a copy did. ``target`` is the new database without its password; ``sha256`` is of all tables' digests."""

    target: str
    rows: int
    sha256: str
    tables: tuple[TableCopy, ...]


class CopyProgress(NamedTuple):
    """How far a copy is: of ``total`` rows, ``done`` were copied and compared. ``table`` is the one under way."""

    table: str
    done: int
    total: int


def copy_database_to(
    source_url: str,
    target_url: str,
    *,
    home: Path,
    at: datetime,
    is_trial: bool = False,
    report: Callable[[CopyProgress], None] = lambda _progress: None,
) -> DatabaseCopy:
    """Copy everything into an empty database, and leave one of the two live: the copy, or the first in a trial.

    ``home`` is the installation's folder.

    Raises:
        DatabaseError: the first database is in use or not upgraded, the second is not empty or cannot be reached, or a
            row is not the same in both. Nothing was copied then.

    """
    target, source = open_engine(target_url), open_engine(source_url)
    try:
        _refuse_unready(source)
        _prepare_target(target)
        if (head := log_head_of(target, home)) != log_head_of(source, home):
            head.unlink(missing_ok=True)  # of another database that was here before
        # The copy is committed last: killed in between, the first database waits for approval and the other is empty.
        with writing(target) as new, writing(source) as old:
            refuse_others(source, old)
            copied = tuple(_copy_tables(old, new, report))
            _continue_ids(old, new)
            shown = target.url.render_as_string()
            if is_trial:
                reason = "A copy made for a trial: the database it was copied from stays in use."
                require_approval(new, at, at, text=f"{reason} Everything waits for approval.", backup_id="")
            else:
                reason = f"Moved to another database ({shown})."
                why = f"{reason} What is sent from there is not known here: everything waits for approval."
                require_approval(old, at, at, text=why, backup_id="")
    except SQLAlchemyError as error:
        message = f"the copy failed, and nothing was copied: {_cause(error)}"
        raise DatabaseError(message) from error
    finally:
        for engine in (source, target):
            engine.dispose()
    digest = hashlib.sha256("".join(each.sha256 for each in copied).encode()).hexdigest()
    return DatabaseCopy(shown, sum(each.rows for each in copied), digest, copied)


def refuse_others(engine: Engine, session: Session) -> None:
    """Raise where other programs have a PostgreSQL database open: they would go on with what was copied before."""
    if engine.dialect.name != "postgresql":
        return
    others = session.execute(
        text(
            "SELECT pid, application_name FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    ).all()
    if others:
        shown = ", ".join(f"{row.application_name or 'unnamed'} (process {row.pid})" for row in others[:_SHOWN_MAX])
        message = f"other programs have the database open: {shown}. Stop duewell (serve, worker, run), then try again"
        raise DatabaseError(message)


def _refuse_unready(source: Engine) -> None:
    file = sqlite_file(source)
    if file is not None:
        source.dispose()
        refuse_if_running(file)
        upgrade(source)
    elif schema_revision(source) != migrations.HEAD:
        message = f"{source.url.render_as_string()} needs an upgrade first: duewell db upgrade"
        raise DatabaseError(message)


def _prepare_target(target: Engine) -> None:
    shown = target.url.render_as_string()
    try:
        upgrade(target)
        with writing(target) as session:
            filled = [each.name for each in _all_tables() if session.execute(select(each).limit(1)).first()]
    except SQLAlchemyError as error:
        message = f"{shown} cannot be used: {_cause(error)}. Nothing was copied"
        raise DatabaseError(message) from error
    if filled:
        more = ", …" if len(filled) > _SHOWN_MAX else ""
        message = (
            f"{shown} is not empty: it has rows in {', '.join(filled[:_SHOWN_MAX])}{more}. Name a new, empty database;"
            " nothing was copied"
        )
        raise DatabaseError(message)


def _copy_tables(old: Session, new: Session, report: Callable[[CopyProgress], None]) -> Iterator[TableCopy]:
    every = _all_tables()
    counts = {each.name: old.scalar(select(func.count()).select_from(each)) or 0 for each in every}
    total, done = sum(counts.values()), 0
    for each in every:
        digest, rows = hashlib.sha256(), 0
        statement = insert(_as_stored(each))
        for chunk in _read(each, old):
            _refuse_unstorable(each, chunk, new)
            new.execute(statement, [dict(zip(each.columns.keys(), row, strict=True)) for row in chunk])
            report(CopyProgress(each.name, done := done + len(chunk), 2 * total))
        for mine, theirs in itertools.zip_longest(_rows(each, old), _rows(each, new)):
            if mine != theirs:
                message = f"a row of {each.name} is not the same in both databases, {_key(each, mine or theirs)}"
                raise DatabaseError(f"{message}; nothing was copied")
            digest.update(msgspec.json.encode(mine))
            rows += 1
            if rows % _ROWS_AT_ONCE == 0:
                report(CopyProgress(each.name, done + rows, 2 * total))
        report(CopyProgress(each.name, done := done + rows, 2 * total))
        yield TableCopy(each.name, rows, digest.hexdigest())


def _all_tables() -> Sequence[Table]:
    return SQLModel.metadata.sorted_tables  # those that others refer to come first


class _Json(UserDefinedType[str]):
    """A JSON document as the text that is stored: NULL and the document ``null`` stay apart.

    SQLite keeps a document that is a bare number as a number, because a column declared ``JSON`` has numeric affinity.
    """

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], str | None]:
        return lambda stored: stored if stored is None or isinstance(stored, str) else json.dumps(stored)


def _stored_type(of: Column[Any]) -> TypeEngine[Any]:
    """Return the type that reads and writes a column as it is stored, also what this version has no name for."""
    if isinstance(of.type, JSON):
        return _Json()
    return AnyString() if isinstance(of.type, EnumText) else of.type


def _read(source: Table, session: Session) -> Iterator[list[tuple[Any, ...]]]:
    """Yield all rows in the order of their keys, which is the same on both databases, in chunks."""
    result = session.execute(_select(source, session), execution_options={"yield_per": _ROWS_AT_ONCE})
    for chunk in result.partitions():
        yield [tuple(row) for row in chunk]


def _rows(source: Table, session: Session) -> Iterator[tuple[Any, ...]]:
    return itertools.chain.from_iterable(_read(source, session))


def _select(source: Table, session: Session) -> Select[Any]:
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    stored = _as_stored(source).columns
    shown = [cast(each, Text) if is_postgresql and isinstance(each.type, _Json) else each for each in stored]
    keys = [stored[each.name] for each in source.primary_key.columns]
    order = [collate(each, "C") if is_postgresql and isinstance(each.type, AnyString) else each for each in keys]
    return select(*shown).order_by(*order)


def _as_stored(of: Table) -> TableClause:
    return table(of.name, *(column(each.name, _stored_type(each)) for each in of.columns))


def _refuse_unstorable(source: Table, rows: list[tuple[Any, ...]], target: Session) -> None:
    """Name the row that PostgreSQL cannot hold: its own error names none."""
    if target.get_bind().dialect.name != "postgresql":
        return
    for row in rows:
        for name, value in zip(source.columns.keys(), row, strict=True):
            if isinstance(value, str) and _NUL in value:
                message = (
                    f"{source.name}.{name} holds a zero character, which PostgreSQL cannot store, {_key(source, row)}."
                    " Remove it in the first database, then try again; nothing was copied"
                )
                raise DatabaseError(message)


def _continue_ids(old: Session, new: Session) -> None:
    """Continue the ids where the first database would: one that was used and deleted is not used again."""
    if new.get_bind().dialect.name != "postgresql":
        return
    for each in _all_tables():
        if each.autoincrement_column is None:
            continue
        key = each.autoincrement_column
        sequence = func.pg_get_serial_sequence(each.name, key.name)
        last = old.scalar(select(func.max(key))) or 0
        if old.get_bind().dialect.name == "postgresql":
            last = max(last, old.scalar(select(func.pg_sequence_last_value(cast(sequence, _RegClass())))) or 0)
        if last:
            new.execute(select(func.setval(sequence, last)))


class _RegClass(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        return "regclass"


def _key(of: Table, row: tuple[Any, ...] | None) -> str:
    """Return which row it is, by its key."""
    if row is None:
        return "it is missing"
    values = dict(zip(of.columns.keys(), row, strict=True))
    parts = (f"{each.name} {str(values[each.name])[:_EXCERPT_LENGTH]!r}" for each in of.primary_key.columns)
    return f"the one with {', '.join(parts)}"


def _cause(error: SQLAlchemyError) -> str:
    """Return what the database said, without the values of rows: its messages may quote them below the first line."""
    said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return said.strip().partition("\n")[0]
