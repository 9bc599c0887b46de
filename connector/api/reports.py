"""Operations on reports: which there are, and their figures."""

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
    """List the reports there are."""
    return json_response([{"id": name, "title": title} for name, title in TITLES.items()])


@router.get("/reports/{report}", response_model=schemas.Report)
def get_report(call: ReadCall, page_query: PageParam, report: str, connection: ConnectionParam = "") -> Response:
    """Give the figures of a report, for one connection or over all; its columns say what they are."""
    make = REPORTS.get(report)
    if make is None:
        raise NotFound(f"There is no report {report!r}.")
    with reading(call.app.engine) as session:
        rows = [call.find_connection(session, connection)] if connection else call.connections(session)
        made = make(session, Scope(rows, call.now))
    page_query.check_key_types([int])
    first = int(page_query.after[0]) if page_query.after else 0
    shown = made.rows[first : first + page_query.limit]
    more = len(made.rows) > first + page_query.limit
    told = {name: getattr(made, name) for name in ("name", "title", "question", "formula")}
    columns = [column._asdict() for column in made.columns]
    items = {"items": shown, "next": encode_cursor([first + page_query.limit]) if more else None}
    return json_response({**told, "notes": list(made.notes), "columns": columns, **items})
