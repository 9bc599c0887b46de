"""Backtest a policy over the past: what would have been sent, to whom and when, and what was paid soon anyway.

Each day is replayed at the hour its send window opens, with the invoices issued by then and their balances of that
day; what the policy decides counts as done on the next day. The payments are the real ones: a backtest does not guess
how an email would have changed them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from policies.calendar import Calendar, find_time_zone
from policies.decide import decide
from policies.decisions import Action, ChargeLateFee, NotifyOwner, SendReminder
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, InvoiceStatus, PastAction, Statement, Step
from policies.simulated_actions import as_past_actions

PAID_ANYWAY_DAYS = 3  # paid so soon after an email, an invoice would have been paid without it


class ReplayedEmail(NamedTuple):
    """An email that would have been sent; ``paid_anyway`` if all its invoices were paid within days without it."""

    on: date
    customer_id: str
    currency: str
    step: Step
    invoice_ids: tuple[str, ...]
    paid_anyway: bool


@dataclass(slots=True)
class BacktestReport:
    """What a policy would have done over a period."""

    emails: list[ReplayedEmail] = field(default_factory=list)
    fees: list[tuple[date, ChargeLateFee]] = field(default_factory=list)
    tasks: Counter[str] = field(default_factory=Counter)

    @property
    def customers(self) -> set[str]:
        """The customers who would have received an email."""
        return {email.customer_id for email in self.emails}

    def steps(self) -> Counter[Step]:
        """Count the emails by step."""
        return Counter(email.step for email in self.emails)

    def summary(self) -> str:
        """Summarise the report in a sentence."""
        anyway = sum(email.paid_anyway for email in self.emails)
        return (
            f"{len(self.emails)} emails to {len(self.customers)} customers, {anyway} of them about invoices that were "
            f"paid within {PAID_ANYWAY_DAYS} days anyway; {len(self.fees)} late fees, {sum(self.tasks.values())} tasks."
        )


def replay(
    customers: Iterable[Sequence[Statement]], policy: ReminderPolicy, first_on: date, last_on: date, calendar: Calendar
) -> BacktestReport:
    """Replay a policy from one day to another over statements that hold the whole history of their invoices."""
    report = BacktestReport()
    for statements in customers:
        if statements:
            _replay_customer(statements, policy, (first_on, last_on), calendar, report)
    report.emails.sort(key=lambda email: (email.on, email.customer_id))
    return report


def _replay_customer(
    statements: Sequence[Statement],
    policy: ReminderPolicy,
    period: tuple[date, date],
    calendar: Calendar,
    report: BacktestReport,
) -> None:
    past_actions: list[PastAction] = []
    time_zone = find_time_zone(statements[0].company.time_zone)
    closed_on = {each.id: each.closed_on for statement in statements for each in statement.invoices}
    for on in _days(*period):
        now = datetime.combine(on, policy.send_window.opens, time_zone)
        paid_later = sum(closed is not None and closed >= on for closed in closed_on.values())
        then = [_as_of(statement, on, now, tuple(past_actions), paid_later) for statement in statements]
        for action in decide(then, policy, now, calendar).actions:
            send_after = action.send_after if isinstance(action, SendReminder) else None
            if send_after is not None and send_after.astimezone(time_zone).date() > on:
                continue  # on another day, which decides again
            past_actions += as_past_actions(action, now, on)
            _record(report, action, on, closed_on)


def _days(first_on: date, last_on: date) -> Iterator[date]:
    return (first_on + timedelta(days=count) for count in range((last_on - first_on).days + 1))


def _as_of(
    statement: Statement, on: date, now: datetime, past_actions: tuple[PastAction, ...], paid_later: int
) -> Statement:
    """Return a statement as it was on a day, without the payment behaviour that was learned later."""
    invoices = tuple(as_of(each, on) for each in statement.invoices if each.issued_on <= on)
    paid_invoices = max(statement.customer.paid_invoices - paid_later, 0)
    customer = replace(statement.customer, payment_behaviour=None, paid_invoices=paid_invoices)
    return replace(
        statement, customer=customer, invoices=invoices, credits=(), past_actions=past_actions, synced_at=now
    )


def as_of(invoice: Invoice, on: date) -> Invoice:
    """Return an invoice as it was at the end of a day, with later changes of its balance reversed."""
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


def _record(report: BacktestReport, action: Action, on: date, closed_on: Mapping[str, date | None]) -> None:
    if isinstance(action, SendReminder):
        ids = tuple(invoice_id for invoice_id, _ in action.completed)
        paid_anyway = action.step is not Step.THANK_YOU and all(_paid_soon(closed_on[each], on) for each in ids)
        report.emails.append(ReplayedEmail(on, action.customer_id, action.currency, action.step, ids, paid_anyway))
    elif isinstance(action, ChargeLateFee):
        report.fees.append((on, action))
    elif not isinstance(action, NotifyOwner):
        report.tasks[action.code] += 1


def _paid_soon(closed_on: date | None, on: date) -> bool:
    return closed_on is not None and on <= closed_on <= on + timedelta(days=PAID_ANYWAY_DAYS)
