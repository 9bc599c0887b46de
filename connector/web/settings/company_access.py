"""The part of a form that limits a user, token or webhook to some companies."""

from __future__ import annotations

from connector.db.engine import reading
from connector.web.page_request import PageRequest


def chosen_companies(request: PageRequest) -> list[int] | None:
    """Return the ids that were ticked, for a form that is shown again; None for all companies."""
    return request.form_ids("company") if request.form_value("company_access") == "selected" else None


def parse_company_access(request: PageRequest) -> list[int] | None:
    """Return the ids of the selected companies, None for all companies; raises ``NotFound`` for an unknown one."""
    if request.form_value("company_access") != "selected":
        return None
    with reading(request.app.engine) as session:
        return [request.company(session, company_id).id or 0 for company_id in request.form_ids("company")]
