"""Reads off a form which companies somebody, or some program, is limited to."""

from __future__ import annotations

from connector.db.engine import reading
from connector.web.page_request import PageRequest


def parse_company_access(request: PageRequest) -> list[int] | None:
    """The companies that were ticked, None where all were wanted."""
    if request.form_value("company_access") != "selected":
        return None
    with reading(request.app.engine) as session:
        return [request.company(session, each).id or 0 for each in request.form_ids("company")]
