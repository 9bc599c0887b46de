"""The sync log: what was read, decided and done, line by line, each sealed to the one before it by its hash.

A changed, missing or inserted line breaks the chain and is found by ``verify``. The database refuses changes by
triggers; the chain shows those made around them. Ids, sums and reasons belong here, payloads don't.

Of a line's text the hash covers a digest made with a salt of its own. So a text that names a customer can be erased on
request, salt and all: nobody guesses it back from the digest, and the chain still holds. Every erasure is a line itself
that says which texts it took; a text that is gone without one breaks the log like any other change.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, LargeBinary, Row, cast, func, insert, or_, select, text, update
from sqlalchemy.orm import Session, SessionTransaction
from sqlmodel import SQLModel

from connector.db.tables import SyncLogEntry
from connector.vocabulary import LogKind

_LOG = SQLModel.metadata.tables["sync_log"]
_INSERT = insert(_LOG)
_GENESIS_HASH = "0" * 64  # what the first line has as the hash before it
_CHAIN_LOCK = 7_215_002  # PostgreSQL advisory lock: one writer of the chain at a time; SQLite has one writer anyway
_CHUNK = 1000
_LAST_LINE = "duewell_last_line"  # in a session: the transaction that wrote a line last, and the line's hash
ERASED = "(erased)"  # in place of a text that was erased; the triggers of the first migration know it too
ERASURE = "erased"  # the kind of the line that tells of it


class ChainVerdict(NamedTuple):
    """Whether the chain holds; ``head``, noted elsewhere, also shows a log rewritten as a whole."""

    ok: bool
    entries: int
    head: str
    broken_at_id: int | None = None
    reason: str = ""


class LogLine(NamedTuple):
    """What a line tells, and of whom; ``facts`` are what a program looks for."""

    kind: LogKind
    text: str
    customer_id: str = ""
    invoice_id: str = ""
    facts: Mapping[str, Any] | None = None


def write(  # noqa: PLR0913 - a line of the log has these columns
    session: Session,
    *,
    at: datetime,
    kind: LogKind,
    text: str,
    connection_id: int | None = None,
    run_id: int | None = None,
    customer_id: str = "",
    invoice_id: str = "",
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Add a line, in the caller's transaction (``database.writing``)."""
    line = LogLine(kind, text, customer_id, invoice_id, facts)
    write_all(session, [line], at=at, connection_id=connection_id, run_id=run_id)


def write_all(
    session: Session,
    lines: Iterable[LogLine],
    *,
    at: datetime,
    connection_id: int | None = None,
    run_id: int | None = None,
) -> None:
    """Add lines, in the caller's transaction, in one statement.

    A first decision about a large company writes a line for each of its invoices while everybody else waits to write:
    so they are written together, and make nothing of the session be written before its time.
    """
    previous, rows = _head(session), []
    for line in lines:
        row = {
            "at": at.astimezone(UTC),
            "kind": line.kind,
            "text": _storable(line.text),
            "connection_id": connection_id,
            "run_id": run_id,
            "customer_id": line.customer_id,
            "invoice_id": line.invoice_id,
            "facts": _storable(_canonical(line.facts or {})),
            "salt": secrets.token_hex(16),
            "previous_hash": previous,
        }
        row["digest"] = _digest(row)
        previous = row["hash"] = _hash(row)
        rows.append(row)
    if rows:
        session.connection().execute(_INSERT, rows)  # past the session, which would flush first
        session.info[_LAST_LINE] = (_transaction(session), previous)


def erase_texts(
    session: Session,
    ids: Collection[int],
    *,
    at: datetime,
    text: str,
    connection_id: int | None,
    customer_id: str = "",
) -> int:
    """Take the texts of these lines away for good, and say so in a line of its own; returns how many there were.

    A line that tells of an erasure keeps its text: it is the proof of what was taken, and names nobody but by a key.
    """
    wanted, found = sorted(set(ids)), []
    for start in range(0, len(wanted), _CHUNK):
        some = (_LOG.c.id.in_(wanted[start : start + _CHUNK]), _LOG.c.salt != "", _LOG.c.kind != ERASURE)
        found += sorted(session.execute(select(_LOG.c.id).where(*some)).scalars())
        session.execute(update(_LOG).where(*some).values(text=ERASED, salt=""))
    if found:
        facts = {"lines": list(_format_ranges(found))}
        here = {"connection_id": connection_id, "customer_id": customer_id}
        write(session, at=at, kind=ERASURE, text=text, facts=facts, **here)  # type: ignore[arg-type]
    return len(found)


def newest_hash(session: Session) -> str:
    """Give the newest line's hash; noted in another place, it shows also a log that was rewritten as a whole."""
    newest = select(_LOG.c.hash).order_by(_LOG.c.id.desc()).limit(1)
    return session.execute(newest).scalar() or _GENESIS_HASH


def has_line(session: Session, hash_begins: str) -> bool:
    """Tell whether the log has a line whose hash begins so: in a chain that holds, all before it is as it was then."""
    found = session.execute(select(_LOG.c.id).where(_LOG.c.hash.startswith(hash_begins, autoescape=True)).limit(1))
    return found.scalar() is not None


