"""The morning's review: what waits for this person, went out, and goes out; tasks, and what is worth a look."""

from __future__ import annotations

from starlette.responses import Response

from connector.db.engine import reading, writing
from connector.errors import NotFound
from connector.evaluation import exceptions
from connector.services.today import CompanySummary, list_open_tasks, load_dashboard
from connector.web.outbox import selected_companies
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_PAGE = 50
_PAGES_MAX = 1000


def show_today(request: PageRequest) -> Response:
    """Show the morning's review."""
    with reading(request.app.engine) as session:
        found = load_dashboard(session, request.companies(session), request.now)
        return request.render("today.html", review=found)


def list_tasks(request: PageRequest) -> Response:
    """Show a page of the open tasks."""
    page = _page_number(request)
    with reading(request.app.engine) as session:
        companies, chosen, ids = selected_companies(request, session)
        lines = {row.id or 0: CompanySummary(row) for row in companies if row.id in ids}
        rows = list_open_tasks(session, lines, size=_PAGE + 1, offset=(page - 1) * _PAGE)
        more = len(rows) > _PAGE
        return request.render("tasks.html", rows=rows[:_PAGE], companies=companies, chosen=chosen, page=page, more=more)


def list_exceptions(request: PageRequest) -> Response:
    """Show a page of what is worth a look."""
    page = _page_number(request)
    with reading(request.app.engine) as session:
        companies, chosen, ids = selected_companies(request, session)
        rows = exceptions.list_open(session, ids, size=_PAGE + 1, offset=(page - 1) * _PAGE)
        more = len(rows) > _PAGE
        return request.render(
            "exceptions.html", rows=rows[:_PAGE], companies=companies, chosen=chosen, page=page, more=more
        )


def mark_correct(request: PageRequest) -> Response:
    """Keep that something odd is right as it is."""
    with writing(request.app.engine) as session:
        row = exceptions.find_exception(session, request.form_value("exception"))
        if row is None or not request.actor.can_see(row.connection_id):
            raise NotFound
        exceptions.mark_correct(session, row, by=request.actor.email, at=request.now)
    return request.redirect("/exceptions" if request.form_value("return_to") == "/exceptions" else "/", notice="right")


def _page_number(request: PageRequest) -> int:
    asked = request.query.get("page", "")
    return min(max(int(asked), 1), _PAGES_MAX) if asked.isdecimal() and len(asked) < 9 else 1


ROUTES = (
    Route("GET", "/", show_today),
    Route("GET", "/tasks", list_tasks),
    Route("GET", "/exceptions", list_exceptions),
    Route("POST", "/exceptions", mark_correct, "bookkeeper"),
)
