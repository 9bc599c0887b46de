"""A backup is restored only as it was made: changed, foreign and odd files are refused, or accepted with a warning."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from connector.audit import sync_log
from connector.db.engine import DatabaseError, open_engine, reading, upgrade, writing
from connector.db.tables import Connection, SyncLogEntry, User
from connector.restore.backup import RestoreResult, UnsealedError, restore_backup, write_backup
from connector.restore.restore_gap import restore_gap
from connector.secrets.keyring import Keyring
from connector.vocabulary import ConnectionMode, LogKind

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
KEYRING, OTHER_KEYRING = Keyring([bytes(32)]), Keyring([bytes(31) + b"\1"])
ADDED_OWNER = (
    "INSERT INTO app_user (email, name, password_hash, role, all_companies, created_at, passkey_only, oidc_subject,"
    " time_zone, digest_at, digest_off)"
    " VALUES ('mallory@example.com', '', 'x', 'owner', 1, '2026-11-20 12:00:00.000000', 0, '', '', '', 0)"
)
KEEPS_LIVE = (
    "CREATE TRIGGER keep AFTER UPDATE OF mode ON connection"
    " BEGIN UPDATE connection SET mode = old.mode WHERE id = old.id; END"
)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of an installation with a live company and three lines in its log."""
    folder = tmp_path_factory.mktemp("sealed")
    engine = open_engine(f"sqlite:///{folder}/home/duewell.db")
    upgrade(engine)
    with writing(engine) as session:
        session.add(
            Connection(
                short_name="acme", provider="xero", external_id="a", name="A", mode=ConnectionMode.LIVE, created_at=NOON
            )
        )
        for number in range(3):
            sync_log.write(session, at=NOON, kind=LogKind.BACKUP, text=f"line {number}")
    write_backup(engine, folder / "sealed.db", KEYRING, at=NOON)
    engine.dispose()
    return folder / "sealed.db"


@pytest.fixture
def file(sealed: Path, tmp_path: Path) -> Path:
    """A copy of the backup to be tampered with."""
    return Path(shutil.copyfile(sealed, tmp_path / "copy.db"))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/home/duewell.db"


def _change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as copy:
        for statement in statements:
            copy.execute(statement)


def _restored(url: str) -> Engine:
    return open_engine(url)


def _is_untouched(url: str) -> bool:
    return not list(Path(url.removeprefix("sqlite:///")).parent.iterdir())


def _restore(url: str, file: Path, *, keyring: Keyring = KEYRING, unsealed: bool = False) -> RestoreResult:
    return restore_backup(url, file, keyring, at=LATER, unsealed=unsealed)


def test_an_intact_backup_is_restored_without_further_words(url: str, file: Path) -> None:
    done = _restore(url, file)
    assert (done.unsealed_reason, done.approve_companies) == ("", ("acme",))


@pytest.mark.parametrize(
    "change",
    [
        ADDED_OWNER,
        "UPDATE connection SET mode = 'observe'",
        "UPDATE key_value SET value = json_set(value, '$.created_at', '2026-11-20T11:00:00Z') WHERE name = 'backup'",
        "PRAGMA user_version = 7",
    ],
)
def test_a_backup_changed_by_others_is_refused_and_changes_nothing(url: str, file: Path, change: str) -> None:
    _change(file, change)
    with pytest.raises(UnsealedError, match=r"is not an intact backup of this installation.*--unsealed"):
        _restore(url, file)
    assert _is_untouched(url)


def test_one_flipped_bit_breaks_the_seal(url: str, file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(b"line 1")] ^= 1
    file.write_bytes(content)
    with pytest.raises(UnsealedError, match="changed or damaged"):
        _restore(url, file)


def test_a_backup_of_another_installation_is_restored_only_on_request(url: str, file: Path) -> None:
    with pytest.raises(UnsealedError, match="another"):
        _restore(url, file, keyring=OTHER_KEYRING)
    assert _is_untouched(url)
    with pytest.raises(UnsealedError, match="another"):
        _restore(url, file, keyring=Keyring([]))
    done = _restore(url, file, keyring=OTHER_KEYRING, unsealed=True)
    assert "another" in done.unsealed_reason


def test_after_a_change_of_keys_the_old_key_still_opens_the_seal(url: str, file: Path) -> None:
    done = _restore(url, file, keyring=Keyring([b"n" * 32, bytes(32)]))
    assert done.unsealed_reason == ""


def test_who_may_sign_in_is_named_where_the_seal_is_broken(url: str, file: Path) -> None:
    _change(file, ADDED_OWNER)
    done = _restore(url, file, unsealed=True)
    assert done.owners == ("mallory@example.com",)
    engine = _restored(url)
    with reading(engine) as session:
        assert [row.email for row in session.exec(select(User))] == ["mallory@example.com"]
        line = session.exec(select(SyncLogEntry).where(SyncLogEntry.kind == LogKind.RESTORED)).one()
    assert "not sealed by this installation" in line.text
    engine.dispose()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (KEEPS_LIVE, "an unknown trigger 'keep'"),
        ("CREATE VIEW mine AS SELECT 1", "an unknown view 'mine'"),
        ("CREATE VIRTUAL TABLE words USING fts5(word)", "an unknown table 'words'"),
        ("DROP TRIGGER sync_log_refuses_delete", "no trigger 'sync_log_refuses_delete'"),
        ("ALTER TABLE suppressed_address ADD COLUMN more TEXT", "a changed table 'suppressed_address'"),
    ],
)
@pytest.mark.parametrize("unsealed", [False, True])
def test_what_duewell_did_not_put_into_the_schema_is_refused(
    url: str, file: Path, change: str, named: str, *, unsealed: bool
) -> None:
    _change(file, change)
    with pytest.raises(DatabaseError, match=named):
        _restore(url, file, unsealed=unsealed)
    assert _is_untouched(url)


