"""Tries a policy before it touches a customer, and measures it after: back-test, difference, hold-out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlmodel import Session

from connector import policy_store
from connector.app_context import AppContext
from connector.connections.registry import find_connection, list_connected
from connector.db.engine import reading
from connector.db.tables import Connection, PolicyVersion
from connector.geo import HolidayCalendar
from connector.services.upcoming_actions import ProgressCallback, ignore_progress, list_upcoming
from connector.sync.mirror.statements import WHOLE_HISTORY_DAYS, load_statements
from policies.backtest import BacktestReport, ReplayedEmail, replay
from policies.control_group import PolicyEffect, build_group, compare_groups
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, Statement

DIFF_DAYS = 30


class Backtest(NamedTuple):
    """What a policy would have done in the books of one company."""

    connection: str
    report: BacktestReport
    names: dict[str, str]


def backtest(
    app: AppContext,
    connection_id: int | None,
    days: int,
    *,
    policy: ReminderPolicy | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> list[Backtest]:
    """Replay the policy in force, or another, over the last ``days`` of each company's own history."""
    with reading(app.engine) as session:
        rows = _connections(session, connection_id)
        return [_backtest(session, row, app.now(), days, policy, on_progress) for row in rows]


def _backtest(
    session: Session,
    row: Connection,
    now: datetime,
    days: int,
    policy: ReminderPolicy | None,
    on_progress: ProgressCallback,
) -> Backtest:
    here = ZoneInfo(row.time_zone)
    last_on = now.astimezone(here).date() - timedelta(days=1)
    first_on = last_on - timedelta(days=days - 1)
    began_at = datetime.combine(first_on, time(0), here)
    in_force = policy_store.get_active_policy(session, row.id or 0)
    whole, names = BacktestReport(), {}
    for count, statements in enumerate(_history(session, row, now), start=1):
        on_progress(row.short_name, count)
        customer = statements[0].customer
        names[customer.id] = customer.name
        then = [replace(each, live_since_at=began_at, last_payment_on=None) for each in statements]
        followed = policy or in_force.for_customer(customer.id)[0]
        report = replay([then], followed, first_on, last_on, HolidayCalendar())
        whole.emails += report.emails
        whole.fees += report.fees
        whole.tasks.update(report.tasks)
    whole.emails.sort(key=lambda mail: (mail.on, mail.customer_id))
    return Backtest(row.short_name, whole, names)


def email_item(backtest_result: Backtest, mail: ReplayedEmail) -> dict[str, Any]:
    """Show a mail that would have left."""
    return {
        "id": f"{backtest_result.connection}:{mail.customer_id}:{mail.on}:{mail.step}",
        "on": mail.on,
        "connection": backtest_result.connection,
        "customer": backtest_result.names.get(mail.customer_id, ""),
        "step": mail.step.value,
        "invoices": len(mail.invoice_ids),
        "currency": mail.currency,
        "paid_anyway": mail.paid_anyway,
    }


def diff_policy(
    app: AppContext,
    connection_id: int | None,
    proposed: ReminderPolicy,
    days: int = DIFF_DAYS,
    on_progress: ProgressCallback = ignore_progress,
) -> list[dict[str, Any]]:
    """List what a policy would alter in the coming days: what falls away (-), comes (+), or says other things (~).

    Without a connection it is for all that have no policy of their own, as it would be once it is set.
    """
    with reading(app.engine) as session:
        ids = policy_store.list_followers(session, connection_id)
    before = {item["id"]: item for each in ids for item in list_upcoming(app, each, days, on_progress=on_progress)}
    after = {
        item["id"]: item
        for each in ids
        for item in list_upcoming(app, each, days, policy=proposed, on_progress=on_progress)
    }
    changes = [{"change": "-", **before[each]} for each in before if each not in after]
    changes += [{"change": "+", **after[each]} for each in after if each not in before]
    changes += [
        {"change": "~", **after[each]} for each in after if each in before and _differs(before[each], after[each])
    ]
    return sorted(changes, key=lambda item: (item["on"], item["customer"], item["change"]))


def _differs(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return any(before[name] != after[name] for name in ("invoices", "amount"))


def summarise(changes: Sequence[dict[str, Any]], days: int = DIFF_DAYS) -> str:
    """Sum a difference up: ``43 customers, 12 mails fewer in the next 30 days``."""
    customers = {(item["connection"], item["customer_id"]) for item in changes}
    if not customers:
        return f"In the next {days} days it would alter nothing."
    said = [
        _net_change(changes, kind, words) for kind, words in (("email", "email"), ("late_fee", "fee"), ("task", "task"))
    ]
    count = f"{len(customers)} customer{'s' if len(customers) != 1 else ''}"
    told = ", ".join(filter(None, said)) or "as many of everything, on other days"
    return f"{count}, {told} in the next {days} days."


def _net_change(changes: Sequence[dict[str, Any]], kind: str, noun: str) -> str:
    ours = [item["change"] for item in changes if item["kind"] == kind]
    net = ours.count("+") - ours.count("-")
    return f"{abs(net)} {noun}{'s' if abs(net) != 1 else ''} {'more' if net > 0 else 'fewer'}" if net else ""


def hold_out_results(app: AppContext, connection_id: int | None) -> list[dict[str, Any]]:
    """Report what the newest policy did beside the one of before, for each company with a hold-out."""
    with reading(app.engine) as session:
        reports = [_hold_out(session, row, app.now()) for row in _connections(session, connection_id)]
    return [report for report in reports if report]


def _hold_out(session: Session, row: Connection, now: datetime) -> dict[str, Any]:
    in_force = policy_store.get_active_policy(session, row.id or 0)
    if in_force.version is None or not in_force.policy.control_group_percent:
        return {}
    here = ZoneInfo(row.time_zone)
    since_on = session.get_one(PolicyVersion, in_force.version).set_at.astimezone(here).date()
    groups: dict[bool, list[list[Invoice]]] = {True: [], False: []}
    for statements in _history(session, row, now):
        invoices = [invoice for statement in statements for invoice in statement.invoices]
        groups[in_force.is_in_control_group(statements[0].customer.id)].append(invoices)
    today = now.astimezone(here).date()
    found = compare_groups(build_group(groups[False], since_on, today), build_group(groups[True], since_on, today))
    return {"id": row.short_name, **_effect(found, since_on), "version": in_force.version} | {
        "version_before": in_force.previous_version,
        "percent": in_force.policy.control_group_percent,
    }


def _effect(found: PolicyEffect, since_on: date) -> dict[str, Any]:
    spread = {"difference": found.difference, "low": found.low, "high": found.high}
    numbers = {name: None if value is None else round(value, 2) for name, value in spread.items()}
    groups = {
        name: {"customers": group.customers, "invoices": group.invoices, "still_open": group.still_open}
        for name, group in (("new", found.treated), ("control", found.control))
    }
    return {"since_on": since_on, **groups, **numbers, "reason": found.summary()}


def _history(session: Session, row: Connection, now: datetime) -> Iterator[tuple[Statement, ...]]:
    return load_statements(session, row, now=now, closed_days=WHOLE_HISTORY_DAYS)


def _connections(session: Session, connection_id: int | None) -> list[Connection]:
    return list_connected(session) if connection_id is None else [find_connection(session, connection_id)]
