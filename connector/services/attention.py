"""The customers that need a person: one row each, however many emails, tasks and exceptions they have.

They are ordered by what is overdue times how late it is. Amounts of different currencies are compared by the average
open invoice of each, because nothing here knows exchange rates.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    SQLColumnExpression,
    String,
    and_,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlmodel import Session, col

from connector.db.money import from_e4
from connector.db.tables import Connection, CustomerRow, ExceptionRow, InvoiceRow, OutboxEntry, Task
from connector.reports.scope import Scope
from connector.vocabulary import OutboxKind, OutboxState, TaskState
from connector.vocabulary.labels import label

ITEMS_MAX = 3  # named in a row; the customer's page has the others


class AttentionKind(StrEnum):
    """What a person is asked to do."""

    APPROVE = "approve"
    UNCONFIRMED = "unconfirmed"
    TASK = "task"
    EXCEPTION = "exception"


class AttentionItem(NamedTuple):
    """Something to do about a customer; ``first_id`` is the oldest entry or task of its kind."""

    kind: AttentionKind
    code: str
    first_id: int
    total: int

    @property
    def text(self) -> str:
        """What it is, as people read it: "Approve: Second notice"."""
        if self.kind is AttentionKind.TASK:
            name = label(self.code, "task_code")
        elif self.kind is AttentionKind.EXCEPTION:
            name = label(self.code, "exception_code")
        else:
            kind, _, step = self.code.partition(":")
            name = label(step, "step") if kind == OutboxKind.EMAIL and step else label(kind, "outbox_kind")
            name = f"Approve: {name}" if self.kind is AttentionKind.APPROVE else f"Delivery unconfirmed: {name}"
        return f"{name} ({self.total})" if self.total > 1 else name


class CurrencyBalance(NamedTuple):
    """What a customer owes in a currency."""

    currency: str
    overdue: Decimal
    open: Decimal


_CustomerKey = tuple[int, str]


@dataclass(slots=True)
class CustomerAttention:
    """A customer, what to do about them and what they owe; without an id it is about the company itself."""

    company: Connection
    customer_id: str
    items: list[AttentionItem] = field(default_factory=list)
    balances: list[CurrencyBalance] = field(default_factory=list)
    days_late: int = 0
    weight: tuple[Decimal, Decimal] = (Decimal(0), Decimal(0))
    name: str = ""

    @property
    def more_items(self) -> int:
        """How many things to do are not named in a row."""
        return max(len(self.items) - ITEMS_MAX, 0)


@dataclass(frozen=True, slots=True)
class AttentionList:
    """A page of the customers that need a person; ``counts`` and ``total`` are complete."""

    rows: list[CustomerAttention]
    total: int
    counts: Counter[AttentionKind]


def load_attention(
    session: Session, scope: Scope, typical: Mapping[str, Decimal], *, size: int, offset: int = 0
) -> AttentionList:
    """Load a page of the customers that need a person, the most urgent first, with four queries at most.

    Args:
        session: The database.
        scope: The companies, and the instant.
        typical: The average open invoice by currency.
        size: How many rows to return.
        offset: How many to skip.

    """
    if not scope.companies:
        return AttentionList([], 0, Counter())
    companies = {row.id or 0: row for row in scope.companies}
    found: dict[_CustomerKey, CustomerAttention] = {}
    counts: Counter[AttentionKind] = Counter()
    for kind, connection_id, customer_id, code, first_id, count in session.execute(_items_query(scope)):
        row = found.setdefault((connection_id, customer_id), CustomerAttention(companies[connection_id], customer_id))
        row.items.append(AttentionItem(AttentionKind(kind), code, first_id or 0, count))
        counts[AttentionKind(kind)] += count
    _add_balances(session, scope, found, typical)
    ordered = sorted(found.values(), key=lambda each: (each.weight, each.days_late), reverse=True)
    shown = ordered[offset : offset + size]
    _add_names(session, shown)
    order = list(AttentionKind)
    for row in shown:
        row.items.sort(key=lambda item: (order.index(item.kind), item.first_id))
    return AttentionList(shown, len(ordered), counts)


def is_due(scope: Scope) -> ColumnElement[bool]:
    """Return a condition for the open tasks of the companies that are due, by each one's own date."""
    dates = (
        and_(col(Task.connection_id).in_(ids), col(Task.due_on) <= today) for today, ids in scope.companies_by_date()
    )
    return and_(col(Task.state) == TaskState.OPEN, or_(*dates))


