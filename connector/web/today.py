"""The morning's review: what waits for this person, went out, and goes out; tasks, and what is worth a look."""

from __future__ import annotations

from starlette.responses import Response

from connector.database import reading, writing
from connector.people import exceptions
from connector.people.today import Company, review, tasks
from connector.web.outbox import within
from connector.web.routes import Route
from connector.web.visit import NotHere, Visit

_PAGE = 50
_PAGES_MAX = 1000


def today(visit: Visit) -> Response:
    """Show the morning's review."""
    with reading(visit.installation.engine) as session:
        found = review(session, visit.companies(session), visit.now)
        return visit.page("today.html", review=found)


def all_tasks(visit: Visit) -> Response:
    """Show a page of the open tasks."""
    page = _page(visit)
    with reading(visit.installation.engine) as session:
        companies, chosen, ids = within(visit, session)
        lines = {row.id or 0: Company(row) for row in companies if row.id in ids}
        rows = tasks(session, lines, size=_PAGE + 1, offset=(page - 1) * _PAGE)
        more = len(rows) > _PAGE
        return visit.page("tasks.html", rows=rows[:_PAGE], companies=companies, chosen=chosen, page=page, more=more)


def odd(visit: Visit) -> Response:
    """Show a page of what is worth a look."""
    page = _page(visit)
    with reading(visit.installation.engine) as session:
        companies, chosen, ids = within(visit, session)
        rows = exceptions.listing(session, ids, size=_PAGE + 1, offset=(page - 1) * _PAGE)
        more = len(rows) > _PAGE
        return visit.page(
            "exceptions.html", rows=rows[:_PAGE], companies=companies, chosen=chosen, page=page, more=more
        )


def right(visit: Visit) -> Response:
    """Keep that something odd is right as it is."""
    with writing(visit.installation.engine) as session:
        row = exceptions.find(session, visit.sent("right"))
        if row is None or not visit.who.sees(row.connection_id):
            raise NotHere
        exceptions.settle(session, row, by=visit.who.email, at=visit.now)
    return visit.go("/exceptions" if visit.sent("back") == "/exceptions" else "/", said="right")


def _page(visit: Visit) -> int:
    asked = visit.query.get("page", "")
    return min(max(int(asked), 1), _PAGES_MAX) if asked.isdecimal() and len(asked) < 9 else 1


ROUTES = (
    Route("GET", "/", today),
    Route("GET", "/tasks", all_tasks),
    Route("GET", "/exceptions", odd),
    Route("POST", "/exceptions", right, "bookkeeper"),
)
