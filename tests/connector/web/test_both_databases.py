"""The queries behind the pages return the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DataError

from benchmarks.full_year import NOW as YEAR_END
from benchmarks.full_year import DataSize, fill_company
from connector.audit import log_search, sync_log
from connector.auth.sign_in import create_link, find_link
from connector.auth.users import add_user, build_current_user
from connector.connections.registry import list_connected
from connector.db.engine import reading, writing
from connector.db.ids import ID_MAX, parse_id
from connector.db.tables import (
    BankMatch,
    Connection,
    CustomerRow,
    InvoiceDecisionRow,
    InvoiceRow,
    OutboxEntry,
    SyncRun,
    Task,
)
from connector.evaluation import exceptions
from connector.services import bank_statements, customer_timeline, mode_change, outbox_search
from connector.services.customer_details import load_customer_details
from connector.services.today import load_dashboard
from connector.vocabulary import (
    ConnectionMode,
    LogKind,
    MatchCertainty,
    MatchState,
    OutboxKind,
    OutboxState,
    RunOutcome,
    TaskCode,
)
from policies.decisions import DecisionKind
from policies.receivables import InvoiceStatus, Step

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)


def add_company(session: Any, name: str) -> int:
    row = Connection(
        short_name=name, provider="xero", external_id=name, name=name, mode=ConnectionMode.LIVE, created_at=NOON
    )
    session.add(row)
    session.flush()
    return row.id or 0


def test_searches_return_the_same_on_both_databases(engine: Engine) -> None:
    with writing(engine) as session:
        one, two = add_company(session, "one"), add_company(session, "two")
        run = SyncRun(connection_id=one, started_at=NOON, outcome=RunOutcome.OK)
        session.add(run)
        session.flush()
        shared: dict[str, Any] = {
            "connection_id": one,
            "customer_id": "c",
            "currency": "GBP",
            "payload": {"to": [], "completed": [], "listed": ["i"], "due": {"i": "5.00"}},
        }
        session.add_all(
            [
                CustomerRow(connection_id=one, external_id="c", name="Miller"),
                InvoiceRow(
                    connection_id=one, external_id="i", number="I-1", customer_id="c", currency="GBP",
                    issued_on=NOON.date(), due_e4=50_000, status=InvoiceStatus.OPEN, is_open=True,
                ),
                InvoiceDecisionRow(
                    connection_id=one, invoice_id="i", customer_id="c", kind=DecisionKind.HOLD, code="later",
                    next_step=Step.PAST_DUE, next_on=NOON.date() + timedelta(days=2), run_id=run.id or 0, since_at=NOON,
                ),
                Task(
                    connection_id=two, key="t", code=TaskCode.CALL, customer_id="c", invoice_ids=[], due_on=NOON.date(),
                    created_at=NOON,
                ),
                OutboxEntry(
                    key="1", kind=OutboxKind.EMAIL, step="past_due", state=OutboxState.AWAITING_APPROVAL,
                    planned_at=NOON, **shared,
                ),
                OutboxEntry(
                    key="2", kind=OutboxKind.EMAIL, step="past_due", state=OutboxState.DONE, planned_at=NOON,
                    ended_at=NOON, **shared,
                ),
            ]
        )  # fmt: skip
        for number in range(3):
            sync_log.write(
                session,
                at=NOON,
                kind=LogKind.EMAILED,
                text=f"Line {number}",
                connection_id=one,
                run_id=run.id,
                customer_id="c",
            )
    with reading(engine) as session:
        rows = list_connected(session)
        found = load_dashboard(session, rows, NOON + timedelta(hours=1))
        assert (found.attention.total, found.attention.counts) == (2, {"approve": 1, "task": 1})
        assert [row.items[0].text for row in found.attention.rows] == ["Approve: First reminder", "Call"]
        assert (found.sent, found.upcoming) == ({"email": 1}, {NOON.date() + timedelta(days=2): 1})
        for wanted in (
            log_search.LogFilter(company_ids=[one, two], text="LINE"),
            log_search.LogFilter(company_ids=[one], customer="mill"),
            log_search.LogFilter(since_at=NOON, until_at=NOON + timedelta(days=1), kind="emailed"),
        ):
            assert [row.text for row in log_search.find_log_page(session, wanted).rows] == [
                "Line 2",
                "Line 1",
                "Line 0",
            ]
        assert len(log_search.find_run_page(session, log_search.LogFilter(company_ids=[one, two])).rows) == 1
        assert outbox_search.count_needing_attention(session, [one, two]) == {"awaiting_approval": 1}
        outlook = mode_change.preview_mode_change(session, rows[0], NOON.date())
        assert [(each.count, str(each.amount)) for each in (*outlook.planned, *outlook.upcoming)] == [(1, "5.00")] * 2


def test_customer_pages_are_the_same_on_both_databases(engine: Engine) -> None:
    with writing(engine) as session:
        one = add_company(session, "one")
        fill_company(session, DataSize(invoices=40, runs=6), one)
    with reading(engine) as session:
        row, customer = session.get_one(Connection, one), session.get_one(CustomerRow, (one, "c1"))
        told = load_customer_details(session, row, customer, YEAR_END)
        assert [each.number for each in told.invoices] == ["INV-12", "INV-11", "INV-10"]
        events, older = customer_timeline.customer_timeline(session, customer, size=30)
        assert (len(events), older) == (19, False)  # ten invoices, seven payments, two tasks
        assert {each.kind for each in events} == {"issued", "payment", "task"}
        assert [each.number for each in exceptions.list_open(session, [one], size=2)] == ["INV-0", "INV-10"]
        lines = log_search.find_log_page(
            session, log_search.LogFilter(company_ids=[one], run_id=1, kinds=["decided", "emailed"])
        )
        assert log_search.count_entries_by_kind(session, 1)["decided"] == len(
            [x for x in lines.rows if x.kind == "decided"]
        )
        named = log_search.names_of(session, lines.rows)
        assert all(number.startswith("INV-") and name.startswith("Customer") for name, number in named.values())


def test_sums_of_money_in_the_bank_are_the_same_on_both_databases(engine: Engine) -> None:
    with writing(engine) as session:
        one = add_company(session, "one")
        session.add_all(
            BankMatch(
                connection_id=one, receipt_id=number, invoice_id="i", customer_id="c", currency="GBP",
                amount_e4=50_000, certainty=certainty, parts=[], state=MatchState.OPEN, received_on=NOON.date(),
                created_at=NOON, changed_at=NOON, decided_by=decided_by,
            )
            for number, (certainty, decided_by) in enumerate(
                [(MatchCertainty.SURE, ""), (MatchCertainty.PROBABLE, "ann"), (MatchCertainty.PROBABLE, "")]
            )
        )  # fmt: skip
        session.flush()
        assert bank_statements.summarise_matches(session, [one]) == (2, 1, "GBP 10.00")


def test_users_and_links_are_the_same_on_both_databases(engine: Engine) -> None:
    with writing(engine) as session:
        one = add_company(session, "one")
        user = add_user(session, "Bob@Example.com", "viewer", companies=[one], by="a test", at=NOON)
        token = create_link(session, user, NOON)
    with reading(engine) as session:
        _link, found = find_link(session, token, NOON + timedelta(hours=23))
        assert found is not None
        assert build_current_user(session, found).companies == frozenset({one})


def test_the_largest_accepted_id_can_be_queried_on_both_databases(engine: Engine) -> None:
    largest = parse_id(str(ID_MAX))
    assert largest == ID_MAX
    assert [parse_id(text) for text in (str(ID_MAX + 1), "9" * 25, "-1", "x", "")] == [None] * 5
    with reading(engine) as session:
        assert session.get(Connection, largest) is None
        assert outbox_search.get_entry(session, largest) is None
        if engine.dialect.name == "postgresql":
            with pytest.raises(DataError):
                session.get(Connection, ID_MAX + 1)
