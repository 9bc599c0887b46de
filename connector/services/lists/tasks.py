"""The list of tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, select
from sqlmodel import Session, col

from connector.db.tables import Connection, CustomerRow, Task
from connector.services.lists import joins
from connector.services.lists.engine import Key, Listing, Sort, ValueKind
from connector.services.lists.filters import Filter, FilterKind
from connector.vocabulary import TaskCode, TaskState
from connector.vocabulary.labels import vocabularies
from policies.receivables import Step

_COMPANY, _ID, _STATE, _DUE_ON = col(Task.connection_id), col(Task.id), col(Task.state), col(Task.due_on)
_NAMES = vocabularies()
_STATES: dict[str, Any] = {
    "open": lambda _today: _STATE == TaskState.OPEN,
    "overdue": lambda today: and_(_STATE == TaskState.OPEN, today.compare(lambda on: on > _DUE_ON)),
    "done": lambda _today: _STATE == TaskState.DONE,
    "cancelled": lambda _today: _STATE == TaskState.CANCELLED,
}
STATES = {**{each.value: _NAMES["task_state"][each] for each in TaskState}, "overdue": "Overdue"}

LISTING = Listing(
    name="tasks",
    table=Task,
    company=_COMPANY,
    key=(_ID,),
    sorts={
        "id": Sort(),
        "due_on": Sort(_DUE_ON, ValueKind.DATE),
        "kind": Sort(col(Task.code)),
        "company": Sort(joins.COMPANY_NAME, needs=(joins.COMPANY,)),
        "customer": Sort(joins.CUSTOMER_NAME, needs=(joins.CUSTOMER,)),
        "owner": Sort(col(Task.owner)),
    },
    default_sort="due_on",
    filters=(
        Filter("state", "State", FilterKind.CHOICE, joins.one_of(_STATES), STATES, "open"),
        joins.customer_filter(),
        joins.owner_filter(col(Task.owner)),
        joins.segment_filter(_COMPANY, col(Task.customer_id)),
        Filter(
            "kind", "Task", FilterKind.CHOICE, joins.equals(col(Task.code), TaskCode),
            {each.value: _NAMES["task_code"][each] for each in TaskCode},
        ),
        Filter(
            "step", "Step", FilterKind.CHOICE, joins.equals(col(Task.step)),
            {each.value: _NAMES["step"][each] for each in Step},
        ),
        *joins.date_filters(_DUE_ON, "due", "Due"),
    ),
    joins=joins.joins_of(_COMPANY, col(Task.customer_id)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task as the list shows it."""

    task: Task
    company: Connection
    customer: str

    @property
    def version(self) -> str:
        """What a user read before working on it."""
        return task_version(self.task)


def task_version(task: Task) -> str:
    """Return the version of a task that a list shows."""
    read = f"{task.state} {task.due_on} {task.owner} {task.reason} {task.outcome}"
    return hashlib.sha256(read.encode()).hexdigest()[:10]


def load_lines(session: Session, keys: Sequence[Key]) -> list[TaskLine]:
    """Return the tasks with these keys, in their order."""
    ids = [key[0] for key in keys]
    query: Any = select(Task, Connection, col(CustomerRow.name)).join(Connection, col(Connection.id) == _COMPANY)
    query = LISTING.joins[joins.CUSTOMER](query).where(_ID.in_(ids))
    found = {task.id: TaskLine(task, company, name or "") for task, company, name in session.execute(query)}
    return [found[each] for each in ids if each in found]
