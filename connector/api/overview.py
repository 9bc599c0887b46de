"""Operations for connections, runs, the sync log, the plan and exceptions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from sqlmodel import Session
from starlette.responses import Response

from connector.api import bodies, schemas
from connector.api.api_route import AdminCall, ApiRoute, ReadCall, WriteCall
from connector.api.bodies import Id
from connector.api.call import Call, ConnectionParam, PageParam, json_response, page_response, paginate
from connector.api.iso_dates import IsoInstant
from connector.audit import log_search, sync_log
from connector.audit.log_search import LogEntryItem, RunItem
from connector.connections import account_owners, registry
from connector.connections.registry import ConnectionItem
from connector.db.engine import reading, writing
from connector.db.tables import SyncLogEntry, SyncRun
from connector.errors import NotFound
from connector.evaluation import exceptions
from connector.services import status
from connector.services import upcoming_actions as planning
from connector.services.search import TEXT_MAX, SearchResult, find_everywhere
from connector.services.status import ConnectionStatus
from connector.services.upcoming_actions import UpcomingAction

router = APIRouter(route_class=ApiRoute)
DaysParam = Annotated[int, Query(ge=0, le=366, description="How many days ahead.")]
SinceParam = Annotated[IsoInstant | None, Query(description="Only entries from this instant on.")]


@router.get("/status", tags=["connections"], response_model=list[ConnectionStatus])
def get_status(call: ReadCall) -> Response:
    """Get the status of each connection: health, runs, remaining calls and what needs attention."""
    return json_response([row for row in status.list_statuses(call.app) if call.client.can_see(row.id)])


@router.get("/search", tags=["search"], response_model=SearchResult)
def search(
    call: ReadCall,
    q: Annotated[str, Query(max_length=TEXT_MAX, description="A number, an amount, a name or an email address.")] = "",
    connection: ConnectionParam = "",
) -> Response:
    """Search invoices by number or amount and customers by name or email address, best first."""
    with reading(call.app.engine) as session:
        return json_response(find_everywhere(session, call.connection_ids(session, connection), q))


@router.get("/connections", tags=["connections"], response_model=schemas.Page[ConnectionItem])
def list_connections(call: ReadCall, page_query: PageParam) -> Response:
    """List connections."""
    with reading(call.app.engine) as session:
        rows = [registry.as_item(row) for row in call.connections(session)]
    return paginate(rows, page_query, lambda row: [row.id])


@router.get("/connections/{connection}", tags=["connections"], response_model=ConnectionItem)
def get_connection(call: ReadCall, connection: str) -> Response:
    """Get a connection by id or short name."""
    with reading(call.app.engine) as session:
        return json_response(registry.as_item(call.find_connection(session, connection)))


@router.post("/connections/{connection}/mode", tags=["connections"], response_model=ConnectionItem)
def set_mode(call: AdminCall, connection: str, body: bodies.ModeRequest) -> Response:
    """Set what is sent for a connection: nothing (observe), what a user approves (approve), or everything (live)."""
    row = registry.set_mode(call.app, _connection_id(call, connection), body.mode, by=call.actor)
    return json_response(registry.as_item(row))


@router.post("/connections/{connection}/pause", tags=["connections"], response_model=ConnectionItem)
def pause_connection(call: WriteCall, connection: str, body: bodies.PauseRequest) -> Response:
    """Pause a connection until a date or until it is resumed."""
    connection_id = _connection_id(call, connection)
    row = registry.pause(call.app, connection_id, reason=body.reason, until_on=body.until_on, by=call.actor)
    return json_response(registry.as_item(row))


@router.post("/connections/{connection}/resume", tags=["connections"], response_model=ConnectionItem)
def resume_connection(call: WriteCall, connection: str) -> Response:
    """Resume a paused connection."""
    row = registry.resume(call.app, _connection_id(call, connection), by=call.actor)
    return json_response(registry.as_item(row))


@router.post("/connections/{connection}/run", tags=["connections"], status_code=202, response_model=ConnectionItem)
def run_connection(call: WriteCall, connection: str) -> Response:
    """Request a sync; the scheduler starts it within moments, and its result is listed under runs."""
    row = registry.run_soon(call.app, _connection_id(call, connection))
    return json_response(registry.as_item(row), 202)


@router.post("/connections/{connection}/owner", tags=["connections"], response_model=ConnectionItem)
def set_owner(call: WriteCall, connection: str, body: bodies.DefaultOwnerRequest) -> Response:
    """Set the default account owner, for customers that have none of their own; null removes it."""
    account_owners.set_default_owner(call.app, _connection_id(call, connection), body.owner or "", by=call.actor)
    return get_connection(call, connection)


@router.post("/connections/{connection}/disconnect", tags=["connections"], response_model=ConnectionItem)
def disconnect(call: AdminCall, connection: str, body: bodies.DisconnectRequest) -> Response:
    """Disconnect a company: access is revoked, the copy of its data and the log are kept; the log says why."""
    connection_id = _connection_id(call, connection)
    registry.disconnect(call.app, connection_id, by=call.actor, reason=body.reason)
    with reading(call.app.engine) as session:
        return json_response(registry.as_item(call.find_connection(session, str(connection_id))))


@router.get("/runs", tags=["log"], response_model=schemas.Page[RunItem])
def list_runs(call: ReadCall, page_query: PageParam, connection: ConnectionParam = "") -> Response:
    """List runs, newest first."""
    with reading(call.app.engine) as session:
        names = _short_names(call, session)
        search = log_search.LogFilter(
            company_ids=call.connection_ids(session, connection), before_id=page_query.before_id()
        )
        found = log_search.find_run_page(session, search, size=page_query.limit + 1)
    rows = [log_search.run_as_item(row, names[row.connection_id]) for row in found.rows]
    return page_response(rows, page_query, lambda row: [row.id])


@router.get("/runs/{run}", tags=["log"], response_model=RunItem)
def get_run(call: ReadCall, run: Id) -> Response:
    """Get a run; the log has its entries."""
    with reading(call.app.engine) as session:
        row = session.get(SyncRun, run)
        if row is None or not call.client.can_see(row.connection_id):
            raise NotFound("Run not found.")
        return json_response(log_search.run_as_item(row, _short_names(call, session)[row.connection_id]))


@router.get("/log", tags=["log"], response_model=schemas.Page[LogEntryItem])
def list_log(
    call: ReadCall,
    page_query: PageParam,
    connection: ConnectionParam = "",
    run: Annotated[Id | None, Query(description="Only entries of this run.")] = None,
    kind: Annotated[str, Query(max_length=50)] = "",
    customer: Annotated[str, Query(max_length=200, description="A customer's id, or part of their name.")] = "",
    invoice: Annotated[str, Query(max_length=200, description="An invoice's id or number.")] = "",
    since_at: SinceParam = None,
) -> Response:
    """List entries of the sync log, newest first."""
    with reading(call.app.engine) as session:
        names = _short_names(call, session)
        all_seen = call.client.companies is None and not connection
        search = log_search.LogFilter(
            company_ids=None if all_seen else call.connection_ids(session, connection),
            run_id=run,
            kind=kind,
            customer=customer,
            invoice=invoice,
            since_at=since_at,
            before_id=page_query.before_id(),
        )
        found = log_search.find_log_page(session, search, size=page_query.limit + 1)
    rows = [log_search.as_item(row, names.get(row.connection_id, "")) for row in found.rows]
    return page_response(rows, page_query, lambda row: [row.id])


@router.get("/log/verify", tags=["log"], response_model=schemas.LogVerification)
def verify_log(call: ReadCall) -> Response:
    """Check the log's hash chain from the first entry to the last."""
    with reading(call.app.engine) as session:
        return json_response(sync_log.verify(session)._asdict())