@pytest.mark.parametrize("unsealed", [False, True])
def test_a_view_in_the_place_of_a_table_is_not_even_read(url: str, file: Path, *, unsealed: bool) -> None:
    _change(file, "DROP TABLE alembic_version", "CREATE VIEW alembic_version AS SELECT '0001' AS version_num")
    with pytest.raises(DatabaseError, match="not a database of duewell"):
        _restore(url, file, unsealed=unsealed)


def test_own_tables_and_indexes_of_the_user_stay(url: str, file: Path) -> None:
    _change(file, "CREATE TABLE mine (a)", "CREATE INDEX mine_too ON invoice (number)")
    _restore(url, file, unsealed=True)
    engine = _restored(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM mine").scalar() == 0
    engine.dispose()


def test_a_database_with_a_trigger_of_others_is_not_backed_up(file: Path, tmp_path: Path) -> None:
    _change(file, KEEPS_LIVE)
    file.chmod(0o600)
    engine = open_engine(f"sqlite:///{file}")
    with pytest.raises(DatabaseError, match=r"an unknown trigger 'keep'.*drop it first"):
        write_backup(engine, tmp_path / "again.db", KEYRING, at=NOON)
    engine.dispose()
    assert not (tmp_path / "again.db").exists()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sync_log SET text = 'line X' WHERE id = 2",
        "DELETE FROM sync_log WHERE id = 2",
        "UPDATE sync_log SET at = 'never' WHERE id = 2",
    ],
)
def test_a_changed_log_is_found_and_restored_only_on_request(url: str, file: Path, change: str) -> None:
    with closing(sqlite3.connect(file)) as copy:
        triggers = list(copy.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    _change(file, *(f"DROP TRIGGER {name}" for name, _sql in triggers), change, *(sql for _name, sql in triggers))
    with pytest.raises(UnsealedError):
        _restore(url, file)
    done = _restore(url, file, unsealed=True)
    assert "its log is broken at entry" in done.unsealed_reason


ODD_STAMPS = {
    "not JSON": "'{'",
    "a list": "'[]'",
    "a number": "5",
    "bytes": "x'ff00'",
    "no id": """'{"created_at": "2026-11-20T12:00:00Z", "schema": "0001"}'""",
    "an id that is none": """'{"id": "../x", "created_at": "2026-11-20T12:00:00Z", "schema": "0001"}'""",
    "no date": """'{"id": "ab", "created_at": "soon", "schema": "0001"}'""",
    "no time zone": """'{"id": "ab", "created_at": "2026-11-20T12:00:00", "schema": "0001"}'""",
    "a seal that is none": """'{"id": "ab", "created_at": "2026-11-20T12:00:00Z", "schema": "0001", "seal": 5}'""",
    "years ahead": """'{"id": "ab", "created_at": "2990-11-20T12:00:00Z", "schema": "0001"}'""",
}


@pytest.mark.parametrize("stamp", ODD_STAMPS.values(), ids=list(ODD_STAMPS))
def test_an_odd_stamp_is_refused_in_plain_words(url: str, file: Path, stamp: str) -> None:
    _change(file, f"UPDATE key_value SET value = {stamp} WHERE name = 'backup'")
    with pytest.raises(DatabaseError, match=r"a stamp that `duewell backup` does not write|is still to come"):
        _restore(url, file, unsealed=True)
    assert _is_untouched(url)


def test_a_clock_that_ran_ahead_when_the_backup_was_made_gives_no_negative_gap(url: str, file: Path) -> None:
    restore_backup(url, file, KEYRING, at=NOON - timedelta(hours=1))
    engine = _restored(url)
    with reading(engine) as session:
        gap = restore_gap(session)
    engine.dispose()
    assert gap is not None
    assert gap.from_at == gap.to_at


def test_a_copy_made_by_hand_is_restored_on_request_with_what_its_log_holds(sealed: Path, tmp_path: Path) -> None:
    home = sealed.parent / "home" / "duewell.db"
    engine = open_engine(f"sqlite:///{home}")
    with writing(engine) as session:
        session.add(Connection(short_name="new", provider="xero", external_id="n", name="N", created_at=NOON))
    copied = tmp_path / "by-hand.db"
    for ending in ("", "-wal"):  # while it is in use, so that the newest lies in the write-ahead log
        shutil.copyfile(f"{home}{ending}", f"{copied}{ending}")
    url = f"sqlite:///{tmp_path}/target/duewell.db"
    with pytest.raises(UnsealedError, match="no seal"):
        _restore(url, copied)
    done = _restore(url, copied, unsealed=True)
    engine.dispose()
    restored = _restored(url)
    with reading(restored) as session:
        assert {row.short_name for row in session.exec(select(Connection))} == {"acme", "new"}
    restored.dispose()
    assert done.backup is None


def test_what_was_written_is_read_back_before_the_swap(url: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.restore.backup.require_approval", lambda *_args, **_kwargs: None)
    with pytest.raises(DatabaseError, match="does not hold what was written"):
        _restore(url, file)
    assert _is_untouched(url)
