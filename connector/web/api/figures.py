"""Operations on reports: which there are, and their figures."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from connector.database import reading
from connector.reports.catalogue import REPORTS, TITLES
from connector.reports.scope import Scope
from connector.web.api import shapes
from connector.web.api.call import Asked, Within, cursor, reply
from connector.web.api.gate import Gate, Read
from connector.web.visit import NotHere

router = APIRouter(route_class=Gate, tags=["reports"])


@router.get("/reports", response_model=list[shapes.ReportName])
def list_reports(_call: Read) -> Response:
    """List the reports there are."""
    return reply([{"id": name, "title": title} for name, title in TITLES.items()])


@router.get("/reports/{report}", response_model=shapes.Report)
def get_report(call: Read, asked: Asked, report: str, connection: Within = "") -> Response:
    """Give the figures of a report, for one connection or over all; its columns say what they are."""
    make = REPORTS.get(report)
    if make is None:
        raise NotHere(f"There is no report {report!r}.")
    with reading(call.installation.engine) as session:
        rows = [call.connection(session, connection)] if connection else call.connections(session)
        made = make(session, Scope(rows, call.now))
    asked.must_be([int])
    first = int(asked.after[0]) if asked.after else 0
    shown = made.rows[first : first + asked.limit]
    more = len(made.rows) > first + asked.limit
    told = {name: getattr(made, name) for name in ("name", "title", "question", "formula")}
    columns = [column._asdict() for column in made.columns]
    items = {"items": shown, "next": cursor([first + asked.limit]) if more else None}
    return reply({**told, "notes": list(made.notes), "columns": columns, **items})
