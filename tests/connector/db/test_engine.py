"""The database: it is private, writers take turns, and its views are readable."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel, select

from connector.db.engine import open_engine, reading, sqlite_file, upgrade, writing
from connector.db.tables import (
    CompletedStep,
    Connection,
    CreditRow,
    CustomerRow,
    InvoiceRow,
    KeyValue,
    OutboxEntry,
    PaymentRow,
    SyncLogEntry,
    SyncRun,
    Task,
)
from connector.secrets.private_files import NotPrivateError
from connector.vocabulary import LogKind, OutboxKind, OutboxState, TaskCode
from policies.receivables import CreditKind, InvoiceStatus

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def _store_customer(session: Session, name: str) -> None:
    session.add(KeyValue(connection_id=0, name=name, value={"a": 1}, stored_at=NOON))


def test_the_files_are_private(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/home/duewell.db")
    upgrade(engine)
    with writing(engine) as session:
        _store_customer(session, "x")
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "home").iterdir()}
    assert modes == {"duewell.db": 0o600, "duewell.db-wal": 0o600, "duewell.db-shm": 0o600}
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
    assert sqlite_file(engine) == tmp_path / "home" / "duewell.db"
    engine.dispose()


def test_a_database_that_others_can_read_is_rejected(tmp_path: Path) -> None:
    open_engine(f"sqlite:///{tmp_path}/duewell.db").dispose()
    (tmp_path / "duewell.db").chmod(0o644)
    with pytest.raises(NotPrivateError, match="chmod 600"):
        open_engine(f"sqlite:///{tmp_path}/duewell.db")


def test_a_folder_in_which_others_can_replace_files_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o777)
    with pytest.raises(NotPrivateError, match="chmod 700"):
        open_engine(f"sqlite:///{tmp_path}/home/duewell.db")


def test_successful_writes_are_kept_and_failed_ones_are_not(engine: Engine) -> None:
    with writing(engine) as session:
        _store_customer(session, "kept")

    def fail() -> None:
        with writing(engine) as session:
            _store_customer(session, "lost")
            session.flush()
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    with reading(engine) as session:
        assert [row.name for row in session.exec(select(KeyValue))] == ["kept"]


def test_changes_in_a_read_transaction_are_not_kept(engine: Engine) -> None:
    with reading(engine) as session:
        _store_customer(session, "lost")
        session.flush()
    with reading(engine) as session:
        assert session.exec(select(KeyValue)).all() == []


def test_a_reader_sees_one_state_while_others_write(engine: Engine) -> None:
    with reading(engine) as session:
        assert session.exec(select(KeyValue)).all() == []
        with writing(engine) as writer:
            _store_customer(writer, "new")
        assert session.exec(select(KeyValue)).all() == []


def test_two_writers_wait_for_each_other(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/duewell.db")
    upgrade(engine)
    with writing(engine) as session:
        session.add(KeyValue(connection_id=0, name="count", value=0, stored_at=NOON))
    start = threading.Barrier(4)

    def count_up() -> None:
        start.wait()
        for _ in range(10):
            with writing(engine) as session:
                fact = session.get_one(KeyValue, (0, "count"))
                fact.value = fact.value + 1

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as session:
        assert session.get_one(KeyValue, (0, "count")).value == 40
    engine.dispose()


def test_a_busy_writer_lets_others_write_in_between(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/duewell.db")
    asked, written = threading.Event(), threading.Event()
    counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT sum(i) FROM n"
    some_time = text(counting)

    def once() -> None:
        asked.set()
        with writing(engine) as session:
            session.execute(text("SELECT 1"))
            written.set()

    other = threading.Thread(target=once)
    with writing(engine) as session:
        session.execute(text("SELECT 1"))
        other.start()
        assert asked.wait(10)
        session.execute(some_time)
    turns = 0
    while (
        not written.is_set() and turns < 40
    ):  # with SQLite's own busy handler the waiting writer would sleep through its turn
        with writing(engine) as session:
            session.execute(some_time)
        turns += 1
    other.join(30)
    engine.dispose()
    assert turns < 5


def test_writers_that_wait_leave_connections_for_readers(engine: Engine) -> None:
    """As many decisions and webhooks as a server has threads wait for a long transaction of a sync."""

    def use(session_of: Callable[..., AbstractContextManager[Session]], done: threading.Event) -> None:
        with session_of(engine) as session:
            session.execute(text("SELECT 1"))
        done.set()

    def start(session_of: Callable[..., AbstractContextManager[Session]]) -> threading.Event:
        done = threading.Event()
        threading.Thread(target=use, args=(session_of, done), daemon=True).start()
        return done

    with writing(engine, company_id=1) as session:
        session.execute(text("SELECT 1"))
        written = [start(writing) for _ in range(40)]
        assert start(reading).wait(5)
    assert all(each.wait(10) for each in written)


def test_a_row_of_an_unknown_connection_is_rejected(engine: Engine) -> None:
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.add(SyncRun(connection_id=99, started_at=NOON))


def test_no_row_of_a_company_points_to_one_of_another(engine: Engine) -> None:
    of_companies = [table for table in SQLModel.metadata.tables.values() if "connection_id" in table.c]
    for table in of_companies:
        for reference in table.foreign_key_constraints:
            if reference.referred_table in of_companies:
                assert "connection_id" in reference.column_keys, f"{table.name}: {reference.column_keys}"
    step = {"invoice_id": "i", "customer_id": "c", "completed_at": NOON, "completed_on": NOON.date()}
    with writing(engine) as session:
        for name in ("north", "south"):
            session.add(Connection(short_name=name, provider="xero", external_id=name, name=name, created_at=NOON))
        session.flush()
        run = SyncRun(connection_id=1, started_at=NOON)
        task = Task(
            connection_id=1,
            key="t",
            code=TaskCode.CALL,
            customer_id="c",
            invoice_ids=[],
            due_on=NOON.date(),
            created_at=NOON,
        )
        mail = OutboxEntry(
            connection_id=1,
            key="m",
            kind=OutboxKind.EMAIL,
            state=OutboxState.DONE,
            customer_id="c",
            payload={},
            planned_at=NOON,
        )
        session.add_all([run, task, mail])
        session.flush()
        rows: list[tuple[type[SQLModel], dict[str, Any]]] = [
            (CompletedStep, {**step, "step": "past_due", "outbox_id": mail.id}),
            (CompletedStep, {**step, "step": "call", "task_id": task.id}),
            (SyncLogEntry, {"run_id": run.id, "at": NOON, "kind": LogKind.RUN_STARTED,
                            "previous_hash": "", "hash": ""}),
            (OutboxEntry, {"key": "n", "kind": "note", "state": "done", "customer_id": "c", "payload": {},
                           "planned_at": NOON, "parent_id": mail.id}),
        ]  # fmt: skip
    for kind, values in rows:
        with pytest.raises(IntegrityError), writing(engine) as session:
            session.add(kind(connection_id=2, **values))
    with writing(engine) as session:
        session.add_all(kind(connection_id=1, **values) for kind, values in rows)


def test_the_views_show_what_is_open(engine: Engine) -> None:
    with writing(engine) as session:
        session.add(Connection(short_name="acme", provider="xero", external_id="1", name="Acme", created_at=NOON))
        session.flush()
        session.add(CustomerRow(connection_id=1, external_id="c1", name="Zoë"))
        for number, due, is_open in (("A", 120000, True), ("B", 5050, True), ("C", 0, False)):
            session.add(_invoice(number, due, is_open=is_open))
        session.add(
            PaymentRow(
                connection_id=1, external_id="p", customer_id="c1", currency="EUR", paid_on=date(2026, 1, 1),
                total_e4=100000, unapplied_e4=20000,
            )
        )  # fmt: skip
        session.add(
            CreditRow(
                connection_id=1, kind=CreditKind.CREDIT_NOTE, external_id="n", customer_id="c1", currency="USD",
                dated_on=date(2026, 1, 1), total_e4=5, remaining_e4=10000,
            )
        )  # fmt: skip
        session.add(
            OutboxEntry(
                connection_id=1, key="k", kind=OutboxKind.EMAIL, state=OutboxState.DONE, customer_id="c1",
                step="past_due", payload={},
                planned_at=NOON, dispatched_at=NOON,
            )
        )  # fmt: skip
    with reading(engine) as session:
        rows = session.connection().execute(
            text("SELECT number, customer, total, due FROM open_invoices ORDER BY number")
        )
        assert [(row[0], row[1], _amount(row[2]), _amount(row[3])) for row in rows] == [
            ("A", "Zoë", Decimal(20), Decimal(12)),
            ("B", "Zoë", Decimal(20), Decimal("0.505")),
        ]
        rows = session.connection().execute(
            text("SELECT currency, open_invoices, owed, unapplied, balance FROM customer_balances ORDER BY currency")
        )
        assert [(row[0], row[1], *map(_amount, row[2:])) for row in rows] == [
            ("EUR", 2, Decimal("12.505"), Decimal(2), Decimal("10.505")),
            ("USD", 0, Decimal(0), Decimal(1), Decimal(-1)),
        ]
        (sent,) = session.connection().execute(text("SELECT connection, customer, step, sent FROM sent_reminders"))
        assert tuple(sent) == ("acme", "Zoë", "past_due", "yes")


def _invoice(number: str, due_e4: int, *, is_open: bool) -> InvoiceRow:
    return InvoiceRow(
        connection_id=1, external_id=number, number=number, customer_id="c1", currency="EUR",
        issued_on=date(2026, 1, 1), total_e4=200000, due_e4=due_e4, status=InvoiceStatus.OPEN, is_open=is_open,
    )  # fmt: skip


def _amount(value: object) -> Decimal:
    return Decimal(str(value)).normalize()
