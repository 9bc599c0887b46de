"""Evaluates a policy: back-test and difference before it is used, control group afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlmodel import Session

from connector import policy_store
from connector.app_context import AppContext
from connector.connections.registry import find_connection, list_connected
from connector.db.engine import reading
from connector.db.tables import Connection
from connector.geo import HolidayCalendar
from connector.results import Result
from connector.services.upcoming_actions import ProgressCallback, UpcomingAction, ignore_progress, list_upcoming
from connector.sync.mirror.statements import WHOLE_HISTORY_DAYS, load_statements
from connector.vocabulary import PolicyChangeKind, UpcomingKind
from policies.backtest import BacktestReport, ReplayedEmail, replay
from policies.control_group import PaymentGroup, build_group, compare_groups
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, Statement, Step

DIFF_DAYS = 30
_NOUNS = {UpcomingKind.EMAIL: "email", UpcomingKind.LATE_FEE: "late fee", UpcomingKind.TASK: "task"}


class Backtest(NamedTuple):
    """What a policy would have done in one company."""

    connection: str
    report: BacktestReport
    customer_names: dict[str, str]


class BacktestEmail(Result):
    """An email that would have been sent; ``invoices`` counts them, ``paid_anyway`` says they were paid without it."""

    id: str
    on: date
    connection: str
    customer: str
    step: Step
    invoices: int
    currency: str
    paid_anyway: bool


class PolicyChange(UpcomingAction):
    """An upcoming action that another policy would remove (-), add (+) or alter (~)."""

    change: PolicyChangeKind


class ControlGroupItem(Result):
    """One of the two groups of customers: how many invoices they were sent, and how many are still open."""

    customers: int
    invoices: int
    still_open: int


class ControlGroupReport(Result):
    """The effect of the newest policy against a control group that kept the one before.

    ``difference`` is in days to pay, between ``low`` and ``high`` in 95 of 100 cases; None where there is too little
    to compare. ``percent`` is the share of customers in the control group.
    """

    id: str
    since_on: date
    new: ControlGroupItem
    control: ControlGroupItem
    difference: float | None
    low: float | None
    high: float | None
    reason: str
    version: int
    version_before: int | None
    percent: int


def backtest(
    app: AppContext,
    connection_id: int | None,
    days: int,
    *,
    policy: ReminderPolicy | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> list[Backtest]:
    """Replay the active policy, or another one, over the last ``days`` of each company's history."""
    with reading(app.engine) as session:
        rows = _connections(session, connection_id)
        return [_backtest(session, row, app.now(), days, policy, on_progress) for row in rows]


def list_backtest_emails(test: Backtest) -> list[BacktestEmail]:
    """List the emails that would have been sent, oldest first."""
    return [_backtest_email(test, email) for email in test.report.emails]


def diff_policy(
    app: AppContext,
    connection_id: int | None,
    proposed: ReminderPolicy,
    days: int = DIFF_DAYS,
    on_progress: ProgressCallback = ignore_progress,
) -> list[PolicyChange]:
    """List what a policy would change in the next ``days``.

    Without a connection it is about every company that has no policy of its own.
    """
    with reading(app.engine) as session:
        ids = policy_store.list_followers(session, connection_id)
    before = {item.id: item for each in ids for item in list_upcoming(app, each, days, on_progress=on_progress)}
    after = {
        item.id: item
        for each in ids
        for item in list_upcoming(app, each, days, policy=proposed, on_progress=on_progress)
    }
    changes = [_change(PolicyChangeKind.REMOVED, item) for item_id, item in before.items() if item_id not in after]
    changes += [_change(PolicyChangeKind.ADDED, item) for item_id, item in after.items() if item_id not in before]
    changes += [
        _change(PolicyChangeKind.ALTERED, item)
        for item_id, item in after.items()
        if item_id in before and _differs(before[item_id], item)
    ]
    return sorted(changes, key=lambda item: (item.on, item.customer, item.change))


def summarise(changes: Sequence[PolicyChange], days: int = DIFF_DAYS) -> str:
    """Return a difference in one sentence: ``43 customers, 12 fewer emails in the next 30 days``."""
    customers = {(item.connection, item.customer_id) for item in changes}
    if not customers:
        return f"It would change nothing in the next {days} days."
    net = ", ".join(filter(None, (_net_change(changes, kind, noun) for kind, noun in _NOUNS.items())))
    count = f"{len(customers)} customer{'s' if len(customers) != 1 else ''}"
    return f"{count}, {net or 'the same number of actions on other dates'} in the next {days} days."


