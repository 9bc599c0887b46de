"""Operations for the outbox and late fees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlmodel import Session
from starlette.responses import Response

from connector.api import bodies, problems, schemas
from connector.api.api_route import ApiRoute, ReadCall, WriteCall
from connector.api.bodies import Id
from connector.api.call import Call, ConnectionParam, PageParam, json_response
from connector.api.etags import IfMatch, parse_if_match, with_etag
from connector.api.list_queries import ListFilters, list_parameters, list_query, list_response
from connector.api.problems import ApiError
from connector.db.engine import reading, writing
from connector.db.tables import OutboxEntry
from connector.errors import NotFound
from connector.outbox import approvals
from connector.outbox.approvals import EntryStatus, entry_status
from connector.services import email_editing, entry_email, fees, outbox_search
from connector.services.entry_email import EntryEmail
from connector.services.fees import FeeItem
from connector.services.lists import outbox as lists
from connector.services.lists.engine import Key
from connector.services.outbox_search import EntryItem
from connector.vocabulary import OutboxState

router = APIRouter(route_class=ApiRoute)
States = Annotated[list[OutboxState], Query(description="Only entries in these states.")]


@router.get("/outbox", tags=["outbox"], response_model=schemas.Page[EntryItem])
def list_outbox(
    call: ReadCall,
    page_query: PageParam,
    filters: Annotated[ListFilters, Depends(list_parameters(lists.OUTBOX, without=["state"]))],
    connection: ConnectionParam = "",
    state: States = [],  # noqa: B006 - as FastAPI asks
) -> Response:
    """List outbox entries, newest first."""
    with reading(call.app.engine) as session:
        values = {**filters.values, "state": ",".join(state)}
        query = list_query(call, session, connection, values, filters.sort)
        return list_response(session, lists.OUTBOX, page_query, query, _load_entries)


@router.get("/outbox/{entry:int}", tags=["outbox"], response_model=EntryItem)
def get_entry(call: ReadCall, entry: Id) -> Response:
    """Get an outbox entry."""
    with reading(call.app.engine) as session:
        found = _find_entry(call, session, entry)
        item = outbox_search.as_item(found.entry, found.company.short_name, found.customer)
        return with_etag(json_response(item), item.etag)


@router.get("/outbox/{entry}/email", tags=["outbox"], response_model=EntryEmail)
def get_email(call: ReadCall, entry: Id) -> Response:
    """Get an email as it was sent, with its delivery events; a planned one as it would be sent now. Sends nothing."""
    with reading(call.app.engine) as session:
        found = _find_entry(call, session, entry).entry
    if found.kind not in {"email", "owner_email"}:
        raise NotFound("This outbox entry is not an email.")
    return _email(call, found)


@router.patch("/outbox/{entry}/email", tags=["outbox"], response_model=EntryEmail)
def edit_email(call: WriteCall, entry: Id, body: bodies.EmailTextRequest, if_match: IfMatch = "") -> Response:
    """Edit a planned email to a customer; it then awaits approval. `If-Match`: only if it still is what you read."""
    with reading(call.app.engine) as session:
        _find_entry(call, session, entry)
    lines = {name: value for name, value in body.model_dump(exclude={"etag"}).items() if value is not None}
    email_editing.edit_email(call.app, entry, lines, by=call.actor, etag=parse_if_match(if_match) or body.etag)
    with reading(call.app.engine) as session:
        return _email(call, _find_entry(call, session, entry).entry)


@router.post("/outbox/approve", tags=["outbox"], response_model=list[EntryStatus])
def approve_entries(call: WriteCall, body: bodies.OutboxEntriesRequest, if_match: IfMatch = "") -> Response:
    """Approve outbox entries: the next sync sends them. None is approved if one has changed since you read it."""
    seen = _seen(body, if_match)
    with writing(call.app.engine) as session:
        _check_entries(call, session, body.ids)
        return _entry_states(approvals.approve(session, body.ids, by=call.actor, at=call.now, seen=seen))


@router.post("/outbox/reject", tags=["outbox"], response_model=list[EntryStatus])
def reject_entries(call: WriteCall, body: bodies.OutboxEntriesRequest, if_match: IfMatch = "") -> Response:
    """Reject outbox entries: they are never sent. None is rejected if one has changed since you read it."""
    seen = _seen(body, if_match)
    with writing(call.app.engine) as session:
        _check_entries(call, session, body.ids)
        rejected = approvals.reject(session, body.ids, by=call.actor, at=call.now, reason=body.reason, seen=seen)
        return _entry_states(rejected)


@router.post("/outbox/undo", tags=["outbox"], response_model=list[EntryStatus])
def undo_decisions(call: WriteCall, body: bodies.OutboxEntriesRequest, if_match: IfMatch = "") -> Response:
    """Undo approvals and rejections of users, as long as nothing was sent: the entries await approval again."""
    seen = _seen(body, if_match)
    with writing(call.app.engine) as session:
        _check_entries(call, session, body.ids)
        return _entry_states(approvals.undo(session, body.ids, by=call.actor, at=call.now, seen=seen))


@router.post("/outbox/{entry}/resolve", tags=["outbox"], response_model=EntryStatus)
def resolve_entry(call: WriteCall, entry: Id, body: bodies.DeliveryOutcomeRequest, if_match: IfMatch = "") -> Response:
    """Record whether an unconfirmed outbox entry was sent. `If-Match`: only if it still is the attempt you read of."""
    seen = parse_if_match(if_match)
    with writing(call.app.engine) as session:
        _check_entries(call, session, [entry])
        row = approvals.resolve(session, entry, sent=body.sent, by=call.actor, at=call.now, seen=seen)
        return json_response(entry_status(row))


@router.get("/fees", tags=["fees"], response_model=schemas.Page[FeeItem])
def list_fees(
    call: ReadCall,
    page_query: PageParam,
    filters: Annotated[ListFilters, Depends(list_parameters(lists.FEES))],
    connection: ConnectionParam = "",
) -> Response:
    """List late fees with their annual rate, newest first."""
    with reading(call.app.engine) as session:
        query = list_query(call, session, connection, filters.values, filters.sort)
        return list_response(session, lists.FEES, page_query, query, _load_fees)


@router.post("/fees/approve", tags=["fees"], response_model=list[EntryStatus])
def approve_fees(call: WriteCall, body: bodies.OutboxEntriesRequest, if_match: IfMatch = "") -> Response:
    """Approve draft fees: the next sync posts them. None is approved if one has changed since you read it."""
    seen = _seen(body, if_match)
    with writing(call.app.engine) as session:
        _check_entries(call, session, body.ids)
        return _entry_states(fees.approve(session, body.ids, by=call.actor, at=call.now, seen=seen))


@router.post("/fees/waive", tags=["fees"], response_model=list[FeeItem])
def waive_fees(call: WriteCall, body: bodies.WaiveFeesRequest, if_match: IfMatch = "") -> Response:
    """Waive fees, or a part: the next sync voids a posted fee invoice, or credits it if (partly) paid or a part."""
    with reading(call.app.engine) as session:
        _check_entries(call, session, body.ids)
    seen = _seen(body, if_match)
    return json_response(
        fees.waive(call.app, body.ids, by=call.actor, reason=body.reason, amount=body.amount, seen=seen)
    )


def _load_entries(session: Session, keys: Sequence[Key]) -> Mapping[Key, object]:
    return {(row.id,): row for row in outbox_search.find_entries(session, ids=[key[0] for key in keys])}


def _load_fees(session: Session, keys: Sequence[Key]) -> Mapping[Key, object]:
    return {(row.id,): row for row in fees.find_fees(session, ids=[key[0] for key in keys])}


def _email(call: Call, entry: OutboxEntry) -> Response:
    return json_response(entry_email.load_email(call.app, entry))


def _find_entry(call: Call, session: Session, entry_id: int) -> outbox_search.EntryView:
    found = outbox_search.get_entry(session, entry_id)
    if found is None or not call.client.can_see(found.entry.connection_id):
        raise NotFound(f"Outbox entry {entry_id} not found.")
    return found


def _check_entries(call: Call, session: Session, ids: Sequence[int]) -> None:
    """Check that the token may see every entry before any of them is changed."""
    for entry_id in ids:
        row = session.get(OutboxEntry, entry_id)
        if row is None or not call.client.can_see(row.connection_id):
            raise NotFound(f"Outbox entry {entry_id} not found.")


def _seen(body: bodies.OutboxEntriesRequest, if_match: str) -> dict[int, str]:
    """Return the versions that the caller read, by entry: those in the body, or of the only one in the header."""
    seen = {entry_id: body.etags[str(entry_id)] for entry_id in body.ids if str(entry_id) in body.etags}
    etag = parse_if_match(if_match)
    if etag and len(body.ids) != 1:
        raise ApiError(problems.INVALID, "If-Match is about one entry: name the versions of several in `etags`.")
    return {body.ids[0]: etag} if etag else seen


def _entry_states(rows: Sequence[OutboxEntry]) -> Response:
    return json_response([entry_status(row) for row in rows])
