"""A night's comparison finds what a cursor missed, mends it and says so; where nothing was missed it costs little."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from connector.database import reading, writing
from connector.tables import Connection, CustomerRow, InvoiceRow, SyncLogEntry

TODAY = date(2026, 6, 10)
NIGHT = datetime(2026, 6, 11, 1, 30, tzinfo=UTC)  # half past two in London


def said(town: Any, kind: str) -> list[str]:
    with reading(town.installation.engine) as session:
        rows = session.scalars(select(SyncLogEntry).where(col(SyncLogEntry.kind) == kind))
        return [row.text for row in rows]


def mirror(town: Any) -> dict[str, tuple[str, Decimal]]:
    with reading(town.installation.engine) as session:
        return {row.number: (row.status, Decimal(row.due_e4) / 10_000) for row in session.scalars(select(InvoiceRow))}


def sleep_through(town: Any) -> None:
    """Let the cursor believe that it has read what happened up to now."""
    with writing(town.installation.engine) as session:
        row = session.get_one(Connection, town.connection)
        stamp = town.sandbox.clock.now() + timedelta(hours=1)
        for old in (f"{stamp.date()}T10", f"{stamp.date()}T11"):
            row.cursor = row.cursor.replace(old, f"{stamp:%Y-%m-%dT%H}")


def test_what_the_cursor_missed_is_found_at_night_mended_and_told(town: Any) -> None:
    for name in ("Ashdown Ltd", "Birch & Co", "Cray Ltd"):
        town.books.customer(name)
    paid, void, part, kept = (
        town.books.invoice(name, "100.00", due_on=TODAY + timedelta(days=9))
        for name in ("Ashdown Ltd", "Ashdown Ltd", "Birch & Co", "Birch & Co")
    )
    town.live()
    town.sandbox.clock.advance(timedelta(minutes=10))
    town.books.pay(paid)
    town.books.void(void)
    town.books.pay(part, "40.00")
    new = town.books.invoice("Cray Ltd", "7.00", due_on=TODAY + timedelta(days=9))
    town.books.desk.set_email("Cray Ltd", "new@cray.example", **town.books.where)
    sleep_through(town)
    town.sandbox.clock.advance(timedelta(hours=2))
    town.run()
    assert mirror(town)[paid] == ("open", Decimal(100)), "the cursor slept"
    town.sandbox.clock.set(NIGHT)
    assert town.run().outcome == "ok"
    known = mirror(town)
    assert [known[each][1] for each in (part, kept, new)] == [Decimal(60), Decimal(100), Decimal(7)]
    assert known[paid] == ("paid", Decimal(0))
    assert known[void][0] != "open"
    with reading(town.installation.engine) as session:
        addresses = set(session.scalars(select(col(CustomerRow.emails))))
        assert session.get_one(Connection, town.connection).drift == 5
    assert "new@cray.example" in addresses
    told = said(town, "drift")
    assert len(told) == 5
    assert any("due 100" in text and "60" in text for text in told)
    assert "new@cray.example" not in " ".join(told)
    assert said(town, "compared")[-1].endswith("5 differed and were mended.")


def test_a_night_without_drift_says_so_once_and_costs_a_few_reads(town: Any) -> None:
    town.books.customer("Ashdown Ltd")
    town.books.invoice("Ashdown Ltd", "100.00", due_on=TODAY + timedelta(days=9))
    town.books.credit("Ashdown Ltd", "5.00")
    town.live()
    town.sandbox.clock.set(NIGHT - timedelta(hours=1))
    town.run()
    before = town.sandbox.requests.counted(town.books.provider, "read")
    town.sandbox.clock.set(NIGHT)
    town.books.invoice("Ashdown Ltd", "8.00", due_on=TODAY + timedelta(days=9))  # of this minute: new, not missed
    town.run()
    assert town.sandbox.requests.counted(town.books.provider, "read") - before <= 12
    town.sandbox.clock.advance(timedelta(hours=1))
    town.run()
    assert said(town, "compared") == ["Compared 3 open documents with the ledger: all are as they were known."]
    assert said(town, "drift") == []
    assert town.run().numbers.get("compared") is None


def test_a_comparison_that_is_put_off_begins_anew_at_the_next_run(town: Any) -> None:
    town.books.customer("Ashdown Ltd")
    town.books.invoice("Ashdown Ltd", "100.00", due_on=TODAY + timedelta(days=9))
    town.live()
    town.sandbox.clock.set(NIGHT)
    where = {"xero": {"query": "Status"}, "quickbooks": {"path": "/query"}}[town.books.provider]
    town.sandbox.faults.refuse(429, vendor=town.books.provider, headers={"Retry-After": "1800"}, **where)
    town.sandbox.clock.set(NIGHT)
    assert town.run().outcome == "later"
    town.sandbox.faults.clear()
    town.sandbox.clock.advance(timedelta(hours=1))
    assert town.run().outcome == "ok"
    assert len(said(town, "compared")) == 1
