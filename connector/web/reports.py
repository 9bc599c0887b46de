"""The reports for people: all at a glance, one with its table, for one company or over all; printable, and as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from sqlmodel import Session
from starlette.responses import Response, StreamingResponse

from connector.db.engine import reading
from connector.db.ids import parse_id
from connector.db.tables import Connection
from connector.errors import NotFound
from connector.reports.catalogue import REPORTS
from connector.reports.csv_export import csv_lines
from connector.reports.report import Column, Report
from connector.reports.scope import Scope
from connector.web.charts import draw
from connector.web.page_request import PageRequest
from connector.web.rendering import format_date
from connector.web.routes import Route

_ROWS_PER_PAGE = 50
_PLOTS_SHOWN = 3  # of each report among all; its own page has them all
_OVERVIEW_REPORTS = tuple(name for name in REPORTS if name != "ageing-by-customer")


def show_overview(request: PageRequest) -> Response:
    """Show every report at a glance."""
    with reading(request.app.engine) as session:
        companies, chosen, scope = _report_scope(request, session)
        found = [REPORTS[name](session, scope) for name in _OVERVIEW_REPORTS] if scope.companies else []
    return request.render(
        "reports.html", companies=companies, chosen=chosen, reports=found, draw=draw, most=_PLOTS_SHOWN, at=_url
    )


def show_report(request: PageRequest) -> Response:
    """Show one report with all its figures, a page of them at a time."""
    with reading(request.app.engine) as session:
        companies, chosen, scope = _report_scope(request, session)
        found = _build_report(request, session, scope)
    asked = request.query.get("page", "1")
    page = max(1, int(asked)) if asked.isdecimal() and len(asked) < 7 else 1
    rows = found.rows[(page - 1) * _ROWS_PER_PAGE : page * _ROWS_PER_PAGE]
    return request.render(
        "report.html",
        companies=companies,
        chosen=chosen,
        report=found,
        rows=rows,
        page=page,
        more=len(found.rows) > page * _ROWS_PER_PAGE,
        draw=draw,
        shown=format_cell,
        at=_url,
    )


def export_csv(request: PageRequest) -> Response:
    """Give a report to a spreadsheet: all its rows, sums as plain numbers."""
    with reading(request.app.engine) as session:
        _companies, _chosen, scope = _report_scope(request, session)
        found = _build_report(request, session, scope)
    name = f"duewell-{found.name}-{scope.today}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(csv_lines(found.table_rows()), media_type="text/csv; charset=utf-8", headers=headers)


def format_cell(row: Mapping[str, Any], column: Column) -> str:
    """Show a figure of a table."""
    value = row[column.key]
    if value is None:
        return "–"
    if column.kind == "money":
        return f"{Decimal(value):,.2f}"
    if column.kind == "day":
        return format_date(value)
    if column.kind == "share":
        return f"{value:,.1f} %"
    if column.kind == "days":
        return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
    return f"{value:,}" if column.kind == "number" else str(value)


def _build_report(request: PageRequest, session: Session, scope: Scope) -> Report:
    make = REPORTS.get(str(request.path_params["report"]))
    if make is None:
        raise NotFound
    return make(session, scope)


def _report_scope(request: PageRequest, session: Session) -> tuple[list[Connection], int | None, Scope]:
    companies = request.companies(session)
    asked = request.query.get("company", "")
    chosen = parse_id(asked)
    within = [request.company(session, chosen)] if asked else companies
    return companies, chosen, Scope(within, request.now)


def _url(path: str, **query: object) -> str:
    given = {name: str(value) for name, value in query.items() if value}
    return path + (f"?{urlencode(given)}" if given else "")


ROUTES = (
    Route("GET", "/reports", show_overview),
    Route("GET", "/reports/{report}.csv", export_csv),
    Route("GET", "/reports/{report}", show_report),
)
