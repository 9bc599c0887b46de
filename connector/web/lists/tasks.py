"""The page of tasks, completed and assigned many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlmodel import Session

from connector.errors import NotPossible
from connector.geo import today_in
from connector.services.lists import bulk
from connector.services.lists import tasks as listed
from connector.services.lists.bulk import Actor, BulkResult, SeenRow
from connector.services.lists.engine import Key
from connector.vocabulary import TaskState
from connector.vocabulary.labels import in_sentence, label
from connector.web.lists.customers import ASSIGNEE, parse_owner
from connector.web.lists.page import list_routes
from connector.web.lists.view import Action, Cell, Column, Field, ListView, Narrow, Row
from connector.web.page_request import PageRequest, entity_url
from connector.web.rendering import format_date


def load_rows(request: PageRequest, session: Session, keys: Sequence[Key]) -> list[Row]:
    """Return the rows of some tasks."""
    return [
        _row(line, is_late=line.task.due_on < today_in(line.company.time_zone, request.now))
        for line in listed.load_lines(session, keys)
    ]


def _row(line: listed.TaskLine, *, is_late: bool) -> Row:
    task = line.task
    name = label(task.step or task.code, "task_code")
    state = label(task.state, "task_state")
    customer = Cell(line.customer, entity_url(task.connection_id, "customers", task.customer_id))
    is_open = task.state == TaskState.OPEN
    return Row(
        key=(task.id,),
        version=line.version,
        title=f"{in_sentence(name)}: {line.customer or line.company.name}",
        cells=(
            Cell(format_date(task.due_on), note="" if not is_open else "overdue" if is_late else ""),
            Cell(line.company.name),
            Cell(name, f"/tasks/{task.id}", "" if is_open else state),
            customer if line.customer else Cell("–"),
            Cell(task.owner or "–"),
            Cell(task.reason, note=task.outcome),
        ),
        exported=(
            *(task.id, task.due_on, line.company.name, name, line.customer, task.owner, task.reason, state),
            task.outcome,
        ),
    )


def _complete(request: PageRequest, rows: Sequence[SeenRow], actor: Actor) -> BulkResult:
    note = request.form_value("note")
    if not note:
        raise NotPossible("Enter the outcome: what came of these tasks.")
    return bulk.complete_tasks(request.app, rows, actor, note)


def _assign(request: PageRequest, rows: Sequence[SeenRow], actor: Actor) -> BulkResult:
    return bulk.assign_tasks(request.app, rows, actor, parse_owner(request))


_ACTIONS = (
    Action("complete", "Mark as completed", _complete, "bulk_completed", "completed", (Field("note", "Outcome"),)),
    Action("assign", "Assign", _assign, "bulk_assigned", "assigned", (ASSIGNEE,)),
)


def _actions(values: Mapping[str, str]) -> tuple[Action, ...]:
    return _ACTIONS if values["state"] in {"open", "overdue"} else ()


VIEW = ListView(
    path="/tasks",
    title="Tasks",
    singular="task",
    plural="tasks",
    listing=listed.LISTING,
    columns=(
        Column("Due date", "due_on"),
        Column("Company", "company", is_company=True),
        Column("Task", "kind", narrow=Narrow.SIDE),
        Column("Customer", "customer", narrow=Narrow.SECOND),
        Column("Assigned to", "owner"),
        Column("Reason"),
    ),
    load=load_rows,
    csv_headings=("id", "due on", "company", "task", "customer", "assigned to", "reason", "state", "outcome"),
    empty="No open tasks.",
    actions=_actions,
    prominent=("state", "search", "owner"),
)
ROUTES = list_routes(VIEW)
