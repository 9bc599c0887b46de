"""A night's comparison finds what a cursor missed, mends it and says so; where nothing was missed it costs little."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from connector.db.engine import reading, writing
from connector.db.tables import Connection, CustomerRow, InvoiceRow, SyncLogEntry

TODAY = date(2026, 6, 10)
NIGHT = datetime(2026, 6, 11, 1, 30, tzinfo=UTC)  # half past two in London


def log_texts(scenario: Any, kind: str) -> list[str]:
    with reading(scenario.app.engine) as session:
        rows = session.scalars(select(SyncLogEntry).where(col(SyncLogEntry.kind) == kind))
        return [row.text for row in rows]


def mirrored_invoices(scenario: Any) -> dict[str, tuple[str, Decimal]]:
    with reading(scenario.app.engine) as session:
        return {row.number: (row.status, Decimal(row.due_e4) / 10_000) for row in session.scalars(select(InvoiceRow))}


def skip_cursor_ahead(scenario: Any) -> None:
    """Let the cursor believe that it has read what happened up to now."""
    with writing(scenario.app.engine) as session:
        row = session.get_one(Connection, scenario.connection)
        stamp = scenario.sandbox.clock.now() + timedelta(hours=1)
        for old in (f"{stamp.date()}T10", f"{stamp.date()}T11"):
            row.cursor = row.cursor.replace(old, f"{stamp:%Y-%m-%dT%H}")


def test_what_the_cursor_missed_is_found_at_night_mended_and_told(scenario: Any) -> None:
    for name in ("Ashdown Ltd", "Birch & Co", "Cray Ltd"):
        scenario.company.customer(name)
    paid, void, part, kept = (
        scenario.company.invoice(name, "100.00", due_on=TODAY + timedelta(days=9))
        for name in ("Ashdown Ltd", "Ashdown Ltd", "Birch & Co", "Birch & Co")
    )
    scenario.go_live()
    scenario.sandbox.clock.advance(timedelta(minutes=10))
    scenario.company.pay(paid)
    scenario.company.void(void)
    scenario.company.pay(part, "40.00")
    new = scenario.company.invoice("Cray Ltd", "7.00", due_on=TODAY + timedelta(days=9))
    scenario.company.simulator.set_email("Cray Ltd", "new@cray.example", **scenario.company.company_filter)
    skip_cursor_ahead(scenario)
    scenario.sandbox.clock.advance(timedelta(hours=2))
    scenario.run()
    assert mirrored_invoices(scenario)[paid] == ("open", Decimal(100)), "the cursor slept"
    scenario.sandbox.clock.set(NIGHT)
    assert scenario.run().outcome == "ok"
    known = mirrored_invoices(scenario)
    assert [known[each][1] for each in (part, kept, new)] == [Decimal(60), Decimal(100), Decimal(7)]
    assert known[paid] == ("paid", Decimal(0))
    assert known[void][0] != "open"
    with reading(scenario.app.engine) as session:
        addresses = set(session.scalars(select(col(CustomerRow.emails))))
        assert session.get_one(Connection, scenario.connection).drift == 5
    assert "new@cray.example" in addresses
    told = log_texts(scenario, "drift")
    assert len(told) == 5
    assert any("due 100" in text and "60" in text for text in told)
    assert "new@cray.example" not in " ".join(told)
    assert log_texts(scenario, "reconciled")[-1].endswith("5 differed and were mended.")


def test_a_night_without_drift_says_so_once_and_costs_a_few_reads(scenario: Any) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.company.invoice("Ashdown Ltd", "100.00", due_on=TODAY + timedelta(days=9))
    scenario.company.credit("Ashdown Ltd", "5.00")
    scenario.go_live()
    scenario.sandbox.clock.set(NIGHT - timedelta(hours=1))
    scenario.run()
    before = scenario.sandbox.requests.count_of(scenario.company.provider, "read")
    scenario.sandbox.clock.set(NIGHT)
    scenario.company.invoice("Ashdown Ltd", "8.00", due_on=TODAY + timedelta(days=9))  # of this minute: new, not missed
    scenario.run()
    assert scenario.sandbox.requests.count_of(scenario.company.provider, "read") - before <= 12
    scenario.sandbox.clock.advance(timedelta(hours=1))
    scenario.run()
    assert log_texts(scenario, "reconciled") == [
        "Compared 3 open documents with the ledger: all are as they were known."
    ]
    assert log_texts(scenario, "drift") == []
    assert scenario.run().numbers.get("reconciled") is None


def test_a_comparison_that_is_put_off_begins_anew_at_the_next_run(scenario: Any) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.company.invoice("Ashdown Ltd", "100.00", due_on=TODAY + timedelta(days=9))
    scenario.go_live()
    scenario.sandbox.clock.set(NIGHT)
    where = {"xero": {"query": "Status"}, "quickbooks": {"path": "/query"}}[scenario.company.provider]
    scenario.sandbox.faults.refuse(429, vendor=scenario.company.provider, headers={"Retry-After": "1800"}, **where)
    scenario.sandbox.clock.set(NIGHT)
    assert scenario.run().outcome == "deferred"
    scenario.sandbox.faults.clear()
    scenario.sandbox.clock.advance(timedelta(hours=1))
    assert scenario.run().outcome == "ok"
    assert len(log_texts(scenario, "reconciled")) == 1