def list_control_group_reports(app: AppContext, connection_id: int | None) -> list[ControlGroupReport]:
    """Report the effect of the newest policy, for each company that has a control group."""
    with reading(app.engine) as session:
        reports = [_control_group_report(session, row, app.now()) for row in _connections(session, connection_id)]
    return [report for report in reports if report is not None]


def _backtest(
    session: Session,
    row: Connection,
    now: datetime,
    days: int,
    policy: ReminderPolicy | None,
    on_progress: ProgressCallback,
) -> Backtest:
    zone = ZoneInfo(row.time_zone)
    last_on = now.astimezone(zone).date() - timedelta(days=1)
    first_on = last_on - timedelta(days=days - 1)
    live_since_at = datetime.combine(first_on, time(0), zone)
    active = policy_store.get_active_policy(session, row.id or 0)
    total, names = BacktestReport(), {}
    for count, statements in enumerate(_history(session, row, now), start=1):
        on_progress(row.short_name, count)
        customer = statements[0].customer
        names[customer.id] = customer.name
        past = [replace(each, live_since_at=live_since_at, last_payment_on=None) for each in statements]
        customer_policy = policy or active.for_customer(customer.id)[0]
        report = replay([past], customer_policy, first_on, last_on, HolidayCalendar())
        total.emails += report.emails
        total.fees += report.fees
        total.tasks.update(report.tasks)
    total.emails.sort(key=lambda email: (email.on, email.customer_id))
    return Backtest(row.short_name, total, names)


def _backtest_email(test: Backtest, email: ReplayedEmail) -> BacktestEmail:
    return BacktestEmail(
        id=f"{test.connection}:{email.customer_id}:{email.on}:{email.step}",
        on=email.on,
        connection=test.connection,
        customer=test.customer_names.get(email.customer_id, ""),
        step=email.step,
        invoices=len(email.invoice_ids),
        currency=email.currency,
        paid_anyway=email.paid_anyway,
    )


def _change(kind: PolicyChangeKind, item: UpcomingAction) -> PolicyChange:
    return PolicyChange(change=kind, **item.model_dump())


def _differs(before: UpcomingAction, after: UpcomingAction) -> bool:
    return (before.invoices, before.amount) != (after.invoices, after.amount)


def _net_change(changes: Sequence[PolicyChange], kind: UpcomingKind, noun: str) -> str:
    kinds = [item.change for item in changes if item.kind is kind]
    net = kinds.count(PolicyChangeKind.ADDED) - kinds.count(PolicyChangeKind.REMOVED)
    return f"{abs(net)} {'more' if net > 0 else 'fewer'} {noun}{'s' if abs(net) != 1 else ''}" if net else ""


def _control_group_report(session: Session, row: Connection, now: datetime) -> ControlGroupReport | None:
    active = policy_store.get_active_policy(session, row.id or 0)
    if active.version is None or not active.policy.control_group_percent:
        return None
    zone = ZoneInfo(row.time_zone)
    since_on = policy_store.get_document_date(session, active.version).astimezone(zone).date()
    groups: dict[bool, list[list[Invoice]]] = {True: [], False: []}
    for statements in _history(session, row, now):
        invoices = [invoice for statement in statements for invoice in statement.invoices]
        groups[active.is_in_control_group(statements[0].customer.id)].append(invoices)
    today = now.astimezone(zone).date()
    effect = compare_groups(build_group(groups[False], since_on, today), build_group(groups[True], since_on, today))
    return ControlGroupReport(
        id=row.short_name,
        since_on=since_on,
        new=_group_item(effect.treated),
        control=_group_item(effect.control),
        difference=_rounded(effect.difference),
        low=_rounded(effect.low),
        high=_rounded(effect.high),
        reason=effect.summary(),
        version=active.version,
        version_before=active.previous_version,
        percent=active.policy.control_group_percent,
    )


def _group_item(group: PaymentGroup) -> ControlGroupItem:
    return ControlGroupItem(customers=group.customers, invoices=group.invoices, still_open=group.still_open)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _history(session: Session, row: Connection, now: datetime) -> Iterator[tuple[Statement, ...]]:
    return load_statements(session, row, now=now, closed_days=WHOLE_HISTORY_DAYS)


def _connections(session: Session, connection_id: int | None) -> list[Connection]:
    return list_connected(session) if connection_id is None else [find_connection(session, connection_id)]
