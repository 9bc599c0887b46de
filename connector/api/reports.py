"""Operations for reports."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from connector.api import schemas
from connector.api.api_route import ApiRoute, ReadCall
from connector.api.call import ConnectionParam, PageParam, encode_cursor, json_response
from connector.db.engine import reading
from connector.errors import NotFound
from connector.reports.catalogue import REPORTS, TITLES
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
        rows = [call.find_connection(session, connection)] if connection else call.connections(session)
        built = build(session, Scope(rows, call.now))
    start = page_query.offset()
    end = start + page_query.limit
    shown = built.items()[start:end]
    texts = {name: getattr(built, name) for name in ("name", "title", "question", "formula")}
    columns = [column._asdict() for column in built.columns]
    items = {"items": shown, "next": encode_cursor([end]) if len(built.rows) > end else None}
    return json_response({**texts, "notes": list(built.notes), "columns": columns, **items})
