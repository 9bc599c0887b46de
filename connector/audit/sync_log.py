"""The sync log: what was read, decided and done, entry by entry, in a chain of hashes.

A changed, missing or inserted entry breaks the chain and is found by ``verify``. The database refuses changes by
triggers; the chain shows those made around them. Ids, amounts and reasons belong here, payloads do not.

Of an entry's text, the hash covers a digest with a salt of its own. When a customer's personal data are erased, text
and salt go: the text cannot be guessed back from the digest, and the chain still verifies. Every erasure is an entry
itself that names the entries it covers; a text that is missing without one breaks the log like any other change.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    LargeBinary,
    Row,
    String,
    bindparam,
    cast,
    func,
    insert,
    or_,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.orm import Session, SessionTransaction
from sqlmodel import SQLModel

from connector.db.tables import SyncLogEntry
from connector.vocabulary import LogKind

_LOG = SQLModel.metadata.tables["sync_log"]
_INSERT = insert(_LOG)
# Built once: every sync asks for it.
_LOGGED_AFTER = (
    select(_LOG.c.id)
    .where(
        _LOG.c.id > bindparam("entry_id"),
        or_(_LOG.c.connection_id.is_(None), _LOG.c.connection_id == bindparam("connection_id")),
        _LOG.c.kind.not_in(bindparam("ignored", expanding=True)),
    )
    .limit(1)
)
_GENESIS_HASH = "0" * 64  # the previous hash of the first entry
_CHAIN_LOCK = 7_215_002  # PostgreSQL advisory lock: one writer of the chain at a time; SQLite has one writer anyway
_BATCH_SIZE = 1000
_LAST_WRITTEN = "duewell_last_log_entry"  # in a session: the transaction that wrote the last entry, and its hash
ERASED = "(erased)"  # replaces an erased text; the triggers of the first migration know it, too
_MISSING = "an entry before this one is missing, was inserted or was changed"
_CHANGED = "this entry was changed after it was written"
_ERASED_UNLOGGED = "its text was erased, and no entry of the log records that erasure"
_NOT_COVERED = {"id", "hash", "text", "salt"}  # by an entry's hash


class ChainVerdict(NamedTuple):
    """Whether the chain verifies. ``head``, kept elsewhere, also reveals a log that was rewritten as a whole."""

    ok: bool
    entries: int
    head: str
    broken_at_id: int | None = None
    reason: str = ""


class LogEntry(NamedTuple):
    """An entry to be written. ``text`` is for people, ``facts`` are for programs."""

    kind: LogKind
    text: str
    customer_id: str = ""
    invoice_id: str = ""
    facts: Mapping[str, object] | None = None


def write(  # noqa: PLR0913 - the columns of an entry
    session: Session,
    *,
    at: datetime,
    kind: LogKind,
    text: str,
    connection_id: int | None = None,
    run_id: int | None = None,
    customer_id: str = "",
    invoice_id: str = "",
    facts: Mapping[str, object] | None = None,
) -> None:
    """Write an entry in the caller's transaction (``connector.db.engine.writing``)."""
    entry = LogEntry(kind, text, customer_id, invoice_id, facts)
    write_all(session, [entry], at=at, connection_id=connection_id, run_id=run_id)


def write_all(
    session: Session,
    entries: Iterable[LogEntry],
    *,
    at: datetime,
    connection_id: int | None = None,
    run_id: int | None = None,
) -> None:
    """Write entries in the caller's transaction, in one statement.

    The first evaluation of a large company writes an entry for each invoice while every other writer waits. So they
    are written together, and without flushing the session.
    """
    previous, rows = _chain_head(session), []
    for entry in entries:
        row = {
            "at": at.astimezone(UTC),
            "kind": entry.kind,
            "text": _storable(entry.text),
            "connection_id": connection_id,
            "run_id": run_id,
            "customer_id": entry.customer_id,
            "invoice_id": entry.invoice_id,
            "facts": _storable(_canonical_json(entry.facts or {})),
            "salt": secrets.token_hex(16),
            "previous_hash": previous,
        }
        row["digest"] = _digest(row)
        previous = row["hash"] = _hash(row)
        rows.append(row)
    if rows:
        session.connection().execute(_INSERT, rows)  # not through the session, which would flush first
        session.info[_LAST_WRITTEN] = (_transaction(session), previous)


