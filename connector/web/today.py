"""The first page: what waits for this person, what went out since yesterday, what goes out next."""

from __future__ import annotations

from starlette.responses import Response

from connector.database import reading
from connector.people.today import review
from connector.web.routes import Route
from connector.web.visit import Visit


def today(visit: Visit) -> Response:
    """Show the morning's review."""
    with reading(visit.installation.engine) as session:
        found = review(session, visit.companies(session), visit.now)
        return visit.page("today.html", review=found)


ROUTES = (Route("GET", "/", today),)
