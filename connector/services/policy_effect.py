"""What a policy would do in the next 30 days beside the one in force: counts, sums and the customers it concerns.

It is made for a page on which somebody waits, so it computes no longer than ``SECONDS_MAX``: customers whom the change
cannot reach are simulated once instead of twice, and where the time is over, the effect says how many it is about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Lock
from zoneinfo import ZoneInfo

from sqlalchemy import func, or_, select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext
from connector.connections.registry import find_connection
from connector.db.engine import reading
from connector.db.tables import Connection, InvoiceRow
from connector.errors import Busy
from connector.services.upcoming_actions import (
    SimulatedCustomer,
    UpcomingAction,
    sharing_with,
    simulate,
    simulated_instants,
)
from connector.sync.mirror.mailboxes import Peers, load_peers
from connector.sync.mirror.statements import CLOSED_DAYS, count_customers, load_statements
from connector.vocabulary import UpcomingKind
from policies.customer_policies import is_in_control_group
from policies.policy import ReminderPolicy
from policies.receivables import Statement
from policies.schedule_rules import Cell
from policies.segments import segment_of, size_of

DAYS = 30
SECONDS_MAX = 1.0
_WAITING = 3
_NOUNS = {
    UpcomingKind.EMAIL: "email",
    UpcomingKind.OWNER_EMAIL: "account-owner alert",
    UpcomingKind.TASK: "task",
    UpcomingKind.LATE_FEE: "late fee",
}
_WITH_SUMS = frozenset({UpcomingKind.EMAIL, UpcomingKind.LATE_FEE})
_lock = Lock()
_under_way: set[int] = set()  # users whose comparison runs


@dataclass(slots=True)
class Tally:
    """The actions of one kind: how many, to how many customers, and what is asked for or charged, by currency."""

    count: int = 0
    customers: set[tuple[int, str]] = field(default_factory=set)
    _amounts: dict[tuple[int, str, str, str], Decimal] = field(default_factory=dict)

    def add(self, company_id: int, action: UpcomingAction) -> None:
        """Count an action. Several emails ask a customer for the same balance: the largest counts, once."""
        self.count += 1
        self.customers.add((company_id, action.customer_id))
        if action.amount and action.kind in _WITH_SUMS:
            fee = action.id if action.kind is UpcomingKind.LATE_FEE else ""
            key = (company_id, action.customer_id, action.currency, fee)
            self._amounts[key] = max(Decimal(action.amount), self._amounts.get(key, Decimal(0)))

    @property
    def sums(self) -> dict[str, Decimal]:
        """The sums by currency."""
        found: dict[str, Decimal] = {}
        for (_company, _customer, currency, _fee), amount in self._amounts.items():
            found[currency] = found.get(currency, Decimal(0)) + amount
        return found


@dataclass(frozen=True, slots=True)
class EffectLine:
    """One kind of action under the policy in force and under the proposed one."""

    kind: UpcomingKind
    now: Tally
    then: Tally

    @property
    def difference(self) -> int:
        """How many more there would be."""
        return self.then.count - self.now.count

    @property
    def sums(self) -> list[tuple[str, Decimal, Decimal]]:
        """The sums by currency, now and then."""
        now, then = self.now.sums, self.then.sums
        return [(each, now.get(each, Decimal(0)), then.get(each, Decimal(0))) for each in sorted({*now, *then})]


@dataclass(frozen=True, slots=True)
class ChangedCustomer:
    """A customer who would be treated differently: what would no longer happen, and what would happen instead."""

    company_id: int
    company: str
    customer_id: str
    customer: str
    removed: list[UpcomingAction]
    added: list[UpcomingAction]


@dataclass(frozen=True, slots=True)
class PolicyEffect:
    """The effect of a policy. ``evaluated`` of ``customers`` were simulated; fewer where the time was over.

    ``texts_differ`` says that the emails are worded differently, which no count shows.
    """

    lines: list[EffectLine]
    changed: list[ChangedCustomer]
    evaluated: int
    customers: int
    texts_differ: bool

    @property
    def is_complete(self) -> bool:
        """Whether it is about everybody."""
        return self.evaluated == self.customers

    @property
    def summary(self) -> str:
        """The effect in one sentence: ``12 more emails, 1 fewer task; 8 customers are treated differently.``."""
        if not self.is_complete:
            return f"Compared for {self.evaluated:,} of {self.customers:,} customers: {self._sentence}"
        return f"{self._sentence[0].upper()}{self._sentence[1:]}"

    @property
    def _sentence(self) -> str:
        if not self.changed:
            return f"no step changes in the next {DAYS} days."
        count = len(self.changed)
        customers = "1 customer is" if count == 1 else f"{count:,} customers are"
        differences = [_difference(line) for line in self.lines if line.difference]
        actions = ", ".join(differences) or "the same number of actions, on other days"
        return f"{actions}; {customers} treated differently."


class _Budget:
    """How long a comparison may still take: so much computing, and three times as long for whoever waits."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._computing_until = time.thread_time() + seconds
        self._waiting_until = time.monotonic() + seconds * _WAITING

    def is_spent(self) -> bool:
        """Whether the time is over."""
        return time.thread_time() >= self._computing_until or time.monotonic() >= self._waiting_until

    def share(self, parts: float) -> _Budget:
        """Return a part of what is left: half of it for 2."""
        left = min(self._computing_until - time.thread_time(), (self._waiting_until - time.monotonic()) / _WAITING)
        return _Budget(max(left, 0.0) / parts)


