"""Operations on tasks: who has to do what by when, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from connector.database import reading
from connector.people import tasks
from connector.tables import Task
from connector.web.api import shapes
from connector.web.api.call import Asked, Call, Within, listed, reply
from connector.web.api.gate import Act, Gate, Read
from connector.web.api.shapes.parts_of_lists import Id
from connector.web.visit import NotHere

router = APIRouter(route_class=Gate, tags=["tasks"])


@router.get("/tasks", response_model=shapes.Page[shapes.Task])
def list_tasks(
    call: Read,
    asked: Asked,
    connection: Within = "",
    owner: Annotated[str, Query(max_length=200, description="A part of a name or address.")] = "",
    every: Annotated[bool, Query(description="Those that are over, too.")] = False,  # noqa: FBT002 - as FastAPI asks
) -> Response:
    """List what is to be done, newest first."""
    with reading(call.installation.engine) as session:
        part = asked.part(call.within(session, connection), int)
        states = tasks.STATES if every else ("open",)
        return listed(tasks.listing(session, states=states, owner=owner, part=part), asked, lambda row: [row["id"]])


@router.post("/tasks/{task}/outcome", response_model=shapes.TaskNow)
def record_outcome(call: Act, task: Id, body: shapes.OfTask) -> Response:
    """Record what came of a task; what the customer said counts from the next run on."""
    _all_seen(call, [task])
    outcome = tasks.Outcome(
        note=body.note,
        promised_on=body.promised_on,
        disputed=body.disputed,
        paused_until_on=body.paused_until_on,
        again_on=body.again_on,
        contact=(body.contact.name, body.contact.email) if body.contact else None,
        no_reminders=body.no_reminders,
        invoices=tuple(body.invoices),
    )
    return reply(tasks.record(call.installation, task, outcome, by=call.by))


@router.post("/tasks/done", response_model=list[shapes.TaskNow])
def end_tasks(call: Act, body: shapes.OfTasks) -> Response:
    """Say that tasks are done."""
    _all_seen(call, body.ids)
    return reply(tasks.done(call.installation, body.ids, by=call.by, note=body.note))


@router.post("/tasks/assign", status_code=204, response_class=Response)
def assign_tasks(call: Act, body: shapes.OfOwner) -> Response:
    """Give tasks to somebody else."""
    _all_seen(call, body.ids)
    tasks.assign(call.installation, body.ids, body.to, by=call.by)
    return Response(status_code=204)


def _all_seen(call: Call, ids: Sequence[int]) -> None:
    """Find every task among this program's before anything is done to one."""
    with reading(call.installation.engine) as session:
        for task_id in ids:
            row = session.get(Task, task_id)
            if row is None or not call.program.sees(row.connection_id):
                raise NotHere(f"There is no task {task_id}.")
