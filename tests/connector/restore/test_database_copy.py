"""An installation moves into another database whole, and only one of the two goes on sending."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlmodel import SQLModel

from connector.audit import sync_log
from connector.db.engine import DatabaseError, open_engine, reading, upgrade, writing
from connector.db.tables import Connection, KeyValue, OutboxEntry, PendingConsent
from connector.restore import database_copy
from connector.restore.database_copy import CopyProgress, DatabaseCopy, copy_database_to
from connector.vocabulary import ConnectionMode, LogKind, OutboxKind, OutboxState, RunOutcome
from tests.connector.installed import Command
from tests.connector.scenario import ScenarioFactory

NOON = datetime(2026, 11, 20, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def first_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/first/duewell.db"


@pytest.fixture
def filled(first_url: str) -> Iterator[Engine]:
    """A database with a live company, values of many kinds, and an id that was used and deleted."""
    engine = open_engine(first_url)
    upgrade(engine)
    with writing(engine) as session:
        session.add(
            Connection(
                short_name="acme",
                provider="xero",
                external_id="a",
                name="Ädler",
                mode=ConnectionMode.LIVE,
                created_at=NOON,
            )
        )
        session.flush()
        values = {"float": 0.1, "nested": [{"b": 1, "a": None}], "large": 2**40, "none": None, "text": "a\u2028b"}
        for name, value in values.items():
            session.add(KeyValue(connection_id=0, name=name, value=value, stored_at=NOON))
        for number in range(3):
            session.add(
                OutboxEntry(
                    connection_id=1, key=f"k{number}", kind=OutboxKind.EMAIL, state=OutboxState.PLANNED,
                    customer_id="c", planned_at=NOON, payload={"z": 1, "a": [None]},
                )
            )  # fmt: skip
        session.add(
            PendingConsent(
                state_hash="Zebra", provider="xero", redirect_uri="x", encrypted_state=b"\x00\xff", started_at=NOON
            )
        )
        session.add(
            PendingConsent(state_hash="apple", provider="xero", redirect_uri="x", encrypted_state=b"", started_at=NOON)
        )
        sync_log.write(session, at=NOON, kind=LogKind.PULLED, text="read", connection_id=1)
    yield engine
    engine.dispose()


def copy(source: str, target: str, home: Path, *, is_trial: bool = False) -> DatabaseCopy:
    return copy_database_to(source, target, home=home, at=NOON + timedelta(hours=1), is_trial=is_trial)


def rows_of(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Return everything a database holds, read without the types of the product."""
    engine = open_engine(url)
    with engine.connect() as connection:
        held = {
            name: sorted(
                (tuple(bytes(each) if isinstance(each, memoryview) else each for each in row) for row in rows), key=repr
            )
            for name in SQLModel.metadata.tables
            if (rows := connection.execute(text(f'SELECT * FROM "{name}"')).all())
        }
    engine.dispose()
    return held


def write_one_more(url: str) -> int | None:
    """Write an outbox entry and a log line, check the log, and return the id of the entry."""
    engine = open_engine(url)
    with writing(engine) as session:
        entry = OutboxEntry(
            connection_id=1, key="next", kind=OutboxKind.EMAIL, state=OutboxState.PLANNED, customer_id="c",
            planned_at=NOON, payload={},
        )  # fmt: skip
        session.add(entry)
        sync_log.write(session, at=NOON, kind=LogKind.PULLED, text="read", connection_id=1)
        assert sync_log.verify(session).ok
    engine.dispose()
    return entry.id


def modes_and_states(url: str) -> tuple[set[str], set[str]]:
    engine = open_engine(url)
    with engine.connect() as connection:
        modes = set(connection.execute(text("SELECT mode FROM connection")).scalars())
        states = set(connection.execute(text("SELECT state FROM outbox")).scalars())
    engine.dispose()
    return modes, states


def test_a_move_and_back_keeps_every_row_and_only_the_copy_goes_on_sending(
    filled: Engine, first_url: str, database_url: str, tmp_path: Path
) -> None:
    filled.dispose()
    before = rows_of(first_url)
    seen: list[CopyProgress] = []
    there = copy_database_to(first_url, database_url, home=tmp_path, at=NOON, report=seen.append)
    assert modes_and_states(database_url) == ({"live"}, {"planned"})
    assert modes_and_states(first_url) == ({"approve"}, {"awaiting_approval"})
    back_url = f"sqlite:///{tmp_path}/back/duewell.db"
    back = copy(database_url, back_url, tmp_path)
    assert (back.sha256, back.tables) == (there.sha256, there.tables)
    assert rows_of(back_url) == before
    assert {each.name: each.rows for each in there.tables if each.rows} == {name: len(r) for name, r in before.items()}
    assert seen[-1].done == seen[-1].total == 2 * there.rows
    assert write_one_more(back_url) == write_one_more(database_url) == 4


