"""Operations on what leaves: the outbox, and late fees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlmodel import Session
from starlette.responses import Response

from connector.database import reading, writing
from connector.people import approvals, fees, outbox_search, preview, wording
from connector.tables import OutboxEntry
from connector.web.api import shapes
from connector.web.api.call import Asked, Call, Within, listed, reply
from connector.web.api.gate import Act, Gate, Read
from connector.web.api.shapes.parts_of_lists import Id
from connector.web.visit import NotHere

router = APIRouter(route_class=Gate)
States = Annotated[list[shapes.State], Query(description="Only these.")]


@router.get("/outbox", tags=["outbox"], response_model=shapes.Page[shapes.Entry])
def list_outbox(call: Read, asked: Asked, connection: Within = "", state: States = []) -> Response:  # noqa: B006
    """List the entries of the outbox, newest first."""
    with reading(call.installation.engine) as session:
        part = asked.part(call.within(session, connection), int)
        return listed(outbox_search.listing(session, None, state or None, part=part), asked, lambda row: [row["id"]])


@router.get("/outbox/{entry}", tags=["outbox"], response_model=shapes.Entry)
def get_entry(call: Read, entry: Id) -> Response:
    """Show one entry."""
    with reading(call.installation.engine) as session:
        found = _found(call, session, entry)
        return reply(outbox_search.as_dict(found.entry, found.company.short_name, found.customer))


@router.get("/outbox/{entry}/mail", tags=["outbox"], response_model=shapes.Letter)
def get_mail(call: Read, entry: Id) -> Response:
    """Write a planned mail as the customer would read it now; nothing is sent."""
    with reading(call.installation.engine) as session:
        found = _found(call, session, entry).entry
    if found.kind not in {"mail", "owner_mail"}:
        raise NotHere("This entry is no mail.")
    return _letter(call, found)


@router.patch("/outbox/{entry}/mail", tags=["outbox"], response_model=shapes.Letter)
def reword_mail(call: Act, entry: Id, body: shapes.OfWords) -> Response:
    """Give a planned mail to a customer words of your own; it then waits for an approval."""
    with reading(call.installation.engine) as session:
        _found(call, session, entry)
    lines = {name: value for name, value in body.model_dump(exclude={"seen"}).items() if value is not None}
    wording.reword(call.installation, entry, lines, by=call.by, seen=body.seen)
    with reading(call.installation.engine) as session:
        return _letter(call, _found(call, session, entry).entry)


@router.post("/outbox/approve", tags=["outbox"], response_model=list[shapes.Settled])
def approve_entries(call: Act, body: shapes.OfEntries) -> Response:
    """Let waiting entries leave with the next run."""
    with writing(call.installation.engine) as session:
        _all_seen(call, session, body.ids, body.seen)
        return _settled(approvals.approve(session, body.ids, by=call.by, at=call.now))


@router.post("/outbox/reject", tags=["outbox"], response_model=list[shapes.Settled])
def reject_entries(call: Act, body: shapes.OfEntries) -> Response:
    """Keep entries from ever leaving."""
    with writing(call.installation.engine) as session:
        _all_seen(call, session, body.ids, body.seen)
        return _settled(approvals.reject(session, body.ids, by=call.by, at=call.now, why=body.why))


@router.post("/outbox/{entry}/resolve", tags=["outbox"], response_model=shapes.Settled)
def resolve_entry(call: Act, entry: Id, body: shapes.OfDoubt) -> Response:
    """Settle a doubt: say whether an effect with an unknown outcome happened."""
    with writing(call.installation.engine) as session:
        _all_seen(call, session, [entry])
        row = approvals.resolve(session, entry, sent=body.sent, by=call.by, at=call.now)
        return reply({"id": row.id, "state": row.state, "answer": row.answer})


@router.get("/fees", tags=["fees"], response_model=shapes.Page[shapes.Fee])
def list_fees(call: Read, asked: Asked, connection: Within = "") -> Response:
    """List late fees with their yearly rate, newest first."""
    with reading(call.installation.engine) as session:
        part = asked.part(call.within(session, connection), int)
        return listed(fees.listing(session, part=part), asked, lambda row: [row["id"]])


@router.post("/fees/approve", tags=["fees"], response_model=list[shapes.Settled])
def approve_fees(call: Act, body: shapes.OfEntries) -> Response:
    """Let draft fees be posted by the next run."""
    with writing(call.installation.engine) as session:
        _all_seen(call, session, body.ids, body.seen)
        return _settled(fees.approve(session, body.ids, by=call.by, at=call.now))


@router.post("/fees/waive", tags=["fees"], response_model=list[shapes.Fee])
def waive_fees(call: Act, body: shapes.OfEntries) -> Response:
    """Waive fees: the next run voids a posted one in the ledger, or credits it where money is on it."""
    with reading(call.installation.engine) as session:
        _all_seen(call, session, body.ids, body.seen)
    return reply(fees.waive(call.installation, body.ids, by=call.by, why=body.why))


def _letter(call: Call, entry: OutboxEntry) -> Response:
    mail = preview.letter(call.installation, entry)
    return reply({"to": list(mail.to), "subject": mail.subject, "text": mail.text, "html": mail.html})


def _found(call: Call, session: Session, entry_id: int) -> outbox_search.Shown:
    found = outbox_search.entry(session, entry_id)
    if found is None or not call.program.sees(found.entry.connection_id):
        raise NotHere(f"There is no outbox entry {entry_id}.")
    return found


def _all_seen(call: Call, session: Session, ids: Sequence[int], seen: Mapping[str, str] | None = None) -> None:
    """Find every entry among this program's, saying what it said, before anything is done to one."""
    for entry_id in ids:
        row = session.get(OutboxEntry, entry_id)
        if row is None or not call.program.sees(row.connection_id):
            raise NotHere(f"There is no outbox entry {entry_id}.")
        if (seen or {}).get(str(entry_id)) not in {None, approvals.looked_at(row)}:
            raise approvals.OutboxError(f"Outbox entry {entry_id} says something else by now. Look at it again.")


def _settled(rows: Sequence[Any]) -> Response:
    return reply([{"id": row.id, "state": row.state} for row in rows])