@router.get("/log/{line}", tags=["log"], response_model=LogEntryItem)
def get_log_entry(call: ReadCall, line: Id) -> Response:
    """Get a log entry."""
    with reading(call.app.engine) as session:
        row = session.get(SyncLogEntry, line)
        if row is None or not call.client.can_see(row.connection_id):
            raise NotFound("Log entry not found.")
        return json_response(log_search.as_item(row, _short_names(call, session).get(row.connection_id, "")))


@router.get("/plan", tags=["policy"], response_model=schemas.Page[UpcomingAction])
def get_plan(call: ReadCall, page_query: PageParam, connection: ConnectionParam = "", days: DaysParam = 14) -> Response:
    """List what would be sent, when and why, if nothing changed in the accounting system; sends nothing."""
    with reading(call.app.engine) as session:
        ids = [each for each in call.connection_ids(session, connection) if _is_connected(call, session, each)]
    rows = [item for each in ids for item in planning.list_upcoming(call.app, each, days)]
    return paginate(rows, page_query, lambda row: [row.at.isoformat(), row.id])


@router.get("/exceptions", tags=["customers"], response_model=schemas.Page[schemas.ExceptionItem])
def list_exceptions(call: ReadCall, page_query: PageParam, connection: ConnectionParam = "") -> Response:
    """List exceptions: what looks wrong in the accounting system."""
    with reading(call.app.engine) as session:
        ids = call.connection_ids(session, connection)
    rows = [asdict(item) for each in ids for item in exceptions.list_exceptions(call.app, each)]
    return paginate(rows, page_query, lambda row: [row["id"]])


@router.post("/exceptions/mark-correct", tags=["customers"], status_code=204, response_class=Response)
def mark_exception_correct(call: WriteCall, body: bodies.ExceptionRequest) -> Response:
    """Mark an exception as correct; it is not listed again."""
    with writing(call.app.engine) as session:
        connection = call.find_connection(session, body.id.partition(":")[0])
        listed = exceptions.list_open(session, [connection.id or 0], size=exceptions.LIST_MAX)
        row = next((each.row for each in listed if each.id == body.id), None)
        if row is None:
            raise NotFound("Exception not found.")
        exceptions.mark_correct(session, row, by=call.actor, at=call.now)
    return Response(status_code=204)


def _connection_id(call: Call, connection: str) -> int:
    with reading(call.app.engine) as session:
        return call.find_connection(session, connection).id or 0


def _short_names(call: Call, session: Session) -> dict[int | None, str]:
    return {row.id: row.short_name for row in call.connections(session)}


def _is_connected(call: Call, session: Session, connection_id: int) -> bool:
    return call.find_connection(session, str(connection_id)).health != registry.DISCONNECTED