def erase_texts(
    session: Session,
    ids: Collection[int],
    *,
    at: datetime,
    text: str,
    connection_id: int | None,
    customer_id: str = "",
) -> int:
    """Erase the texts of these entries for good, record it in an entry with ``text``, and return how many they were.

    Entries that record an erasure keep their text: they are the proof of it, and name customers by their ids alone.
    """
    wanted, found = sorted(set(ids)), []
    for start in range(0, len(wanted), _BATCH_SIZE):
        batch = (
            _LOG.c.id.in_(wanted[start : start + _BATCH_SIZE]),
            _LOG.c.salt != "",
            _LOG.c.kind != LogKind.ERASED,
        )
        found += sorted(session.execute(select(_LOG.c.id).where(*batch)).scalars())
        session.execute(update(_LOG).where(*batch).values(text=ERASED, salt=""))
    if found:
        write(
            session,
            at=at,
            kind=LogKind.ERASED,
            text=text,
            connection_id=connection_id,
            customer_id=customer_id,
            facts={"entries": list(_format_ranges(found))},
        )
    return len(found)


def newest_hash(session: Session) -> str:
    """Return the newest entry's hash. Kept elsewhere, it also reveals a log that was rewritten as a whole."""
    newest = select(_LOG.c.hash).order_by(_LOG.c.id.desc()).limit(1)
    return session.execute(newest).scalar() or _GENESIS_HASH


def has_entry(session: Session, hash_prefix: str) -> bool:
    """Return whether an entry's hash starts with this: if the chain verifies, all before it is unchanged since."""
    query = select(_LOG.c.id).where(_LOG.c.hash.startswith(hash_prefix, autoescape=True))
    return session.execute(query.limit(1)).scalar() is not None


def newest_entry_id(session: Session) -> int:
    """Return the id of the newest entry, 0 for an empty log. Ids follow the order of the commits."""
    return session.execute(select(func.max(_LOG.c.id))).scalar() or 0


def logged_since(session: Session, entry_id: int, *, connection_id: int, run_id: int, customer_id: str = "") -> bool:
    """Return whether anyone but this run wrote an entry after that one, about the company or one customer of it.

    Whatever a user, a customer or the email service changes writes an entry in the same transaction.
    """
    company = or_(_LOG.c.connection_id.is_(None), _LOG.c.connection_id == connection_id)
    others = or_(_LOG.c.run_id.is_(None), _LOG.c.run_id != run_id)
    query = select(_LOG.c.id).where(_LOG.c.id > entry_id, company, others)
    if customer_id:
        query = query.where(_LOG.c.customer_id.in_(["", customer_id]))
    return session.execute(query.limit(1)).scalar() is not None


def logged_after(session: Session, entry_id: int, connection_id: int, *, ignored: Collection[LogKind]) -> bool:
    """Return whether anyone wrote an entry after that one about the company, or about all, of another kind than these.

    Whatever a user, a customer or the email service changes writes an entry in the same transaction.
    """
    values = {"entry_id": entry_id, "connection_id": connection_id, "ignored": list(ignored)}
    return session.connection().execute(_LOGGED_AFTER, values).scalar() is not None


def verify(session: Session) -> ChainVerdict:
    """Recompute every hash from the first entry on, and report the first entry that does not fit."""
    previous, count = _GENESIS_HASH, 0
    unexplained: set[int] = set()  # erased entries that no later entry has accounted for yet
    query = select(*_columns_as_stored(session)).order_by(_LOG.c.id)
    for row in session.execute(query.execution_options(yield_per=_BATCH_SIZE)):
        entry = _decode_row(row)
        if entry["previous_hash"] != previous:
            return ChainVerdict(ok=False, entries=count, head=previous, broken_at_id=row.id, reason=_MISSING)
        erased = (entry["text"], entry["salt"]) == (ERASED, "")
        if entry["hash"] != _hash(entry) or not (erased or entry["digest"] == _digest(entry)):
            return ChainVerdict(ok=False, entries=count, head=previous, broken_at_id=row.id, reason=_CHANGED)
        if erased:
            unexplained.add(row.id)
        elif entry["kind"] == LogKind.ERASED:
            unexplained = _without_ranges(unexplained, entry["facts"])
        previous, count = entry["hash"], count + 1
    if unexplained:
        return ChainVerdict(
            ok=False, entries=count, head=previous, broken_at_id=min(unexplained), reason=_ERASED_UNLOGGED
        )
    return ChainVerdict(ok=True, entries=count, head=previous)