def measure_effect(
    app: AppContext, connection_ids: Sequence[int], proposed: ReminderPolicy, *, seconds_max: float | None = None
) -> PolicyEffect:
    """Return the effect of a policy on companies; what is not done within ``seconds_max`` is left out."""
    budget = _Budget(SECONDS_MAX if seconds_max is None else seconds_max)
    lines = {kind: EffectLine(kind, Tally(), Tally()) for kind in UpcomingKind}
    changed: list[ChangedCustomer] = []
    evaluated = total = 0
    texts_differ = False
    with reading(app.engine) as session:
        weights = _count_invoices(session, connection_ids, app.now())
        left = sum(weights.values())
        for company_id, weight in sorted(weights.items(), key=lambda each: -each[1]):
            own = budget.share(left / weight)
            left -= weight
            company = _Company(app, session, find_connection(session, company_id), proposed)
            texts_differ = texts_differ or company.texts_differ
            groups = company.load_groups(own.share(2))
            total += company.customer_count
            for group in groups:
                if evaluated and own.is_spent():
                    break
                evaluated += len(group)
                changed += company.compare(group, lines)
    changed.sort(key=lambda each: (-len(each.removed) - len(each.added), each.customer, each.company_id))
    return PolicyEffect(list(lines.values()), changed, evaluated, total, texts_differ)


@contextmanager
def one_at_a_time(user_id: int) -> Iterator[None]:
    """Run the block unless the same user has such a comparison under way.

    Raises:
        Busy: they have.

    """
    with _lock:
        if user_id in _under_way:
            message = "Your last change is still being compared. Try again in a few seconds."
            raise Busy(message)
        _under_way.add(user_id)
    try:
        yield
    finally:
        with _lock:
            _under_way.discard(user_id)


def _count_invoices(session: Session, connection_ids: Sequence[int], now: datetime) -> dict[int, int]:
    """Return how many invoices of each company the policy decides about: those without any need no time."""
    closed_since_on = now.date() - timedelta(days=CLOSED_DAYS + 1)
    matters = or_(col(InvoiceRow.is_open), col(InvoiceRow.closed_on) >= closed_since_on)
    query = select(col(InvoiceRow.connection_id), func.count()).where(
        col(InvoiceRow.connection_id).in_(connection_ids), matters
    )
    return {row[0]: row[1] for row in session.execute(query.group_by(col(InvoiceRow.connection_id)))}


