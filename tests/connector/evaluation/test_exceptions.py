"""What is odd in the books is found by the hour where they changed, and is gone when it is mended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from connector.db.engine import reading, writing
from connector.db.tables import ExceptionRow, SyncLogEntry
from connector.evaluation import exceptions
from connector.vocabulary import LogKind


def stored_exceptions(scenario: Any) -> list[tuple[str, bool]]:
    """The codes of what is kept, and whether a person said that it is right."""
    with reading(scenario.app.engine) as session:
        rows = session.scalars(select(ExceptionRow).order_by(col(ExceptionRow.code)))
        return [(row.code, row.resolved_at is not None) for row in rows]


def test_an_odd_invoice_is_told_once_and_forgotten_when_it_is_mended(scenario_at: Any, noon: Any) -> None:
    with scenario_at(noon, "xero") as scenario:
        scenario.company.customer("Ashdown Ltd")
        scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=scenario.today)
        scenario.connect()
        scenario.run()
        assert stored_exceptions(scenario) == []
        scenario.sandbox.clock.advance(timedelta(hours=5))
        twin = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=scenario.today)
        assert scenario.run().numbers["exceptions"] == 1
        assert stored_exceptions(scenario) == [("probable_duplicate", False)]
        with writing(scenario.app.engine) as session:
            row = session.scalars(select(ExceptionRow)).one()
            exceptions.mark_correct(session, row, by="Ann", at=scenario.app.now())
        scenario.company.invoice("Ashdown Ltd", "77.00", due_on=scenario.today)
        assert "exceptions" not in scenario.run().numbers  # it is still there, and still right
        assert stored_exceptions(scenario) == [("probable_duplicate", True)]
        scenario.company.void(twin)
        scenario.run()
        assert stored_exceptions(scenario) == []
        with reading(scenario.app.engine) as session:
            told = list(
                session.scalars(select(col(SyncLogEntry.text)).where(col(SyncLogEntry.kind) == LogKind.EXCEPTION))
            )
        assert len(told) == 2
        assert told[1].startswith("Ann says that this is right")