def list_entries(
    session: Session, *, connection_id: int | None = None, since_at: datetime | None = None, limit: int = 1000
) -> list[SyncLogEntry]:
    """Return the newest entries, oldest first."""
    query = select(SyncLogEntry).where(*_matches(connection_id, since_at)).order_by(_LOG.c.id.desc()).limit(limit)
    return list(session.scalars(query))[::-1]


def count_entries(session: Session, *, connection_id: int | None = None, since_at: datetime | None = None) -> int:
    """Return how many entries ``list_entries`` returns without a limit."""
    query = select(func.count()).select_from(_LOG).where(*_matches(connection_id, since_at))
    return session.scalar(query) or 0


def _matches(connection_id: int | None, since_at: datetime | None) -> list[ColumnElement[bool]]:
    wanted = [] if connection_id is None else [_LOG.c.connection_id == connection_id]
    return wanted + ([] if since_at is None else [_LOG.c.at >= since_at])


def _chain_head(session: Session) -> str:
    """Return the hash that the next entry follows, and lock the chain.

    The session remembers what its transaction wrote last, because nobody else can write meanwhile.
    """
    written_in, last_hash = session.info.get(_LAST_WRITTEN, (None, ""))
    if last_hash and written_in is _transaction(session):
        return str(last_hash)
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CHAIN_LOCK})
    return newest_hash(session)


def _transaction(session: Session) -> SessionTransaction | None:
    """Return the innermost transaction: the entries of a savepoint may be rolled back while the rest stays."""
    return session.get_nested_transaction() or session.get_transaction()


def _columns_as_stored(session: Session) -> list[ColumnElement[Any]]:
    """Return the columns without conversions, on SQLite as bytes: what is damaged may be no valid text or date."""
    if session.get_bind().dialect.name != "sqlite":
        return [type_coerce(c, String).label(c.name) if c.name == "kind" else c for c in _LOG.c]
    return [c if isinstance(c.type, Integer) else cast(c, LargeBinary).label(c.name) for c in _LOG.c]


def _decode_row(row: Row[Any]) -> dict[str, Any]:
    entry = {name: _decode(value) for name, value in row._mapping.items()}  # noqa: SLF001
    if isinstance(entry["at"], str):
        entry["at"] = entry["at"].replace(" ", "T") + "+00:00"
    return entry


def _decode(value: object) -> object:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _hash(entry: Mapping[str, object]) -> str:
    covered = {name: value for name, value in entry.items() if name not in _NOT_COVERED}
    return hashlib.sha256(_canonical_json(covered).encode()).hexdigest()


def _digest(entry: Mapping[str, object]) -> str:
    return hashlib.sha256(f"{entry['salt']}\n{entry['text']}".encode()).hexdigest()


def _format_ranges(ids: Iterable[int]) -> Iterator[str]:
    """Format ascending ids as ranges: "3-7" and "9"."""
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


def _without_ranges(ids: set[int], facts: str) -> set[int]:
    """Return the ids without those that an erasure covers; one that cannot be read covers none."""
    try:
        parts = [str(each).partition("-") for each in json.loads(facts)["entries"]]
        ranges = [(int(first), int(last or first)) for first, _, last in parts]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ids
    left = sorted(ids)
    covered = {each for first, last in ranges for each in left[bisect_left(left, first) : bisect_right(left, last)]}
    return ids - covered


def _canonical_json(value: Mapping[str, object]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_json_default)


def _json_default(value: object) -> str:
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else str(value)


def _storable(value: str) -> str:
    """Remove what no database stores (NUL, halves of surrogate pairs): text from a ledger must not stop the log."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode()
