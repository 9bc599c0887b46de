"""Exceptions are found where the ledger has changed, and disappear once they are corrected."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import col

from connector.db.engine import reading, writing
from connector.db.tables import ExceptionRow, SyncLogEntry
from connector.evaluation import exceptions
from connector.vocabulary import LogKind
from tests.connector.scenario import Scenario, ScenarioFactory


def stored_exceptions(scenario: Scenario) -> list[tuple[str, bool]]:
    """Return the code of each stored exception, and whether it is marked as correct."""
    with reading(scenario.app.engine) as session:
        rows = session.scalars(select(ExceptionRow).order_by(col(ExceptionRow.code)))
        return [(row.code, row.resolved_at is not None) for row in rows]


def test_an_exception_is_logged_once_and_deleted_once_it_is_corrected(
    scenario_at: ScenarioFactory, noon: datetime
) -> None:
    with scenario_at(noon, "xero") as scenario:
        scenario.company.customer("Ashdown Ltd")
        scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=scenario.today)
        scenario.connect()
        scenario.run()
        assert stored_exceptions(scenario) == []
        scenario.sandbox.clock.advance(timedelta(hours=5))
        twin = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=scenario.today)
        assert scenario.run().counts["exceptions"] == 1
        assert stored_exceptions(scenario) == [("probable_duplicate", False)]
        with writing(scenario.app.engine) as session:
            row = session.scalars(select(ExceptionRow)).one()
            exceptions.mark_correct(session, row, by="Ann", at=scenario.app.now())
        scenario.company.invoice("Ashdown Ltd", "77.00", due_on=scenario.today)
        assert "exceptions" not in scenario.run().counts  # it is still there, and still marked as correct
        assert stored_exceptions(scenario) == [("probable_duplicate", True)]
        scenario.company.void(twin)
        scenario.run()
        assert stored_exceptions(scenario) == []
        with reading(scenario.app.engine) as session:
            kinds = [LogKind.EXCEPTION, LogKind.EXCEPTION_RESOLVED]
            entries = session.scalars(select(SyncLogEntry).where(col(SyncLogEntry.kind).in_(kinds))).all()
        assert [entry.kind for entry in entries] == kinds
        assert entries[1].text.startswith("Marked as correct by Ann: ")
