"""Operations for tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from connector.api import schemas
from connector.api.api_route import ApiRoute, ReadCall, WriteCall
from connector.api.call import Call, ConnectionParam, PageParam, json_response, page_response
from connector.api.schemas import Id
from connector.arrangements import tasks
from connector.arrangements.tasks import Contact, TaskItem, TaskStatus
from connector.db.engine import reading
from connector.db.tables import Task
from connector.errors import NotFound
from connector.vocabulary import TaskState

router = APIRouter(route_class=ApiRoute, tags=["tasks"])


@router.get("/tasks", response_model=schemas.Page[TaskItem])
def list_tasks(
    call: ReadCall,
    page_query: PageParam,
    connection: ConnectionParam = "",
    owner: Annotated[str, Query(max_length=200, description="Part of the owner's name or address.")] = "",
    include_closed: Annotated[bool, Query(description="Include completed and cancelled tasks.")] = False,  # noqa: FBT002 - as FastAPI asks
) -> Response:
    """List tasks, newest first."""
    with reading(call.app.engine) as session:
        part = page_query.for_companies(call.connection_ids(session, connection), int)
        states = tuple(TaskState) if include_closed else (TaskState.OPEN,)
        return page_response(
            tasks.find_tasks(session, states=states, owner=owner, page=part), page_query, lambda row: [row.id]
        )


@router.post("/tasks/{task}/outcome", response_model=TaskStatus)
def record_outcome(call: WriteCall, task: Id, body: schemas.TaskOutcomeRequest) -> Response:
    """Record the outcome of a task; promises, disputes and pauses apply from the next sync."""
    _check_tasks(call, [task])
    outcome = tasks.TaskOutcome(
        note=body.note,
        promised_on=body.promised_on,
        promised_amount=body.promised_amount,
        disputed=body.disputed,
        paused_until_on=body.paused_until_on,
        retry_on=body.retry_on,
        contact=Contact(body.contact.name, body.contact.email) if body.contact else None,
        no_reminders=body.no_reminders,
        invoices=tuple(body.invoices),
    )
    return json_response(tasks.record_task_outcome(call.app, task, outcome, by=call.actor))


@router.post("/tasks/done", response_model=list[TaskStatus])
def complete_tasks(call: WriteCall, body: schemas.CompleteTasksRequest) -> Response:
    """Mark tasks as completed."""
    _check_tasks(call, body.ids)
    return json_response(tasks.complete(call.app, body.ids, by=call.actor, note=body.note))


@router.post("/tasks/assign", status_code=204, response_class=Response)
def assign_tasks(call: WriteCall, body: schemas.AssignTasksRequest) -> Response:
    """Assign tasks to another person."""
    _check_tasks(call, body.ids)
    tasks.reassign(call.app, body.ids, body.to, by=call.actor)
    return Response(status_code=204)


def _check_tasks(call: Call, ids: Sequence[int]) -> None:
    """Check that the token may see every task before any of them is changed."""
    with reading(call.app.engine) as session:
        for task_id in ids:
            row = session.get(Task, task_id)
            if row is None or not call.client.can_see(row.connection_id):
                raise NotFound(f"Task {task_id} not found.")
