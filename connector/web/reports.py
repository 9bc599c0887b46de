"""The reports: an overview of all, and each with its figures, for one company or all; printable, and as CSV."""

from __future__ import annotations

from sqlmodel import Session
from starlette.responses import Response, StreamingResponse

from connector.db.engine import reading
from connector.errors import NotFound
from connector.reports.catalogue import REPORTS
from connector.reports.csv_export import csv_lines
from connector.reports.report import Report, ReportRow, format_cell
from connector.reports.scope import Scope
from connector.web.charts import draw
from connector.web.page_request import CompanyFilter, PageRequest, build_url
from connector.web.routes import Route

_ROWS_PER_PAGE = 50
_PLOTS_SHOWN = 3  # of each report in the overview; the page of the report has all of them
_OVERVIEW_REPORTS = tuple(name for name in REPORTS if name != "ageing-by-customer")


def show_overview(request: PageRequest) -> Response:
    """Show the plots of every report."""
    with reading(request.app.engine) as session:
        company_filter, scope = _report_scope(request, session)
        reports = [REPORTS[name](session, scope) for name in _OVERVIEW_REPORTS] if scope.companies else []
    return request.render(
        "reports.html",
        company_filter=company_filter,
        reports=reports,
        draw=draw,
        plots_max=_PLOTS_SHOWN,
        build_url=build_url,
    )


def show_report(request: PageRequest) -> Response:
    """Show one report with a page of its figures."""
    with reading(request.app.engine) as session:
        company_filter, scope = _report_scope(request, session)
        report = _build_report(request, session, scope)
    page = request.page_number(pages_max=1_000_000)
    return request.render(
        "report.html",
        company_filter=company_filter,
        report=report,
        rows=report.rows[(page - 1) * _ROWS_PER_PAGE : page * _ROWS_PER_PAGE],
        page=page,
        has_more=len(report.rows) > page * _ROWS_PER_PAGE,
        draw=draw,
        format_cell=format_cell,
        build_url=build_url,
    )


def export_csv(request: PageRequest) -> Response:
    """Return all rows of a report as CSV, with amounts as plain numbers."""
    with reading(request.app.engine) as session:
        _company_filter, scope = _report_scope(request, session)
        report = _build_report(request, session, scope)
    headers = {"Content-Disposition": f'attachment; filename="duewell-{report.name}-{scope.today}.csv"'}
    return StreamingResponse(csv_lines(report.table_rows()), media_type="text/csv; charset=utf-8", headers=headers)


def _build_report(request: PageRequest, session: Session, scope: Scope) -> Report[ReportRow]:
    build = REPORTS.get(str(request.path_params["report"]))
    if build is None:
        raise NotFound
    return build(session, scope)


def _report_scope(request: PageRequest, session: Session) -> tuple[CompanyFilter, Scope]:
    company_filter = request.company_filter(session)
    return company_filter, Scope(company_filter.shown, request.now)


ROUTES = (
    Route("GET", "/reports", show_overview),
    Route("GET", "/reports/{report}.csv", export_csv),
    Route("GET", "/reports/{report}", show_report),
)
