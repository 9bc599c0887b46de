"""What would go out, when and why: the policy asked about today and the coming days; nothing is sent, nothing stored.

Each planned step counts as done before the next day is asked about, and the books are taken not to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session

from connector import policy_store
from connector.app_context import AppContext
from connector.connections.registry import find_connection, list_connected
from connector.db.engine import reading
from connector.db.tables import Connection
from connector.geo import HolidayCalendar
from connector.sync.mirror.pages import load_statements
from policies.decide import decide
from policies.decisions import Action, ChargeLateFee, CreateTask, CustomerDecision, NotifyOwner, SendReminder
from policies.policy import ReminderPolicy
from policies.receivables import PastAction, Statement, Step

_SIMULATED_TIME = time(10, 0)  # on the coming days: within everybody's window in the company's own time zone
_KINDS: dict[type[Action], str] = {
    SendReminder: "email",
    NotifyOwner: "owner_email",
    CreateTask: "task",
    ChargeLateFee: "late_fee",
}


ProgressCallback = Callable[
    [str, int], None
]  # is told how many customers of a company, by its short name, were looked at


def ignore_progress(company: str, customers: int) -> None:
    """Show nobody how far it has come."""


def list_upcoming(
    app: AppContext,
    connection_id: int | None,
    days: int,
    *,
    policy: ReminderPolicy | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> list[dict[str, Any]]:
    """List what would go out today and in the coming ``days``, under the policy in force or another."""
    with reading(app.engine) as session:
        rows = list_connected(session) if connection_id is None else [find_connection(session, connection_id)]
        items = [item for row in rows for item in _company_upcoming(session, row, app.now(), days, policy, on_progress)]
    return sorted(items, key=lambda item: (item["at"], item["connection"], item["customer"], item["kind"]))


def _company_upcoming(
    session: Session,
    row: Connection,
    now: datetime,
    days: int,
    policy: ReminderPolicy | None,
    on_progress: ProgressCallback,
) -> Iterator[dict[str, Any]]:
    in_force = policy_store.get_active_policy(session, row.id or 0)
    moments = _simulated_instants(now, ZoneInfo(row.time_zone), days)
    for count, statements in enumerate(load_statements(session, row, now=now), start=1):
        on_progress(row.short_name, count)
        followed = policy or in_force.for_customer(statements[0].customer.id)[0]
        yield from _simulate_customer(row, statements, followed, moments)


def list_customer_upcoming(
    session: Session, row: Connection, customer_id: str, now: datetime, days: int
) -> list[dict[str, Any]]:
    """List what would happen for one customer under the policy in force, today and in the coming days."""
    policy = policy_store.get_active_policy(session, row.id or 0).for_customer(customer_id)[0]
    moments = _simulated_instants(now, ZoneInfo(row.time_zone), days)
    found = load_statements(session, row, now=now, customer_ids=[customer_id])
    return [item for statements in found for item in _simulate_customer(row, statements, policy, moments)]


def _simulate_customer(
    row: Connection, statements: tuple[Statement, ...], policy: ReminderPolicy, instants: Sequence[datetime]
) -> Iterator[dict[str, Any]]:
    zone, calendar, nothing_before = ZoneInfo(row.time_zone), HolidayCalendar(), date.min
    for moment in instants:
        today = moment.astimezone(zone).date()
        if today < nothing_before:
            continue
        statements = tuple(replace(statement, synced_at=moment) for statement in statements)
        decision = decide(statements, policy, moment, calendar)
        for action in decision.actions:
            yield _as_item(row, statements, action, moment, zone)
        if decision.actions:
            past_actions = tuple(deed for action in decision.actions for deed in _past_actions(action, moment, zone))
            statements = tuple(replace(each, past_actions=each.past_actions + past_actions) for each in statements)
        else:
            nothing_before = _next_possible_date(decision)


def _next_possible_date(decision: CustomerDecision) -> date:
    """The first day on which something may happen, as far as every answer names one; else tomorrow has to be asked."""
    days = [answer.next_on for answer in decision.invoice_decisions]
    return min((day for day in days if day is not None), default=date.max) if all(days) else date.min


def _simulated_instants(now: datetime, zone: ZoneInfo, days: int) -> list[datetime]:
    today = now.astimezone(zone).date()
    coming = (datetime.combine(today + timedelta(days=ahead), _SIMULATED_TIME, zone) for ahead in range(1, days + 1))
    return [now, *coming]


def _past_actions(action: Action, now: datetime, zone: ZoneInfo) -> Iterator[PastAction]:
    """What would stand in the mirror had the action been done."""
    at = getattr(action, "send_after", None) or now
    on = at.astimezone(zone).date()
    if isinstance(action, SendReminder | NotifyOwner):
        contact = isinstance(action, SendReminder)
        for invoice_id, step in action.completed:
            yield PastAction(
                step, invoice_id, at, on, email_key=f"{action.customer_id}:{at.isoformat()}", is_contact=contact
            )
    elif isinstance(action, CreateTask):
        for invoice_id in action.invoice_ids if action.step else ():
            yield PastAction(
                action.step or Step.CALL, invoice_id, at, on, is_contact=False, recurrence_key=action.recurrence_key
            )
    else:
        yield PastAction(Step.LATE_FEE, action.invoice_id, at, on, is_contact=False)


def _as_item(
    row: Connection, statements: Sequence[Statement], action: Action, now: datetime, zone: ZoneInfo
) -> dict[str, Any]:
    invoices = {invoice.id: invoice for statement in statements for invoice in statement.invoices}
    at = getattr(action, "send_after", None) or now
    concerned = _invoice_ids(action)
    kind, step = _KINDS[type(action)], _step(action)
    return {
        "id": ":".join(
            [str(row.id), kind, action.customer_id, step, at.astimezone(zone).date().isoformat(), *concerned[:1]]
        ),
        "connection": row.short_name,
        "mode": row.mode,
        "at": at,
        "on": at.astimezone(zone).date(),
        "kind": kind,
        "step": step,
        "customer_id": action.customer_id,
        "customer": statements[0].customer.name,
        "invoices": [invoices[each].number for each in concerned if each in invoices],
        "currency": getattr(action, "currency", ""),
        "amount": _amount(action, invoices, concerned),
        "reason": action.reason,
    }


def _amount(action: Action, invoices: Any, invoice_ids: Sequence[str]) -> str:
    if isinstance(action, ChargeLateFee):
        return str(action.amount)
    if isinstance(action, CreateTask):
        return ""
    return str(sum((invoices[each].due for each in invoice_ids if each in invoices), Decimal()))


def _invoice_ids(action: Action) -> list[str]:
    if isinstance(action, SendReminder):
        return list(action.listed)
    if isinstance(action, NotifyOwner):
        return [invoice_id for invoice_id, _ in action.completed]
    return list(action.invoice_ids) if isinstance(action, CreateTask) else [action.invoice_id]


def _step(action: Action) -> str:
    if isinstance(action, SendReminder):
        return action.step.value
    if isinstance(action, CreateTask):
        return action.step.value if action.step else action.code
    return Step.NOTIFY_OWNER.value if isinstance(action, NotifyOwner) else Step.LATE_FEE.value
