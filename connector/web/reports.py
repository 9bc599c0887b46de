"""The reports for people: all at a glance, one with its table, for one company or over all; printable, and as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from sqlmodel import Session
from starlette.responses import Response, StreamingResponse

from connector.commands.spreadsheet import csv_lines
from connector.database import reading
from connector.ids import as_id
from connector.reports.catalogue import REPORTS
from connector.reports.report import Column, Report
from connector.reports.scope import Scope
from connector.tables import Connection
from connector.web.pages import day
from connector.web.plots import draw
from connector.web.routes import Route
from connector.web.visit import NotHere, Visit

_ROWS_A_PAGE = 50
_PLOTS_SHOWN = 3  # of each report among all; its own page has them all
_AT_A_GLANCE = tuple(name for name in REPORTS if name != "customers")


def overview(visit: Visit) -> Response:
    """Show every report at a glance."""
    with reading(visit.installation.engine) as session:
        companies, chosen, scope = _scope(visit, session)
        found = [REPORTS[name](session, scope) for name in _AT_A_GLANCE] if scope.companies else []
    return visit.page(
        "reports.html", companies=companies, chosen=chosen, reports=found, draw=draw, most=_PLOTS_SHOWN, at=_at
    )


def report(visit: Visit) -> Response:
    """Show one report with all its figures, a page of them at a time."""
    with reading(visit.installation.engine) as session:
        companies, chosen, scope = _scope(visit, session)
        found = _found(visit, session, scope)
    asked = visit.query.get("page", "1")
    page = max(1, int(asked)) if asked.isdecimal() and len(asked) < 7 else 1
    rows = found.rows[(page - 1) * _ROWS_A_PAGE : page * _ROWS_A_PAGE]
    return visit.page(
        "report.html",
        companies=companies,
        chosen=chosen,
        report=found,
        rows=rows,
        page=page,
        more=len(found.rows) > page * _ROWS_A_PAGE,
        draw=draw,
        shown=shown,
        at=_at,
    )


def as_csv(visit: Visit) -> Response:
    """Give a report to a spreadsheet: all its rows, sums as plain numbers."""
    with reading(visit.installation.engine) as session:
        _companies, _chosen, scope = _scope(visit, session)
        found = _found(visit, session, scope)
    name = f"duewell-{found.name}-{scope.today}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(csv_lines(found.table()), media_type="text/csv; charset=utf-8", headers=headers)


def shown(row: Mapping[str, Any], column: Column) -> str:
    """Show a figure of a table."""
    value = row[column.key]
    if value is None:
        return "–"
    if column.kind == "money":
        return f"{Decimal(value):,.2f}"
    if column.kind == "day":
        return day(value)
    if column.kind == "share":
        return f"{value:,.1f} %"
    if column.kind == "days":
        return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
    return f"{value:,}" if column.kind == "number" else str(value)


def _found(visit: Visit, session: Session, scope: Scope) -> Report:
    make = REPORTS.get(str(visit.parameters["report"]))
    if make is None:
        raise NotHere
    return make(session, scope)


def _scope(visit: Visit, session: Session) -> tuple[list[Connection], int | None, Scope]:
    companies = visit.companies(session)
    asked = visit.query.get("company", "")
    chosen = as_id(asked)
    within = [visit.company(session, chosen)] if asked else companies
    return companies, chosen, Scope(within, visit.now)


def _at(path: str, **query: object) -> str:
    given = {name: str(value) for name, value in query.items() if value}
    return path + (f"?{urlencode(given)}" if given else "")


ROUTES = (
    Route("GET", "/reports", overview),
    Route("GET", "/reports/{report}.csv", as_csv),
    Route("GET", "/reports/{report}", report),
)