def newest_line_id(session: Session) -> int:
    """Give the id of the newest line; lines get their ids in the order in which they are committed."""
    return session.execute(select(func.max(_LOG.c.id))).scalar() or 0


def logged_since(session: Session, line_id: int, *, connection_id: int, run_id: int, customer_id: str = "") -> bool:
    """Tell whether somebody else than this run wrote a line after that one: about the company, or this customer of it.

    Whatever a person, a customer or a mail system says leaves a line in the same transaction.
    """
    company = or_(_LOG.c.connection_id.is_(None), _LOG.c.connection_id == connection_id)
    others = or_(_LOG.c.run_id.is_(None), _LOG.c.run_id != run_id)
    query = select(_LOG.c.id).where(_LOG.c.id > line_id, company, others)
    if customer_id:
        query = query.where(_LOG.c.customer_id.in_(["", customer_id]))
    return session.execute(query.limit(1)).scalar() is not None


def verify(session: Session) -> ChainVerdict:
    """Recompute every hash from the first line on, and name the first line that does not fit."""
    previous, count = _GENESIS_HASH, 0
    unexplained: set[int] = set()
    query = select(*_as_stored(session)).order_by(_LOG.c.id)
    for row in session.execute(query.execution_options(yield_per=_CHUNK)):
        line = _decode_row(row)
        if line["previous_hash"] != previous:
            return ChainVerdict(ok=False, entries=count, head=previous, broken_at_id=row.id, reason=_MISSING)
        erased = (line["text"], line["salt"]) == (ERASED, "")
        if line["hash"] != _hash(line) or not (erased or line["digest"] == _digest(line)):
            return ChainVerdict(ok=False, entries=count, head=previous, broken_at_id=row.id, reason=_CHANGED)
        if erased:
            unexplained.add(row.id)
        elif line["kind"] == ERASURE:
            unexplained -= _parse_ranges(line["facts"])
        previous, count = line["hash"], count + 1
    if unexplained:
        return ChainVerdict(
            ok=False, entries=count, head=previous, broken_at_id=min(unexplained), reason=_ERASED_UNLOGGED
        )
    return ChainVerdict(ok=True, entries=count, head=previous)


_MISSING = "a line before this one is missing, or was put in or changed"
_CHANGED = "this line was changed after it was written"
_ERASED_UNLOGGED = "its text was taken away, and no line of the log tells of that erasure"


def list_entries(
    session: Session, *, connection_id: int | None = None, since_at: datetime | None = None, limit: int = 1000
) -> list[SyncLogEntry]:
    """Return the newest lines, in the order in which they were written."""
    query = select(SyncLogEntry).order_by(_LOG.c.id.desc()).limit(limit)
    if connection_id is not None:
        query = query.where(_LOG.c.connection_id == connection_id)
    if since_at is not None:
        query = query.where(_LOG.c.at >= since_at)
    return list(session.scalars(query))[::-1]


def _head(session: Session) -> str:
    """Give the hash that the next line follows; what this transaction wrote last it knows: nobody else can write."""
    written_in, sealed = session.info.get(_LAST_LINE, (None, ""))
    if sealed and written_in is _transaction(session):
        return str(sealed)
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CHAIN_LOCK})
    return newest_hash(session)


def _transaction(session: Session) -> SessionTransaction | None:
    """Give the innermost transaction: the lines of a savepoint may be undone while the rest stays."""
    return session.get_nested_transaction() or session.get_transaction()


def _as_stored(session: Session) -> list[ColumnElement[Any]]:
    """Select the bytes in the file, where there is one: what is damaged may be no text and no date any more."""
    if session.get_bind().dialect.name != "sqlite":
        return list(_LOG.c)
    return [c if isinstance(c.type, Integer) else cast(c, LargeBinary).label(c.name) for c in _LOG.c]


def _decode_row(row: Row[Any]) -> dict[str, Any]:
    line = {name: _decoded(value) for name, value in row._mapping.items()}  # noqa: SLF001
    if isinstance(line["at"], str):
        line["at"] = line["at"].replace(" ", "T") + "+00:00"
    return line


def _decoded(value: object) -> object:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _hash(line: Mapping[str, Any]) -> str:
    covered = {name: value for name, value in line.items() if name not in _NOT_COVERED}
    return hashlib.sha256(_canonical(covered).encode()).hexdigest()


_NOT_COVERED = {"id", "hash", "text", "salt"}


def _digest(line: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{line['salt']}\n{line['text']}".encode()).hexdigest()


def _format_ranges(ids: Iterable[int]) -> Iterator[str]:
    """Write ids, in order, as "3-7" and "9"."""
    first = last = 0
    for each in ids:
        if first and each == last + 1:
            last = each
            continue
        if first:
            yield f"{first}-{last}" if last > first else str(first)
        first = last = each
    if first:
        yield f"{first}-{last}" if last > first else str(first)


def _parse_ranges(facts: str) -> set[int]:
    """Read back which lines an erasure took."""
    parts = (str(each).partition("-") for each in json.loads(facts)["lines"])
    return {each for first, _, last in parts for each in range(int(first), int(last or first) + 1)}


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else str(value)


def _storable(value: str) -> str:
    """Drop what no database stores (NUL, halves of surrogate pairs): a ledger's odd text must not stop the log."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode()
