"""What is odd in the books is found by the hour where they changed, and is gone when it is mended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from connector.database import reading, writing
from connector.people import exceptions
from connector.tables import ExceptionRow, SyncLogEntry


def standing(town: Any) -> list[tuple[str, bool]]:
    """The codes of what is kept, and whether a person said that it is right."""
    with reading(town.installation.engine) as session:
        rows = session.scalars(select(ExceptionRow).order_by(col(ExceptionRow.code)))
        return [(row.code, row.settled_at is not None) for row in rows]


def test_an_odd_invoice_is_told_once_and_forgotten_when_it_is_mended(town_at: Any, noon: Any) -> None:
    with town_at(noon, "xero") as town:
        town.books.customer("Ashdown Ltd")
        town.books.invoice("Ashdown Ltd", "1200.00", due_on=town.today)
        town.connect()
        town.run()
        assert standing(town) == []
        town.sandbox.clock.advance(timedelta(hours=5))
        twin = town.books.invoice("Ashdown Ltd", "1200.00", due_on=town.today)
        assert town.run().numbers["exceptions"] == 1
        assert standing(town) == [("probable_duplicate", False)]
        with writing(town.installation.engine) as session:
            row = session.scalars(select(ExceptionRow)).one()
            exceptions.settle(session, row, by="Ann", at=town.installation.now())
        town.books.invoice("Ashdown Ltd", "77.00", due_on=town.today)
        assert "exceptions" not in town.run().numbers  # it is still there, and still right
        assert standing(town) == [("probable_duplicate", True)]
        town.books.void(twin)
        town.run()
        assert standing(town) == []
        with reading(town.installation.engine) as session:
            told = list(session.scalars(select(col(SyncLogEntry.text)).where(col(SyncLogEntry.kind) == "exception")))
        assert len(told) == 2
        assert told[1].startswith("Ann says that this is right")
