"""Operations for tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlmodel import Session
from starlette.responses import Response

from connector.api import bodies, schemas
from connector.api.api_route import ApiRoute, ReadCall, WriteCall
from connector.api.bodies import Id
from connector.api.call import Call, ConnectionParam, PageParam, json_response
from connector.api.list_queries import ListFilters, list_parameters, list_query, list_response
from connector.arrangements import tasks
from connector.arrangements.task_list import TaskItem, find_tasks
from connector.arrangements.tasks import Contact, TaskStatus
from connector.db.engine import reading
from connector.db.tables import Task
from connector.errors import NotFound
from connector.services.lists import tasks as task_list
from connector.services.lists.engine import Key
from connector.services.lists.filters import ALL

router = APIRouter(route_class=ApiRoute, tags=["tasks"])


@router.get("/tasks", response_model=schemas.Page[TaskItem])
def list_tasks(
    call: ReadCall,
    page_query: PageParam,
    filters: Annotated[ListFilters, Depends(list_parameters(task_list.LISTING))],
    connection: ConnectionParam = "",
    include_closed: Annotated[bool, Query(description="Include completed and cancelled tasks.")] = False,  # noqa: FBT002 - as FastAPI asks
) -> Response:
    """List open tasks, newest first; without a state, `include_closed` lists all."""
    values = {"state": ALL if include_closed else "open", **filters.values}
    with reading(call.app.engine) as session:
        query = list_query(call, session, connection, values, filters.sort or "-id")
        return list_response(session, task_list.LISTING, page_query, query, _load_tasks)


def _load_tasks(session: Session, keys: Sequence[Key]) -> Mapping[Key, object]:
    return {(row.id,): row for row in find_tasks(session, ids=[key[0] for key in keys])}


@router.post("/tasks/{task}/outcome", response_model=TaskStatus)
def record_outcome(call: WriteCall, task: Id, body: bodies.TaskOutcomeRequest) -> Response:
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
def complete_tasks(call: WriteCall, body: bodies.CompleteTasksRequest) -> Response:
    """Mark tasks as completed."""
    _check_tasks(call, body.ids)
    return json_response(tasks.complete(call.app, body.ids, by=call.actor, note=body.note))


@router.post("/tasks/assign", status_code=204, response_class=Response)
def assign_tasks(call: WriteCall, body: bodies.AssignTasksRequest) -> Response:
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
