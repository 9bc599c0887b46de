"""Operations that look over everything: status, connections, runs, the log, the plan, what is odd in the books."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from connector import sync_log
from connector.access import connections, team
from connector.database import reading, writing
from connector.people import exceptions, log_search, status
from connector.people import plan as planning
from connector.tables import SyncLogEntry, SyncRun
from connector.web.api import shapes
from connector.web.api.call import Asked, Call, Within, listed, reply
from connector.web.api.call import cut as cut_down
from connector.web.api.gate import Act, Admin, Gate, Read
from connector.web.api.shapes.parts_of_lists import Id
from connector.web.visit import NotHere

router = APIRouter(route_class=Gate)
Days = Annotated[int, Query(ge=0, le=366, description="How many days ahead.")]
Since = Annotated[datetime | None, Query(description="Not before this instant.")]


@router.get("/status", tags=["connections"], response_model=list[shapes.Status])
def get_status(call: Read) -> Response:
    """Tell how each connection is: health, runs, budget, what waits for a person."""
    return reply([row for row in status.status(call.installation) if call.program.sees(row["id"])])


@router.get("/connections", tags=["connections"], response_model=shapes.Page[shapes.Connection])
def list_connections(call: Read, asked: Asked) -> Response:
    """List the connections."""
    with reading(call.installation.engine) as session:
        rows = [connections.describe(row) for row in call.connections(session)]
    return cut_down(rows, asked, lambda row: [row["id"]])


@router.get("/connections/{connection}", tags=["connections"], response_model=shapes.Connection)
def get_connection(call: Read, connection: str) -> Response:
    """Show one connection, by id or short name."""
    with reading(call.installation.engine) as session:
        return reply(connections.describe(call.connection(session, connection)))


@router.post("/connections/{connection}/mode", tags=["connections"], response_model=shapes.Connection)
def set_mode(call: Admin, connection: str, body: shapes.OfMode) -> Response:
    """Say how it may act: observe, approve (a person lets each effect out), or live."""
    row = connections.set_mode(call.installation, _id(call, connection), body.mode, by=call.by)
    return reply(connections.describe(row))


@router.post("/connections/{connection}/pause", tags=["connections"], response_model=shapes.Connection)
def pause_connection(call: Act, connection: str, body: shapes.OfPause) -> Response:
    """Stop running it, until a day or until it is resumed."""
    connection_id = _id(call, connection)
    row = connections.pause(call.installation, connection_id, why=body.why, until=body.until_on, by=call.by)
    return reply(connections.describe(row))


@router.post("/connections/{connection}/resume", tags=["connections"], response_model=shapes.Connection)
def resume_connection(call: Act, connection: str) -> Response:
    """Run it again."""
    row = connections.resume(call.installation, _id(call, connection), by=call.by)
    return reply(connections.describe(row))


@router.post("/connections/{connection}/run", tags=["connections"], status_code=202, response_model=shapes.Connection)
def run_connection(call: Act, connection: str) -> Response:
    """Let the scheduler run it as soon as it wakes; see how it went in its runs."""
    row = connections.run_soon(call.installation, _id(call, connection))
    return reply(connections.describe(row), 202)


@router.post("/connections/{connection}/owner", tags=["connections"], response_model=shapes.Connection)
def set_owner(call: Act, connection: str, body: shapes.OfOwnerOfAll) -> Response:
    """Say who minds the customers that have no owner of their own; null for nobody."""
    team.set_default_owner(call.installation, _id(call, connection), body.owner or "", by=call.by)
    return get_connection(call, connection)


@router.post("/connections/{connection}/disconnect", tags=["connections"], response_model=shapes.Connection)
def disconnect(call: Admin, connection: str) -> Response:
    """End the access to a company, at the vendor and here; the mirror and the log are kept."""
    connection_id = _id(call, connection)
    connections.disconnect(call.installation, connection_id, by=call.by)
    with reading(call.installation.engine) as session:
        return reply(connections.describe(call.connection(session, str(connection_id))))


@router.get("/runs", tags=["log"], response_model=shapes.Page[shapes.Run])
def list_runs(call: Read, asked: Asked, connection: Within = "") -> Response:
    """List runs, newest first."""
    with reading(call.installation.engine) as session:
        names = _names(call, session)
        search = log_search.Wanted(companies=call.within(session, connection), before=asked.before_id())
        found = log_search.runs(session, search, size=asked.limit + 1)
    rows = [log_search.run_as_dict(row, names[row.connection_id]) for row in found.rows]
    return listed(rows, asked, lambda row: [row["id"]])


@router.get("/runs/{run}", tags=["log"], response_model=shapes.Run)
def get_run(call: Read, run: Id) -> Response:
    """Show one run; its lines are in the log."""
    with reading(call.installation.engine) as session:
        row = session.get(SyncRun, run)
        if row is None or not call.program.sees(row.connection_id):
            raise NotHere("There is no such run.")
        return reply(log_search.run_as_dict(row, _names(call, session)[row.connection_id]))


@router.get("/log", tags=["log"], response_model=shapes.Page[shapes.Line])
def list_log(
    call: Read,
    asked: Asked,
    connection: Within = "",
    run: Annotated[int | None, Query(description="Only lines of this run.")] = None,
    kind: Annotated[str, Query(max_length=50)] = "",
    customer: Annotated[str, Query(max_length=200, description="An id, or a part of a name.")] = "",
    invoice: Annotated[str, Query(max_length=200, description="An id, or a number.")] = "",
    since_at: Since = None,
) -> Response:
    """List lines of the sync log, newest first."""
    with reading(call.installation.engine) as session:
        names = _names(call, session)
        all_seen = call.program.companies is None and not connection
        search = log_search.Wanted(
            companies=None if all_seen else call.within(session, connection),
            run=run,
            kind=kind,
            customer=customer,
            invoice=invoice,
            since_at=since_at,
            before=asked.before_id(),
        )
        found = log_search.lines(session, search, size=asked.limit + 1)
    rows = [log_search.as_dict(row, names.get(row.connection_id, "")) for row in found.rows]
    return listed(rows, asked, lambda row: [row["id"]])


@router.get("/log/chain", tags=["log"], response_model=shapes.Chain)
def verify_log(call: Read) -> Response:
    """Check the log's chain of hashes, from its first line to its last."""
    with reading(call.installation.engine) as session:
        return reply(sync_log.verify(session)._asdict())


