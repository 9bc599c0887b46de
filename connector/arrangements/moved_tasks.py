"""Open tasks follow the customer who is written to, when customers are merged, or invoices or families change.

A customer has one call, whatever it is about. A task about invoices of two customers by now is taken back: the next
decisions create one for each of them.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from connector.audit import sync_log
from connector.db.tables import CompletedStep, InvoiceRow, Task
from connector.sync.mirror.families import Families, load_families
from connector.vocabulary import LogKind, TaskCode, TaskState
from connector.vocabulary.tasks import CALL_CODES
from policies.decisions import CreateTask
from policies.receivables import Step

_REASON_LENGTH_MAX = 2000
_IDS_PER_QUERY = 500
_MONEY_CODES = frozenset({TaskCode.APPLY_CREDIT, TaskCode.PROPOSE_WAIVER, TaskCode.UNPAID_FEE})
_OF_TWO_CUSTOMERS = "its invoices belong to different customers now"


def follow_customers(session: Session, connection_id: int, *, at: datetime, run_id: int | None = None) -> None:
    """Move the policy's open tasks to the customer who is written to about their invoices by now."""
    query = select(Task).where(col(Task.connection_id) == connection_id, col(Task.state) == TaskState.OPEN)
    tasks = [
        task
        for task in session.scalars(query.order_by(col(Task.id)))
        if task.invoice_ids and (task.step or task.code in _MONEY_CODES)
    ]
    owners = _load_owners(session, connection_id, {each for task in tasks for each in task.invoice_ids})
    families = load_families(session, connection_id) if tasks else Families(())
    for task in tasks:
        payers = families.payers({owners[each] for each in task.invoice_ids if each in owners})
        if len(payers) == 1:
            task.customer_id = payers.pop()
        elif payers:
            _take_back(session, task, at, run_id)
    _join_calls(session, [task for task in tasks if task.state == TaskState.OPEN], at, run_id)


def join_call(call: Task, task: CreateTask) -> None:
    """Add what another call is about to an open one, which becomes the more serious of the two.

    What the open call says about the same invoices is out of date, and goes.
    """
    says_more = not set(call.invoice_ids) <= set(task.invoice_ids)
    call.invoice_ids = list(dict.fromkeys([*call.invoice_ids, *task.invoice_ids]))
    call.due_on = min(call.due_on, task.due_on)
    if task.code == TaskCode.ESCALATION_CALL:
        call.code, call.step = TaskCode(task.code), task.step or ""
    call.reason = f"{task.reason} {call.reason if says_more else ''}".strip()[:_REASON_LENGTH_MAX]


def _load_owners(session: Session, connection_id: int, invoice_ids: Collection[str]) -> dict[str, str]:
    """Return whose each open invoice is."""
    ids, found = sorted(invoice_ids), dict[str, str]()
    for start in range(0, len(ids), _IDS_PER_QUERY):
        query = select(col(InvoiceRow.external_id), col(InvoiceRow.customer_id)).where(
            col(InvoiceRow.connection_id) == connection_id,
            col(InvoiceRow.external_id).in_(ids[start : start + _IDS_PER_QUERY]),
            col(InvoiceRow.is_open),
        )
        found.update({row.external_id: row.customer_id for row in session.execute(query)})
    return found


def _take_back(session: Session, task: Task, at: datetime, run_id: int | None) -> None:
    """Cancel a task and take back its steps; its key is free for the one that is created in its place."""
    session.execute(delete(CompletedStep).where(col(CompletedStep.task_id) == task.id))
    task.key += f":until {at.isoformat()}"
    _cancel(session, task, _OF_TWO_CUSTOMERS, at, run_id)


def _join_calls(session: Session, tasks: Collection[Task], at: datetime, run_id: int | None) -> None:
    calls: dict[str, Task] = {}
    for task in tasks:
        if task.code not in CALL_CODES:
            continue
        call = calls.setdefault(task.customer_id, task)
        if call is task:
            continue
        step = Step(task.step) if task.step else None
        about = tuple(task.invoice_ids)
        join_call(call, CreateTask(task.customer_id, step, task.code, about, task.due_on, task.reason))
        call.outcome = "; ".join(filter(None, [call.outcome, task.outcome]))
        session.execute(update(CompletedStep).where(col(CompletedStep.task_id) == task.id).values(task_id=call.id))
        _cancel(session, task, f"it is part of task {call.id}: one call to the customer", at, run_id)


def _cancel(session: Session, task: Task, outcome: str, at: datetime, run_id: int | None) -> None:
    task.state, task.outcome, task.ended_at = TaskState.CANCELLED, outcome, at
    sync_log.write(
        session,
        at=at,
        kind=LogKind.TASK_OUTCOME,
        text=f"Task {task.id} was cancelled: {outcome}.",
        connection_id=task.connection_id,
        run_id=run_id,
        customer_id=task.customer_id,
        facts={"task": task.id},
    )