def test_only_the_first_goes_on_sending_after_a_trial(
    filled: Engine, first_url: str, database_url: str, tmp_path: Path
) -> None:
    filled.dispose()
    before = rows_of(first_url)
    copy(first_url, database_url, tmp_path, is_trial=True)
    assert rows_of(first_url) == before
    assert modes_and_states(database_url) == ({"approve"}, {"awaiting_approval"})


def test_a_database_that_is_not_empty_is_refused(filled: Engine, first_url: str, tmp_path: Path) -> None:
    filled.dispose()
    with pytest.raises(DatabaseError, match=r"is not empty: it has rows in .*connection.*nothing was copied"):
        copy(first_url, first_url, tmp_path)


def test_a_database_in_use_is_refused(filled: Engine, first_url: str, tmp_path: Path) -> None:
    with filled.connect(), pytest.raises(DatabaseError, match=r"duewell is running with this database: stop it"):
        copy(first_url, f"sqlite:///{tmp_path}/next.db", tmp_path)


def test_a_server_refuses_what_it_cannot_store_and_is_left_alone_while_others_use_it(
    filled: Engine, first_url: str, server_url: str, tmp_path: Path
) -> None:
    odd = PendingConsent(state_hash="odd", provider="a\x00b", redirect_uri="x", encrypted_state=b"", started_at=NOON)
    with writing(filled) as session:
        session.add(odd)
    filled.dispose()
    with pytest.raises(DatabaseError, match=r"pending_consent.provider holds a zero character.*state_hash 'odd'"):
        copy(first_url, server_url, tmp_path)
    assert rows_of(server_url) == {}
    assert modes_and_states(first_url)[0] == {"live"}
    with writing(filled) as session:
        session.delete(odd)
    filled.dispose()
    copy(first_url, server_url, tmp_path)
    other = create_engine(server_url, connect_args={"application_name": "reports"})
    target = f"sqlite:///{tmp_path}/back.db"
    with other.connect() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(DatabaseError, match=r"other programs have the database open: reports \(process \d+\)"):
            copy(server_url, target, tmp_path)
    other.dispose()
    assert rows_of(target) == {}


def test_a_row_that_differs_after_copying_undoes_the_copy(
    filled: Engine, first_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.dispose()
    monkeypatch.setattr(
        database_copy, "_refuse_unstorable", lambda _table, rows, _target: rows.__setitem__(-1, _renamed(rows[-1]))
    )
    target = f"sqlite:///{tmp_path}/next.db"
    with pytest.raises(DatabaseError, match=r"is not the same in both databases, the one with .*; nothing was copied"):
        copy(first_url, target, tmp_path)
    assert rows_of(target) == {}
    assert modes_and_states(first_url)[0] == {"live"}


def _renamed(row: tuple[object, ...]) -> tuple[object, ...]:
    """Return a row that another one was stored instead of."""
    return tuple("Odler" if value == "Ädler" else value for value in row)


def test_a_server_that_does_not_answer_is_named_without_its_password(
    filled: Engine, first_url: str, tmp_path: Path
) -> None:
    filled.dispose()
    with pytest.raises(
        DatabaseError, match=r"^postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/x cannot be used: "
    ) as raised:
        copy(first_url, "postgresql://me:secret@127.0.0.1:1/x", tmp_path)
    assert "secret" not in str(raised.value)


def test_a_company_goes_on_where_it_was_after_the_move(
    scenario_at: ScenarioFactory, noon: datetime, server_url: str
) -> None:
    with scenario_at(noon, "xero") as scenario:
        scenario.company.customer("Ashdown Ltd")
        number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=scenario.days_ago(6))
        assert scenario.go_live().run().outcome is RunOutcome.OK
        settings = scenario.app.settings
        scenario.app.close()
        copy(settings.duewell_database_url, server_url, settings.duewell_home)
        moved = open_engine(server_url)
        scenario.app = replace(scenario.app, engine=moved)
        scenario.sandbox.clock.advance(timedelta(hours=1))
        assert scenario.run().outcome is RunOutcome.OK
        assert len(scenario.customer_emails()) == 1
        assert len(scenario.company.notes(number)) == 1
        with reading(moved) as session:
            assert sync_log.verify(session).ok
        moved.dispose()


def test_the_command_says_what_was_copied_and_what_to_do_next(duewell: Command, tmp_path: Path) -> None:
    assert duewell("status").exit_code == 0
    url = f"sqlite:///{tmp_path}/copied/duewell.db"
    done = duewell("db", "copy", url)
    assert done.exit_code == 0, done.err
    assert done.out.splitlines()[-1].startswith(f"Copied 0 rows into {url}; each was read back and compared. SHA-256: ")
    assert "Now set DUEWELL_DATABASE_URL to the new database, then start duewell." in done.err
    assert "take the key along: " in done.err
    trial = json.loads(duewell("db", "copy", f"sqlite:///{tmp_path}/trial.db", "--json", "--trial").out)
    assert (trial["rows"], {each["name"] for each in trial["tables"] if each["rows"]}) == (2, {"key_value", "sync_log"})
