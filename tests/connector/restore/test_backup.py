"""A backup is complete and private, and a restored database sends nothing twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session, select

from connector.audit import sync_log
from connector.db.engine import DatabaseError, open_engine, reading, upgrade, writing
from connector.db.tables import Connection, KeyValue, OutboxEntry
from connector.restore.backup import restore_backup, write_backup
from connector.restore.restore_gap import restored_at
from connector.secrets.keyring import Keyring
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
KEYRING = Keyring([bytes(32)])


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/home/duewell.db"


@pytest.fixture
def home(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    upgrade(engine)
    with writing(engine) as session:
        for name, mode in (("acme", ConnectionMode.LIVE), ("busy", ConnectionMode.OBSERVE)):
            session.add(
                Connection(short_name=name, provider="xero", external_id=name, name=name, mode=mode, created_at=NOON)
            )
        session.flush()
        for kind, state in (
            (OutboxKind.EMAIL, OutboxState.PLANNED),
            (OutboxKind.NOTE, OutboxState.PLANNED),
            (OutboxKind.EMAIL, OutboxState.DONE),
            (OutboxKind.LATE_FEE, OutboxState.AWAITING_APPROVAL),
        ):
            _effect(session, kind, state)
    yield engine
    engine.dispose()


def _effect(session: Session, kind: OutboxKind, state: OutboxState) -> None:
    entry = OutboxEntry(
        connection_id=1, key=f"{kind} {state}", kind=kind, state=state, customer_id="c", planned_at=NOON
    )
    entry.payload, entry.approved_at, entry.approved_by = {}, NOON, "a person"
    session.add(entry)


def _store_customer(engine: Engine, name: str) -> None:
    with writing(engine) as session:
        session.merge(KeyValue(connection_id=0, name=name, value=1, stored_at=NOON))


def _change(file: Path, *statements: str) -> None:
    """Change a backup, as whoever can write to it could."""
    with closing(sqlite3.connect(file, isolation_level=None)) as copy:
        for statement in statements:
            copy.execute(statement)


def _names(engine: Engine) -> set[str]:
    with reading(engine) as session:
        return {row.name for row in session.exec(select(KeyValue))}


def test_a_backup_is_restored_completely(home: Engine, url: str, tmp_path: Path) -> None:
    _store_customer(home, "before")
    made = write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    _store_customer(home, "after")
    home.dispose()
    done = restore_backup(url, tmp_path / "copy", KEYRING, at=LATER)
    engine = open_engine(url)
    assert _names(engine) == {"before", "backup", "restored"}
    assert done.backup == made
    with reading(engine) as session:
        assert restored_at(session) == LATER
        assert sync_log.verify(session).ok
    engine.dispose()


def test_the_replaced_database_is_kept(home: Engine, url: str, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    _store_customer(home, "after")
    home.dispose()
    done = restore_backup(url, tmp_path / "copy", KEYRING, at=LATER)
    assert done.replaced_file is not None
    aside = open_engine(f"sqlite:///{done.replaced_file}")
    assert "after" in _names(aside)
    aside.dispose()


def test_nothing_is_sent_from_a_restored_database_without_approval(home: Engine, url: str, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    home.dispose()
    restore_backup(url, tmp_path / "copy", KEYRING, at=LATER)
    engine = open_engine(url)
    with reading(engine) as session:
        assert [row.mode for row in session.exec(select(Connection))] == ["approve", "observe"]
        entries = {row.key: row for row in session.exec(select(OutboxEntry))}
    states = {key: entry.state for key, entry in entries.items()}
    assert states == {
        "email planned": "awaiting_approval",
        "late_fee awaiting_approval": "awaiting_approval",
        "note planned": "sending",  # looked for in the ledger before it is written
        "email done": "done",
    }
    assert entries["email planned"].approved_at is None
    engine.dispose()


def test_a_backup_is_one_private_file(home: Engine, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["copy"]
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600


def test_a_restored_database_is_private_and_leaves_no_temporary_files(home: Engine, url: str, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    home.dispose()
    restore_backup(url, tmp_path / "copy", KEYRING, at=LATER)
    files = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "home").iterdir()}
    assert files == {"duewell.db": 0o600, "duewell.db.replaced-20261121T120000": 0o600}


def test_a_backup_made_during_writes_is_consistent(home: Engine, tmp_path: Path) -> None:
    with writing(home) as session:
        session.execute(text("CREATE TABLE pair (a INTEGER, b INTEGER)"))
        session.execute(text("INSERT INTO pair VALUES (0, 0)"))
    stop = Event()

    def write_on() -> None:
        while not stop.is_set():
            with writing(home) as session:
                session.execute(text("UPDATE pair SET a = a + 1"))
                session.execute(text("UPDATE pair SET b = b + 1"))

    writer = Thread(target=write_on)
    writer.start()
    try:
        for number in range(3):
            write_backup(home, tmp_path / f"copy{number}", KEYRING, at=NOON)
    finally:
        stop.set()
        writer.join()
    for number in range(3):
        with sqlite3.connect(tmp_path / f"copy{number}") as copy:
            a, b = copy.execute("SELECT a, b FROM pair").fetchone()
            assert a == b


def test_a_backup_of_a_newer_version_is_rejected_and_changes_nothing(home: Engine, url: str, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    home.dispose()
    _change(tmp_path / "copy", "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="newer duewell"):
        restore_backup(url, tmp_path / "copy", KEYRING, at=LATER)
    engine = open_engine(url)
    assert "restored" not in _names(engine)
    engine.dispose()


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_a_file_that_is_not_a_backup_is_rejected(home: Engine, url: str, tmp_path: Path, content: bytes) -> None:
    home.dispose()
    (tmp_path / "copy").write_bytes(content)
    with pytest.raises(DatabaseError, match="not a database of duewell"):
        restore_backup(url, tmp_path / "copy", KEYRING, at=LATER)


def test_a_damaged_backup_is_rejected(home: Engine, url: str, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    home.dispose()
    content = bytearray((tmp_path / "copy").read_bytes())
    content[8192:60000] = bytes(60000 - 8192)
    (tmp_path / "copy").write_bytes(content)
    with pytest.raises(DatabaseError):
        restore_backup(url, tmp_path / "copy", KEYRING, at=LATER)
    engine = open_engine(url)
    assert "restored" not in _names(engine)
    engine.dispose()


def test_a_database_in_use_is_not_replaced(home: Engine, url: str, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    with home.connect() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(DatabaseError, match="running"):
            restore_backup(url, tmp_path / "copy", KEYRING, at=LATER)


def test_a_damaged_database_can_be_replaced(home: Engine, url: str, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    home.dispose()
    (tmp_path / "home" / "duewell.db").write_bytes(b"scribbled over" * 1000)
    (tmp_path / "home" / "duewell.db-wal").write_bytes(b"leftover")
    restore_backup(url, tmp_path / "copy", KEYRING, at=LATER)
    engine = open_engine(url)
    assert "restored" in _names(engine)
    engine.dispose()


def test_a_backup_replaces_an_older_backup_and_nothing_else(home: Engine, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    assert write_backup(home, tmp_path / "copy", KEYRING, at=LATER).created_at == LATER
    (tmp_path / "letter").write_text("dear reader")
    with pytest.raises(DatabaseError):
        write_backup(home, tmp_path / "letter", KEYRING, at=NOON)
    assert (tmp_path / "letter").read_text() == "dear reader"
    with pytest.raises(DatabaseError, match="database itself"):
        write_backup(home, tmp_path / "home" / "duewell.db", KEYRING, at=NOON)


def test_a_backup_is_restored_into_an_empty_home(home: Engine, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    done = restore_backup(f"sqlite:///{tmp_path}/elsewhere/duewell.db", tmp_path / "copy", KEYRING, at=LATER)
    assert done.replaced_file is None
