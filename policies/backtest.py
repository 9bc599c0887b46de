"""Replays a policy over the past: what would have left, to whom, when, and what was paid soon anyway.

Each day the books are shown as they stood that day (only invoices issued by then, with the balance of then), the policy
decides, and what it decides counts as done on the next day. The payments are those that really came: the replay does
not guess what a mail would have changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

from policies.calendar import Calendar, find_time_zone
from policies.decide import decide
from policies.decisions import Action, ChargeLateFee, NotifyOwner, SendReminder
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, InvoiceStatus, PastAction, Statement, Step

DECISION_TIME = time(12, 0)  # by the company's clock
PAID_ANYWAY_DAYS = 3  # paid so soon after a mail, it would have been paid anyway


class ReplayedEmail(NamedTuple):
    """A mail that would have left. ``paid_anyway``: all it took was paid within days, though nobody had mailed."""

    on: date
    customer_id: str
    currency: str
    step: Step
    invoice_ids: tuple[str, ...]
    paid_anyway: bool


@dataclass(slots=True)
class BacktestReport:
    """What a policy would have done over a time."""

    emails: list[ReplayedEmail] = field(default_factory=list)
    fees: list[tuple[date, ChargeLateFee]] = field(default_factory=list)
    tasks: Counter[str] = field(default_factory=Counter)

    @property
    def customers(self) -> set[str]:
        """Give the customers who would have been mailed."""
        return {mail.customer_id for mail in self.emails}

    def steps(self) -> Counter[Step]:
        """Count the mails by their step."""
        return Counter(mail.step for mail in self.emails)

    def summary(self) -> str:
        """Sum it up in a sentence."""
        anyway = sum(mail.paid_anyway for mail in self.emails)
        tasks = sum(self.tasks.values())
        return (
            f"{len(self.emails)} mails to {len(self.customers)} customers, {anyway} of them about what was paid within "
            f"{PAID_ANYWAY_DAYS} days anyway; {len(self.fees)} late fees, {tasks} tasks."
        )


def replay(
    customers: Iterable[Sequence[Statement]], policy: ReminderPolicy, first_on: date, last_on: date, calendar: Calendar
) -> BacktestReport:
    """Replay a policy from one day to another over statements that hold the whole history of their invoices."""
    report = BacktestReport()
    for statements in customers:
        if statements:
            _replay_customer(statements, policy, (first_on, last_on), calendar, report)
    report.emails.sort(key=lambda mail: (mail.on, mail.customer_id))
    return report


def _replay_customer(
    statements: Sequence[Statement],
    policy: ReminderPolicy,
    span: tuple[date, date],
    calendar: Calendar,
    report: BacktestReport,
) -> None:
    past_actions: list[PastAction] = []
    here = find_time_zone(statements[0].company.time_zone)
    settled_on = {each.id: each.closed_on for statement in statements for each in statement.invoices}
    for on in _days(*span):
        now = datetime.combine(on, DECISION_TIME, here)
        later = sum(when is not None and when >= on for when in settled_on.values())
        seen = [_as_of(statement, on, now, tuple(past_actions), later) for statement in statements]
        for action in decide(seen, policy, now, calendar).actions:
            moment = action.send_after if isinstance(action, SendReminder) else None
            if moment is not None and moment.astimezone(here).date() > on:
                continue  # another day: it is decided anew then
            past_actions += _past_actions(action, now, on)
            _record(report, action, on, settled_on)


def _days(first_on: date, last_on: date) -> Iterator[date]:
    return (first_on + timedelta(days=count) for count in range((last_on - first_on).days + 1))


def _as_of(
    statement: Statement, on: date, now: datetime, past_actions: tuple[PastAction, ...], later: int
) -> Statement:
    """Show a statement as it stood: habits were learned later, and what was said later was not said yet."""
    invoices = tuple(as_of(each, on) for each in statement.invoices if each.issued_on <= on)
    customer = replace(
        statement.customer, payment_behaviour=None, paid_invoices=max(statement.customer.paid_invoices - later, 0)
    )
    return replace(
        statement, customer=customer, invoices=invoices, credits=(), past_actions=past_actions, synced_at=now
    )


def as_of(invoice: Invoice, on: date) -> Invoice:
    """Show an invoice as it stood at the end of a day: with later changes of its balance undone."""
    if invoice.status not in (InvoiceStatus.OPEN, InvoiceStatus.PAID):
        return invoice
    later = tuple(change for change in invoice.balance_changes if change.on > on)
    if not invoice.balance_changes and (invoice.closed_on is None or invoice.closed_on > on):
        due = invoice.total if invoice.status is InvoiceStatus.PAID else invoice.due
    else:
        due = invoice.due - sum((change.amount for change in later), Decimal(0))
    changes = invoice.balance_changes[: len(invoice.balance_changes) - len(later)]
    if due > 0:
        return replace(invoice, status=InvoiceStatus.OPEN, due=due, closed_on=None, balance_changes=changes)
    return replace(invoice, status=InvoiceStatus.PAID, due=Decimal(0), balance_changes=changes)


def _past_actions(action: Action, now: datetime, on: date) -> Iterator[PastAction]:
    if isinstance(action, SendReminder | NotifyOwner):
        contact = isinstance(action, SendReminder)
        for invoice_id, step in action.completed:
            yield PastAction(step, invoice_id, now, on, email_key=on.isoformat(), is_contact=contact)
    elif isinstance(action, ChargeLateFee):
        yield PastAction(Step.LATE_FEE, action.invoice_id, now, on, is_contact=False, recurrence_key=action.period)
    elif action.step is not None:
        for invoice_id in action.invoice_ids:
            yield PastAction(action.step, invoice_id, now, on, is_contact=False, recurrence_key=action.recurrence_key)


def _record(report: BacktestReport, action: Action, on: date, settled_on: dict[str, date | None]) -> None:
    if isinstance(action, SendReminder):
        ids = tuple(invoice_id for invoice_id, _ in action.completed)
        days = [settled for each in ids if (settled := settled_on[each]) is not None]
        anyway = action.step is not Step.THANK_YOU and len(days) == len(ids)
        anyway = anyway and all(on <= settled <= on + timedelta(days=PAID_ANYWAY_DAYS) for settled in days)
        report.emails.append(ReplayedEmail(on, action.customer_id, action.currency, action.step, ids, anyway))
    elif isinstance(action, ChargeLateFee):
        report.fees.append((on, action))
    elif not isinstance(action, NotifyOwner):
        report.tasks[action.code] += 1


class BacktestDifference(NamedTuple):
    """What another policy would change: mails that fall away and mails that come, and how many customers notice."""

    removed: tuple[ReplayedEmail, ...]
    added: tuple[ReplayedEmail, ...]

    @property
    def customers(self) -> set[str]:
        """Give the customers who would notice."""
        return {mail.customer_id for mail in (*self.removed, *self.added)}

    def summary(self) -> str:
        """Sum it up: ``43 customers, 12 mails fewer``."""
        net = len(self.added) - len(self.removed)
        change = f"{abs(net)} mails {'more' if net > 0 else 'fewer'}" if net else "as many mails"
        return f"{len(self.customers)} customers, {change} ({len(self.removed)} fall away, {len(self.added)} come)."


def compare_reports(old: BacktestReport, new: BacktestReport) -> BacktestDifference:
    """Compare two replays mail by mail: the same customer, day, step and invoices are the same mail."""
    before, after = Counter(old.emails), Counter(new.emails)
    return BacktestDifference(tuple((before - after).elements()), tuple((after - before).elements()))
