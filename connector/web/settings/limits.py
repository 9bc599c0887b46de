"""Reads off a form which companies somebody, or some program, is limited to."""

from __future__ import annotations

from connector.database import reading
from connector.web.visit import Visit


def companies_sent(visit: Visit) -> list[int] | None:
    """The companies that were ticked, None where all were wanted."""
    if visit.sent("which") != "some":
        return None
    with reading(visit.installation.engine) as session:
        return [visit.company(session, each).id or 0 for each in visit.ids("company")]
