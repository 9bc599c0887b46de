"""The first page: what is owed, what needs a person, what happened and comes next; the lists behind it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from starlette.responses import Response

from connector.db.engine import reading, writing
from connector.errors import NotFound
from connector.evaluation import exceptions
from connector.geo import today_in
from connector.reports.scope import Scope
from connector.services.attention import load_attention
from connector.services.receivables_totals import load_currency_totals
from connector.services.setup_guide import is_live, load_guide
from connector.services.today import RECENTLY, load_dashboard
from connector.vocabulary import Role
from connector.web.page_request import CompanyFilter, PageRequest, build_url
from connector.web.routes import Route

_PAGE_SIZE = 50


def show_today(request: PageRequest) -> Response:
    """Show the dashboard of the user's companies, or of the one chosen."""
    with reading(request.app.engine) as session:
        company_filter = request.company_filter(session)
        dashboard = load_dashboard(
            session, company_filter.shown, request.now, is_replayed=request.app.notice is not None
        )
        is_in_setup = request.actor.has_role(Role.OWNER) and not is_live(company_filter.companies)
        guide = load_guide(request.app, session) if is_in_setup else None
        return request.render(
            "today.html",
            dashboard=dashboard,
            guide=guide if guide is not None and not guide.is_done else None,
            company_filter=company_filter,
            since_on=today_in(request.time_zone or company_filter.time_zone, request.now - RECENTLY),
            list_url=partial(build_url, company=company_filter.selected_id),
        )


def list_attention(request: PageRequest) -> Response:
    """Show a page of the customers that need a person, the most urgent first."""
    page = request.page_number()
    with reading(request.app.engine) as session:
        company_filter = request.company_filter(session)
        scope = Scope(company_filter.shown, request.now)
        typical = {each.currency: each.typical for each in load_currency_totals(session, scope)} if scope.ids else {}
        found = load_attention(session, scope, typical, size=_PAGE_SIZE + 1, offset=(page - 1) * _PAGE_SIZE)
        return _render_list(request, "attention.html", company_filter, found.rows, page)


def list_exceptions(request: PageRequest) -> Response:
    """Show a page of the exceptions."""
    page = request.page_number()
    with reading(request.app.engine) as session:
        company_filter = request.company_filter(session)
        rows = exceptions.list_open(session, company_filter.ids, size=_PAGE_SIZE + 1, offset=(page - 1) * _PAGE_SIZE)
        return _render_list(request, "exceptions.html", company_filter, rows, page)


def _render_list(
    request: PageRequest, template: str, company_filter: CompanyFilter, rows: Sequence[object], page: int
) -> Response:
    """Render a page of a list; ``rows`` hold one more than the page where there is a next page."""
    return request.render(
        template,
        rows=rows[:_PAGE_SIZE],
        company_filter=company_filter,
        page=page,
        has_more=len(rows) > _PAGE_SIZE,
        page_url=lambda number: build_url(request.path, page=number, company=company_filter.selected_id),
    )


def mark_correct(request: PageRequest) -> Response:
    """Record that an exception is correct as it is."""
    with writing(request.app.engine) as session:
        row = exceptions.find_exception(session, request.form_value("exception"))
        if row is None or not request.actor.can_see(row.connection_id):
            raise NotFound
        exceptions.mark_correct(session, row, by=request.actor.email, at=request.now)
    return_to = "/exceptions" if request.form_value("return_to") == "/exceptions" else "/"
    return request.redirect(return_to, notice="marked_correct")


ROUTES = (
    Route("GET", "/", show_today),
    Route("GET", "/attention", list_attention),
    Route("GET", "/exceptions", list_exceptions),
    Route("POST", "/exceptions", mark_correct, Role.BOOKKEEPER),
)
