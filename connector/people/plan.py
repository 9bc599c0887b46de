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

from connector import policies_store
from connector.access.connections import connected, find_connection
from connector.database import reading
from connector.installation import Installation
from connector.mirror.pages import customers_facts
from connector.mirror.places import HolidayCalendar
from connector.tables import Connection
from policies.decide import decide
from policies.decisions import Action, ChargeLateFee, Decision, MakeTask, SendReminder, TellOwner
from policies.policy import ReminderPolicy
from policies.receivables import Deed, Statement, Step

_ASKED_AT = time(10, 0)  # on the coming days: within everybody's window in the company's own time zone
_KINDS: dict[type[Action], str] = {
    SendReminder: "mail",
    TellOwner: "owner_mail",
    MakeTask: "task",
    ChargeLateFee: "late_fee",
}


Watch = Callable[[str, int], None]  # is told how many customers of a company, by its short name, were looked at


def unwatched(company: str, customers: int) -> None:
    """Show nobody how far it has come."""


def plan(
    installation: Installation,
    connection_id: int | None,
    days: int,
    *,
    policy: ReminderPolicy | None = None,
    watch: Watch = unwatched,
) -> list[dict[str, Any]]:
    """List what would go out today and in the coming ``days``, under the policy in force or another."""
    with reading(installation.engine) as session:
        rows = connected(session) if connection_id is None else [find_connection(session, connection_id)]
        items = [item for row in rows for item in _plan_one(session, row, installation.now(), days, policy, watch)]
    return sorted(items, key=lambda item: (item["at"], item["connection"], item["customer"], item["kind"]))


def _plan_one(
    session: Session, row: Connection, now: datetime, days: int, policy: ReminderPolicy | None, watch: Watch
) -> Iterator[dict[str, Any]]:
    in_force = policies_store.in_force(session, row.id or 0)
    moments = _moments(now, ZoneInfo(row.time_zone), days)
    for count, statements in enumerate(customers_facts(session, row, now=now), start=1):
        watch(row.short_name, count)
        followed = policy or in_force.of(statements[0].customer.id)[0]
        yield from _plan_customer(row, statements, followed, moments)


def coming(session: Session, row: Connection, customer_id: str, now: datetime, days: int) -> list[dict[str, Any]]:
    """List what would happen for one customer under the policy in force, today and in the coming days."""
    policy = policies_store.in_force(session, row.id or 0).of(customer_id)[0]
    moments = _moments(now, ZoneInfo(row.time_zone), days)
    found = customers_facts(session, row, now=now, customer_ids=[customer_id])
    return [item for statements in found for item in _plan_customer(row, statements, policy, moments)]


def _plan_customer(
    row: Connection, statements: tuple[Statement, ...], policy: ReminderPolicy, moments: Sequence[datetime]
) -> Iterator[dict[str, Any]]:
    zone, calendar, nothing_before = ZoneInfo(row.time_zone), HolidayCalendar(), date.min
    for moment in moments:
        today = moment.astimezone(zone).date()
        if today < nothing_before:
            continue
        statements = tuple(replace(statement, pulled_at=moment) for statement in statements)
        decision = decide(statements, policy, moment, calendar)
        for action in decision.actions:
            yield _item(row, statements, action, moment, zone)
        if decision.actions:
            deeds = tuple(deed for action in decision.actions for deed in _deeds(action, moment, zone))
            statements = tuple(replace(each, deeds=each.deeds + deeds) for each in statements)
        else:
            nothing_before = _next_on(decision)


def _next_on(decision: Decision) -> date:
    """The first day on which something may happen, as far as every answer names one; else tomorrow has to be asked."""
    days = [answer.next_on for answer in decision.answers]
    return min((day for day in days if day is not None), default=date.max) if all(days) else date.min


def _moments(now: datetime, zone: ZoneInfo, days: int) -> list[datetime]:
    today = now.astimezone(zone).date()
    coming = (datetime.combine(today + timedelta(days=ahead), _ASKED_AT, zone) for ahead in range(1, days + 1))
    return [now, *coming]


def _deeds(action: Action, moment: datetime, zone: ZoneInfo) -> Iterator[Deed]:
    """What would stand in the mirror had the action been done."""
    at = getattr(action, "leaves_from_at", None) or moment
    on = at.astimezone(zone).date()
    if isinstance(action, SendReminder | TellOwner):
        contact = isinstance(action, SendReminder)
        for invoice_id, step in action.taken:
            yield Deed(step, invoice_id, at, on, mail_key=f"{action.customer_id}:{at.isoformat()}", contact=contact)
    elif isinstance(action, MakeTask):
        for invoice_id in action.invoice_ids if action.step else ():
            yield Deed(action.step or Step.CALL, invoice_id, at, on, contact=False, occasion=action.occasion)
    else:
        yield Deed(Step.LATE_FEE, action.invoice_id, at, on, contact=False)


def _item(
    row: Connection, statements: Sequence[Statement], action: Action, moment: datetime, zone: ZoneInfo
) -> dict[str, Any]:
    invoices = {invoice.id: invoice for statement in statements for invoice in statement.invoices}
    at = getattr(action, "leaves_from_at", None) or moment
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
        "why": action.why,
    }


def _amount(action: Action, invoices: Any, concerned: Sequence[str]) -> str:
    if isinstance(action, ChargeLateFee):
        return str(action.amount)
    if isinstance(action, MakeTask):
        return ""
    return str(sum((invoices[each].due for each in concerned if each in invoices), Decimal()))


def _invoice_ids(action: Action) -> list[str]:
    if isinstance(action, SendReminder):
        return list(action.listed)
    if isinstance(action, TellOwner):
        return [invoice_id for invoice_id, _ in action.taken]
    return list(action.invoice_ids) if isinstance(action, MakeTask) else [action.invoice_id]


def _step(action: Action) -> str:
    if isinstance(action, SendReminder):
        return action.step.value
    if isinstance(action, MakeTask):
        return action.step.value if action.step else action.code
    return Step.TELL_OWNER.value if isinstance(action, TellOwner) else Step.LATE_FEE.value
