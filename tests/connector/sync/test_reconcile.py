"""The nightly comparison: it finds and corrects what a cursor missed, and costs little where nothing was missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.db.engine import reading, writing
from connector.db.tables import Connection, CustomerRow, InvoiceRow, SyncLogEntry
from connector.sync import reconcile
from connector.vocabulary import LogKind, RunOutcome
from tests.connector.scenario import Scenario, days

NIGHT = datetime(2026, 6, 11, 1, 30, tzinfo=UTC)  # half past two in London


def log_texts(scenario: Scenario, kind: LogKind) -> list[str]:
    with reading(scenario.app.engine) as session:
        rows = session.scalars(select(SyncLogEntry).where(col(SyncLogEntry.kind) == kind))
        return [row.text for row in rows]


def mirrored_invoices(scenario: Scenario) -> dict[str, tuple[str, Decimal]]:
    with reading(scenario.app.engine) as session:
        return {row.number: (row.status, Decimal(row.due_e4) / 10_000) for row in session.scalars(select(InvoiceRow))}


def skip_cursor_ahead(scenario: Scenario) -> None:
    """Make the cursor claim that it has read everything up to now."""
    with writing(scenario.app.engine) as session:
        row = session.get_one(Connection, scenario.connection)
        stamp = scenario.sandbox.clock.now() + timedelta(hours=1)
        for old in (f"{stamp.date()}T10", f"{stamp.date()}T11"):
            row.cursor = row.cursor.replace(old, f"{stamp:%Y-%m-%dT%H}")


def test_what_the_cursor_missed_is_found_at_night_corrected_and_logged(scenario: Scenario) -> None:
    for name in ("Ashdown Ltd", "Birch & Co", "Cray Ltd"):
        scenario.company.customer(name)
    paid, voided, part_paid, unchanged = (
        scenario.company.invoice(name, "100.00", due_on=days(9))
        for name in ("Ashdown Ltd", "Ashdown Ltd", "Birch & Co", "Birch & Co")
    )
    scenario.go_live()
    scenario.sandbox.clock.advance(timedelta(minutes=10))
    scenario.company.pay(paid)
    scenario.company.void(voided)
    scenario.company.pay(part_paid, "40.00")
    new = scenario.company.invoice("Cray Ltd", "7.00", due_on=days(9))
    scenario.company.simulator.set_email("Cray Ltd", "new@cray.example", **scenario.company.company_filter)
    skip_cursor_ahead(scenario)
    scenario.sandbox.clock.advance(timedelta(hours=2))
    scenario.run()
    assert mirrored_invoices(scenario)[paid] == ("open", Decimal(100)), "the cursor has missed it"
    scenario.sandbox.clock.set(NIGHT)
    assert scenario.run().outcome is RunOutcome.OK
    known = mirrored_invoices(scenario)
    assert [known[each][1] for each in (part_paid, unchanged, new)] == [Decimal(60), Decimal(100), Decimal(7)]
    assert known[paid] == ("paid", Decimal(0))
    assert known[voided][0] != "open"
    with reading(scenario.app.engine) as session:
        addresses = set(session.scalars(select(col(CustomerRow.emails))))
        assert session.get_one(Connection, scenario.connection).drift == 5
    assert "new@cray.example" in addresses
    texts = log_texts(scenario, LogKind.DRIFT)
    assert len(texts) == 5
    assert f"Corrected invoice {new}: was missing." in texts
    assert any("amount due was GBP 100.00, is GBP 60.00" in text for text in texts)
    assert "new@cray.example" not in " ".join(texts)
    assert log_texts(scenario, LogKind.RECONCILED)[-1].endswith("5 differed and were corrected.")


def test_a_night_without_differences_is_logged_once_and_costs_a_few_reads(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.company.invoice("Ashdown Ltd", "100.00", due_on=days(9))
    scenario.company.credit("Ashdown Ltd", "5.00")
    scenario.go_live()
    scenario.sandbox.clock.set(NIGHT - timedelta(hours=1))
    scenario.run()
    before = scenario.sandbox.requests.count_of(scenario.company.provider, "read")
    scenario.sandbox.clock.set(NIGHT)
    scenario.company.invoice("Ashdown Ltd", "8.00", due_on=days(9))  # of this minute: new, not missed
    scenario.run()
    assert scenario.sandbox.requests.count_of(scenario.company.provider, "read") - before <= 12
    scenario.sandbox.clock.advance(timedelta(hours=1))
    scenario.run()
    assert log_texts(scenario, LogKind.RECONCILED) == [
        "Compared 3 open documents with the accounting system: none differed."
    ]
    assert log_texts(scenario, LogKind.DRIFT) == []
    assert "reconciled" not in scenario.run().counts


def test_a_deferred_comparison_starts_again_with_the_next_run(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.company.invoice("Ashdown Ltd", "100.00", due_on=days(9))
    scenario.go_live()
    request = {"xero": {"query": "Status"}, "quickbooks": {"path": "/query"}}[scenario.company.provider]
    scenario.sandbox.faults.refuse(429, service=scenario.company.provider, headers={"Retry-After": "1800"}, **request)
    scenario.sandbox.clock.set(NIGHT)
    assert scenario.run().outcome is RunOutcome.DEFERRED
    scenario.sandbox.faults.clear()
    scenario.sandbox.clock.advance(timedelta(hours=1))
    assert scenario.run().outcome is RunOutcome.OK
    assert len(log_texts(scenario, LogKind.RECONCILED)) == 1


@pytest.mark.parametrize(
    ("reconciled_at", "is_due"),
    [("2026-06-10T00:59", True), ("2026-06-10T01:00", False), ("2026-06-10T12:00", False)],
)
@pytest.mark.parametrize("now", ["2026-06-10T12:00", "2026-06-11T00:59"])
def test_a_comparison_is_due_once_after_two_in_the_morning_of_the_company(
    reconciled_at: str, now: str, *, is_due: bool
) -> None:
    connection = Connection(
        short_name="c", provider="xero", external_id="c", name="C", time_zone="Europe/London",
        first_pull_done_at=datetime(2026, 6, 1, tzinfo=UTC), created_at=datetime(2026, 6, 1, tzinfo=UTC),
        reconciled_at=datetime.fromisoformat(f"{reconciled_at}+00:00"),
    )  # fmt: skip
    assert reconcile.is_due(connection, datetime.fromisoformat(f"{now}+00:00")) is is_due


def test_a_company_that_has_not_been_read_yet_is_not_compared() -> None:
    connection = Connection(
        short_name="c", provider="xero", external_id="c", name="C", created_at=datetime(2026, 6, 1, tzinfo=UTC)
    )
    assert not reconcile.is_due(connection, datetime(2026, 6, 10, 12, tzinfo=UTC))