class _Company:
    """One company's customers under both policies."""

    def __init__(self, app: AppContext, session: Session, row: Connection, proposed: ReminderPolicy) -> None:
        self._session, self._row, self._proposed, self._now = session, row, proposed, app.now()
        self._active = policy_store.get_active_policy(session, row.id or 0)
        self._peers: Peers = load_peers(session, row)
        self._instants = simulated_instants(self._now, ZoneInfo(row.time_zone), DAYS)
        self._cells = _changed_cells(self._active.policy, proposed)
        self._statements: dict[str, tuple[Statement, ...]] = {}
        self.customer_count = 0

    @property
    def texts_differ(self) -> bool:
        """Whether the emails are worded differently under the proposed policy."""
        return _texts(self._active.policy) != _texts(self._proposed)

    def load_groups(self, budget: _Budget) -> list[list[str]]:
        """Load the customers, and return who is to be simulated together; first those whom the change can reach.

        Where loading all takes longer than the budget, only those are returned who are loaded by then.
        """
        is_all = True
        for statements in load_statements(self._session, self._row, now=self._now, on_unreadable=_skip):
            self._statements[statements[0].customer.id] = statements
            if budget.is_spent():
                is_all = False
                break
        self.customer_count = len(self._statements)
        if not is_all:
            self.customer_count = count_customers(self._session, self._row, now=self._now)
        groups: list[list[str]] = []
        seen: set[str] = set()
        for customer_id in self._statements:
            if customer_id not in seen:
                group = sorted(({customer_id} | sharing_with([customer_id], self._peers)) & self._statements.keys())
                seen.update(group)
                groups.append(group)
        return sorted(groups, key=lambda group: not any(map(self._is_reached, group)))

    def compare(self, group: Sequence[str], lines: Mapping[UpcomingKind, EffectLine]) -> Iterator[ChangedCustomer]:
        """Simulate a group under both policies and yield who is treated differently."""
        before = self._simulate(group, self._policy_now)
        is_reached = any(map(self._is_reached, group))
        after = self._simulate(group, self._policy_then) if is_reached else before
        company_id = self._row.id or 0
        for actions, name in ((before, "now"), (after, "then")):
            for action in actions:
                getattr(lines[action.kind], name).add(company_id, action)
        for customer_id in group if is_reached else ():
            was = {_key(each): each for each in before if each.customer_id == customer_id}
            will = {_key(each): each for each in after if each.customer_id == customer_id}
            if was.keys() != will.keys():
                yield ChangedCustomer(
                    company_id=company_id,
                    company=self._row.name,
                    customer_id=customer_id,
                    customer=self._statements[customer_id][0].customer.name,
                    removed=[action for key, action in was.items() if key not in will],
                    added=[action for key, action in will.items() if key not in was],
                )

    def _simulate(self, group: Sequence[str], policy_of: Callable[[str], ReminderPolicy]) -> list[UpcomingAction]:
        customers = [SimulatedCustomer(self._statements[each], policy_of(each)) for each in group]
        return list(simulate(self._session, self._row, customers, self._peers, self._instants))

    def _policy_now(self, customer_id: str) -> ReminderPolicy:
        return self._active.for_customer(customer_id)[0]

    def _policy_then(self, customer_id: str) -> ReminderPolicy:
        """Return the proposed policy, or the one that its control group keeps."""
        is_control = is_in_control_group(customer_id, self._proposed.control_group_percent, self._active.salt)
        return self._active.previous if is_control else self._proposed

    def _is_reached(self, customer_id: str) -> bool:
        """Return whether the change can reach a customer: only days of other segments and sizes never do."""
        now, then = self._policy_now(customer_id), self._policy_then(customer_id)
        if now is then:
            return False
        if self._cells is None or now is not self._active.policy or then is not self._proposed:
            return True
        days = (self._instants[0].date(), self._instants[-1].date())  # a new customer may become an established one
        segments = {segment_of(self._statements[customer_id][0].customer, then.segments, day) for day in days}
        sizes = {size_of(invoice, then.sizes) for each in self._statements[customer_id] for invoice in each.invoices}
        return any((segment, size) in self._cells for segment in segments for size in sizes)


def _skip(_customer_id: str, _error: Exception) -> None:
    """Leave out a customer whose rows cannot be read: the sync reports them."""


def _changed_cells(before: ReminderPolicy, after: ReminderPolicy) -> set[Cell] | None:
    """Return the segments and sizes whose steps differ, where nothing else differs in the two policies; else None."""
    if before.customer_policies or after.customer_policies:
        return None
    if replace(before, schedules=after.schedules, step_tables=after.step_tables) != after:
        return None
    return {cell for cell, schedule in after.schedules.items() if before.schedules[cell] != schedule}


def _texts(policy: ReminderPolicy) -> list[object]:
    own = [(each.name, each.tone, each.payment_instructions) for _, each in policy.customer_policies]
    return [policy.tone, policy.payment_instructions, *own]


def _key(action: UpcomingAction) -> tuple[str, tuple[str, ...], str]:
    return action.id, tuple(action.invoice_ids), str(action.amount)


def _difference(line: EffectLine) -> str:
    count = abs(line.difference)
    return f"{count:,} {'more' if line.difference > 0 else 'fewer'} {_NOUNS[line.kind]}{'s' if count != 1 else ''}"
