"""The sync log cannot be changed unnoticed."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from connector.audit import sync_log
from connector.db.engine import open_engine, reading, sqlite_file, upgrade, writing
from connector.db.tables import Connection
from connector.vocabulary import LogKind

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


def _write_lines(engine: Engine, *lines: str) -> None:
    with writing(engine) as session:
        for number, line in enumerate(lines):
            facts = {"sum": Decimal("12.50"), "currency": "EUR"}
            sync_log.write(session, at=NOON + timedelta(seconds=number), kind=LogKind.PULLED, text=line, facts=facts)


def _verdict(engine: Engine) -> sync_log.ChainVerdict:
    with reading(engine) as session:
        return sync_log.verify(session)


def test_an_empty_log_is_intact(engine: Engine) -> None:
    assert _verdict(engine) == sync_log.ChainVerdict(ok=True, entries=0, head="0" * 64)


def test_written_entries_are_verified_and_read_in_order(engine: Engine) -> None:
    _write_lines(engine, "one", "two with an odd \x00 letter \ud800 and an umlaut ü", "three")
    assert _verdict(engine).ok
    with reading(engine) as session:
        lines = sync_log.list_entries(session)
        assert [line.text for line in lines] == ["one", "two with an odd  letter ? and an umlaut ü", "three"]
        assert lines[0].facts == '{"currency":"EUR","sum":"12.50"}'
        assert lines[0].at == NOON
        assert [line.text for line in sync_log.list_entries(session, limit=1)] == ["three"]
        assert sync_log.list_entries(session, since_at=NOON + timedelta(seconds=1))[0].text.startswith("two")
        assert sync_log.list_entries(session, connection_id=7) == []


@pytest.mark.parametrize("attempt", ["UPDATE sync_log SET text = 'nicer'", "DELETE FROM sync_log WHERE id = 1"])
def test_the_database_refuses_to_change_the_log(engine: Engine, attempt: str) -> None:
    _write_lines(engine, "one", "two")
    with pytest.raises(DBAPIError, match="never changed"), writing(engine) as session:
        session.execute(text(attempt))
    assert _verdict(engine).entries == 2


def _behind_the_triggers(engine: Engine) -> sqlite3.Connection:
    file = sqlite3.connect(str(sqlite_file(engine)), isolation_level=None)
    for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        file.execute(f"DROP TRIGGER {name}")
    return file


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    engine = open_engine(f"sqlite:///{folder}/duewell.db")
    upgrade(engine)
    with writing(engine) as session:
        session.add(Connection(short_name="acme", provider="xero", external_id="1", name="Acme", created_at=NOON))
    for line in range(3):
        with writing(engine) as session:
            sync_log.write(
                session,
                at=NOON,
                kind=LogKind.PULLED,
                text=f"line {line}",
                connection_id=1,
                customer_id="c1",
                invoice_id="i1",
            )
    _behind_the_triggers(engine).close()
    engine.dispose()
    return folder / "duewell.db"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(
    line=st.integers(1, 3),
    column=st.sampled_from(
        ["at", "kind", "customer_id", "invoice_id", "text", "facts", "salt", "digest", "previous_hash", "hash"]
    ),
    place=st.integers(0, 10**6),
    bit=st.integers(0, 7),
)
def test_one_flipped_byte_is_found(written: Path, line: int, column: str, place: int, bit: int) -> None:
    file = sqlite3.connect(written, isolation_level=None)
    change = f"UPDATE sync_log SET {column} = CAST(? AS TEXT) WHERE id = ?"
    (before,) = file.execute(f"SELECT CAST({column} AS BLOB) FROM sync_log WHERE id = ?", (line,)).fetchone()
    flipped = bytearray(before)
    flipped[place % len(before)] ^= 1 << bit
    engine = open_engine(f"sqlite:///{written}")
    try:
        file.execute(change, (bytes(flipped), line))
        verdict = _verdict(engine)
        assert not verdict.ok
        assert verdict.broken_at_id in {line, line + 1}
    finally:
        file.execute(change, (before, line))
        file.close()
        engine.dispose()


@pytest.mark.parametrize("tampering", ["DELETE FROM sync_log WHERE id = 2", "UPDATE sync_log SET id = 9 WHERE id = 2"])
def test_a_removed_or_moved_entry_is_found(tmp_path: Path, tampering: str) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/duewell.db")
    upgrade(engine)
    _write_lines(engine, "one", "two", "three")
    file = _behind_the_triggers(engine)
    file.execute(tampering)
    file.close()
    verdict = _verdict(engine)
    assert (verdict.ok, verdict.broken_at_id) == (False, 3)
    engine.dispose()


def test_two_writers_build_one_chain(engine: Engine) -> None:
    start = Barrier(2)

    def tell(name: str) -> None:
        start.wait()
        for number in range(10):
            _write_lines(engine, f"{name} {number}", f"{name} {number} again")

    writers = [Thread(target=tell, args=(name,)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    verdict = _verdict(engine)
    assert (verdict.ok, verdict.entries) == (True, 40)


def test_a_rolled_back_savepoint_leaves_no_gap_in_the_chain(engine: Engine) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    with writing(engine) as session:
        sync_log.write(session, at=at, kind=LogKind.WARNING, text="stays")
        for text in ("taken back", "taken back too"):
            savepoint = session.begin_nested()
            sync_log.write(session, at=at, kind=LogKind.WARNING, text=text)
            savepoint.rollback()
        sync_log.write(session, at=at, kind=LogKind.WARNING, text="stays as well")
        with session.begin_nested():
            sync_log.write(session, at=at, kind=LogKind.WARNING, text="and this")
        sync_log.write(session, at=at, kind=LogKind.WARNING, text="the end")
    assert (_verdict(engine).ok, _verdict(engine).entries) == (True, 4)
    _write_lines(engine, "later")
    assert (_verdict(engine).ok, _verdict(engine).entries) == (True, 5)


def test_an_erased_text_is_gone_and_the_logged_erasure_keeps_the_chain_intact(engine: Engine) -> None:
    _write_lines(engine, "one", "Mailed Ann Lee", "Ann Lee replied", "four", "Ann Lee paid")
    with writing(engine) as session:
        ids = [line.id or 0 for line in sync_log.list_entries(session) if "Ann Lee" in line.text]
        told = "A customer's texts were erased."
        assert sync_log.erase_texts(session, ids, at=NOON, text=told, connection_id=None) == 3
        assert sync_log.erase_texts(session, ids, at=NOON, text=told, connection_id=None) == 0
    with reading(engine) as session:
        lines = sync_log.list_entries(session)
    assert [line.text for line in lines] == ["one", *[sync_log.ERASED] * 2, "four", sync_log.ERASED, told]
    assert lines[-1].facts == '{"entries":["2-3","5"]}'
    assert (_verdict(engine).ok, _verdict(engine).entries) == (True, 6)
    with pytest.raises(DBAPIError, match="never changed"), writing(engine) as session:
        session.execute(text("UPDATE sync_log SET text = '(erased)', salt = '', kind = 'read' WHERE id = 6"))


def test_a_text_removed_without_a_log_entry_is_found(engine: Engine) -> None:
    _write_lines(engine, "one", "two", "three")
    with writing(engine) as session:
        session.execute(text("UPDATE sync_log SET text = '(erased)', salt = '' WHERE id = 2"))
    verdict = _verdict(engine)
    assert (verdict.ok, verdict.broken_at_id) == (False, 2)
    assert "no entry of the log records" in verdict.reason
