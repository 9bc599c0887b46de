"""Tasks about emails that were not delivered: they end once a later email has reached the customer."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.tables import CustomerRow, CustomerSetting, EmailEvent, OutboxEntry, Task
from connector.emails.inbound.refusals import REACHED_LATER
from connector.outbox.payloads import EmailPayload, payload_as
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind, OutboxKind, OutboxState, TaskCode, TaskState
from providers.addresses import parse_addresses
from providers.delivery_events import EventKind

_REFUSED_WITHIN = timedelta(days=1)  # where no event says that an email was delivered, nobody has refused it by then
_DELIVERY_FAILURES = {EventKind.BLOCKED, EventKind.BOUNCE, EventKind.DROPPED}  # complaints are about more than that


def cancel_reached(ctx: RunContext, session: Session) -> None:
    """Cancel the tasks about an address that a later email has reached, or that a reached one has replaced."""
    query = select(Task).where(
        col(Task.connection_id) == ctx.connection_id,
        col(Task.code) == TaskCode.UNDELIVERED,
        col(Task.state) == TaskState.OPEN,
    )
    for task in session.scalars(query):
        kind, address = _failure_of(task)
        if kind not in _DELIVERY_FAILURES or not _is_reached(ctx, session, task, address):
            continue
        task.state, task.ended_at, task.outcome = TaskState.CANCELLED, ctx.now(), REACHED_LATER
        text = f"Task {task.id} was cancelled: {REACHED_LATER}."
        ctx.log(session, LogKind.TASK_OUTCOME, text, customer_id=task.customer_id, facts={"task": task.id})


def _failure_of(task: Task) -> tuple[str, str]:
    """Return the kind of failure and the address that a task is about, which its key names before the period."""
    recurrence_key = task.key.partition(f":task:{task.code}:{task.customer_id}:")[2]
    kind, _, rest = recurrence_key.partition(":")
    return kind, rest.rpartition(":")[0].lower()


def _is_reached(ctx: RunContext, session: Session, task: Task, address: str) -> bool:
    later = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == ctx.connection_id,
        col(OutboxEntry.customer_id) == task.customer_id,
        col(OutboxEntry.kind) == OutboxKind.EMAIL,
        col(OutboxEntry.state) == OutboxState.DONE,
        col(OutboxEntry.refusal) == "",
        col(OutboxEntry.dispatched_at) > task.created_at,
    )
    is_replaced = address not in _current_addresses(session, ctx.connection_id, task.customer_id)
    return any(
        (is_replaced or address in _recipients(entry)) and _was_delivered(ctx, session, entry, address)
        for entry in session.scalars(later)
    )


def _was_delivered(ctx: RunContext, session: Session, entry: OutboxEntry, address: str) -> bool:
    """Return whether an email arrived, as an event says or as nobody has refused it for a day."""
    events = session.execute(
        select(col(EmailEvent.kind), col(EmailEvent.refusal), col(EmailEvent.address)).where(
            col(EmailEvent.key) == entry.key
        )
    ).all()
    if any(event.refusal and event.address.lower() == address for event in events):
        return False
    is_old = entry.dispatched_at is not None and entry.dispatched_at <= ctx.now() - _REFUSED_WITHIN
    return is_old or any(event.kind == EventKind.DELIVERED for event in events)


def _recipients(entry: OutboxEntry) -> set[str]:
    payload = payload_as(EmailPayload, entry)
    return {each.lower() for each in (*payload.to, *payload.cc)}


def _current_addresses(session: Session, connection_id: int, customer_id: str) -> set[str]:
    customer = session.get(CustomerRow, (connection_id, customer_id))
    setting = session.get(CustomerSetting, (connection_id, customer_id))
    found = (setting.emails if setting else "") or (customer.emails if customer else "")
    return {each.lower() for each in parse_addresses(found).valid}