def _items_query(scope: Scope) -> CompoundSelect[str, int, str, str, int | None, int]:
    """Select what is to be done by company, customer and code."""
    entry_code = cast(OutboxEntry.kind, String) + ":" + col(OutboxEntry.step)
    entries = [
        _grouped(kind, OutboxEntry, entry_code, func.min(col(OutboxEntry.id))).where(
            col(OutboxEntry.connection_id).in_(scope.ids), col(OutboxEntry.state) == state
        )
        for kind, state in (
            (AttentionKind.APPROVE, OutboxState.AWAITING_APPROVAL),
            (AttentionKind.UNCONFIRMED, OutboxState.UNCONFIRMED),
        )
    ]
    task_code = func.coalesce(func.nullif(col(Task.step), ""), cast(Task.code, String))
    tasks = _grouped(AttentionKind.TASK, Task, task_code, func.min(col(Task.id))).where(is_due(scope))
    exceptions = _grouped(AttentionKind.EXCEPTION, ExceptionRow, col(ExceptionRow.code), cast(null(), Integer)).where(
        col(ExceptionRow.connection_id).in_(scope.ids), col(ExceptionRow.resolved_at).is_(None)
    )
    return union_all(*entries, tasks, exceptions)


def _grouped(
    kind: AttentionKind,
    table: type[OutboxEntry | Task | ExceptionRow],
    code: SQLColumnExpression[str],
    first_id: ColumnElement[int | None],
) -> Select[str, int, str, str, int | None, int]:
    connection_id, customer_id = col(table.connection_id), col(table.customer_id)
    query: Select[str, int, str, str, int | None, int] = select(
        literal(kind.value), connection_id, customer_id, code.label("code"), first_id, func.count()
    )
    return query.group_by(connection_id, customer_id, code)


def _add_balances(
    session: Session,
    scope: Scope,
    found: Mapping[_CustomerKey, CustomerAttention],
    typical: Mapping[str, Decimal],
) -> None:
    """Add what each customer owes, and the weight by which they are ordered."""
    todays = scope.today_by_company()
    sums: defaultdict[tuple[_CustomerKey, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for connection_id, customer_id, currency, due_on, due_e4 in session.execute(_balance_query(scope)):
        row = found.get((connection_id, customer_id))
        if row is None:
            continue
        due, days = from_e4(int(due_e4)), _days_late(due_on, todays[connection_id])
        each = sums[(connection_id, customer_id), currency]
        each[1] += due
        in_typical = due / typical.get(currency, Decimal(1))
        if days > 0:
            each[0] += due
            row.days_late = max(row.days_late, days)
        row.weight = (row.weight[0] + in_typical * max(days, 0), row.weight[1] + in_typical)
    for (key, currency), (overdue, is_open) in sorted(sums.items(), key=lambda item: (-item[1][0], -item[1][1])):
        found[key].balances.append(CurrencyBalance(currency, overdue, is_open))


def _days_late(due_on: date | None, today: date) -> int:
    return (today - due_on).days if due_on is not None else 0


def _balance_query(scope: Scope) -> Select[int, str, str, date | None, int]:
    """Select the open balances of the customers who need a person, by due date."""
    items = _items_query(scope).subquery()
    customers = select(items.c.connection_id, items.c.customer_id).distinct().subquery()
    keys = (
        col(InvoiceRow.connection_id),
        col(InvoiceRow.customer_id),
        col(InvoiceRow.currency),
        col(InvoiceRow.due_on),
    )
    same = (keys[0] == customers.c.connection_id) & (keys[1] == customers.c.customer_id)
    return (
        select(*keys, func.sum(InvoiceRow.due_e4))
        .select_from(customers)
        .join(InvoiceRow, same)
        .where(col(InvoiceRow.is_open))
        .group_by(*keys)
    )


def _add_names(session: Session, rows: Sequence[CustomerAttention]) -> None:
    keys = [(row.company.id, row.customer_id) for row in rows if row.customer_id]
    key = tuple_(col(CustomerRow.connection_id), col(CustomerRow.external_id))
    query = select(CustomerRow).where(key.in_(keys))
    names = {(each.connection_id, each.external_id): each.name for each in session.scalars(query)} if keys else {}
    for row in rows:
        row.name = names.get((row.company.id or 0, row.customer_id), "") or row.customer_id
