"""Operations for reports."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from sqlmodel import Session
from starlette.responses import Response

from connector.api import schemas
from connector.api.api_route import ApiRoute, ReadCall
from connector.api.call import Call, ConnectionParam, PageParam, PageQuery, encode_cursor, json_response
from connector.db.engine import reading
from connector.errors import NotFound
from connector.reports.catalogue import BEHIND, REPORTS, TITLES
from connector.reports.report import Report, ReportRow
from connector.reports.scope import Scope

router = APIRouter(route_class=ApiRoute, tags=["reports"])


@router.get("/reports", response_model=list[schemas.ReportTitle])
def list_reports(_call: ReadCall) -> Response:
    """List the available reports."""
    return json_response([{"id": name, "title": title} for name, title in TITLES.items()])


@router.get("/reports/{report}", response_model=schemas.Report)
def get_report(call: ReadCall, page_query: PageParam, report: str, connection: ConnectionParam = "") -> Response:
    """Get a report, for one connection or for all; ``columns`` describes its figures."""
    build = REPORTS.get(report)
    if build is None:
        raise NotFound(f"Report {report!r} not found.")
    with reading(call.app.engine) as session:
        built = build(session, _scope(call, session, connection))
    return _report_response(built, page_query)


@router.get("/reports/{report}/invoices/{row}/{column}", response_model=schemas.Report)
def list_invoices_behind(
    call: ReadCall,
    page_query: PageParam,
    report: str,
    row: Annotated[str, Path(max_length=80, description="The id of a row of the report.")],
    column: Annotated[str, Path(max_length=80, description="The key of the column.")],
    connection: ConnectionParam = "",
) -> Response:
    """List the invoices or payments behind a figure of a report."""
    build = BEHIND.get(report)
    with reading(call.app.engine) as session:
        scope = _scope(call, session, connection)
        built = build(session, scope, row, column) if build is not None else None
    if built is None:
        raise NotFound(f"The report {report!r} lists no invoices for the row {row!r} and the column {column!r}.")
    return _report_response(built, page_query)


def _scope(call: Call, session: Session, connection: str) -> Scope:
    rows = [call.find_connection(session, connection)] if connection else call.connections(session)
    return Scope(rows, call.now)


def _report_response(built: Report[ReportRow], page_query: PageQuery) -> Response:
    start = page_query.offset()
    end = start + page_query.limit
    shown = built.items()[start:end]
    texts = {name: getattr(built, name) for name in ("name", "title", "question", "formula")}
    columns = [column._asdict() for column in built.columns]
    items = {"items": shown, "next": encode_cursor([end]) if len(built.rows) > end else None}
    return json_response({**texts, "notes": list(built.notes), "columns": columns, **items})