@router.get("/log/{line}", tags=["log"], response_model=shapes.Line)
def get_line(call: Read, line: Id) -> Response:
    """Show one line of the log."""
    with reading(call.installation.engine) as session:
        row = session.get(SyncLogEntry, line)
        if row is None or not call.program.sees(row.connection_id):
            raise NotHere("There is no such line.")
        return reply(log_search.as_dict(row, _names(call, session).get(row.connection_id, "")))


@router.get("/plan", tags=["policy"], response_model=shapes.Page[shapes.Coming])
def get_plan(call: Read, asked: Asked, connection: Within = "", days: Days = 14) -> Response:
    """Tell what would go out, when and why, if the books stayed as they are; sends nothing."""
    with reading(call.installation.engine) as session:
        ids = [each for each in call.within(session, connection) if _is_connected(call, session, each)]
    rows = [item for each in ids for item in planning.plan(call.installation, each, days)]
    return cut_down(rows, asked, lambda row: [row["at"].isoformat(), row["id"]])


@router.get("/exceptions", tags=["customers"], response_model=shapes.Page[shapes.Oddity])
def list_exceptions(call: Read, asked: Asked, connection: Within = "") -> Response:
    """List what is odd in the books and worth a person's eye."""
    with reading(call.installation.engine) as session:
        ids = call.within(session, connection)
    rows = [item for each in ids for item in exceptions.every(call.installation, each)]
    return cut_down(rows, asked, lambda row: [row["id"]])


@router.post("/exceptions/right", tags=["customers"], status_code=204, response_class=Response)
def settle_exception(call: Act, body: shapes.OfOddity) -> Response:
    """Say that something odd is right as it is; it is not listed again."""
    with writing(call.installation.engine) as session:
        books = call.connection(session, body.id.partition(":")[0])
        standing = exceptions.listing(session, [books.id or 0], size=exceptions.EVERY_MAX)
        row = next((each.row for each in standing if each.id == body.id), None)
        if row is None:
            raise NotHere("There is no such exception.")
        exceptions.settle(session, row, by=call.by, at=call.now)
    return Response(status_code=204)


def _id(call: Call, connection: str) -> int:
    with reading(call.installation.engine) as session:
        return call.connection(session, connection).id or 0


def _names(call: Call, session: Any) -> dict[int | None, str]:
    return {row.id: row.short_name for row in call.connections(session)}


def _is_connected(call: Call, session: Any, connection_id: int) -> bool:
    return call.connection(session, str(connection_id)).health != connections.DISCONNECTED
