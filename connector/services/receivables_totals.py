"""What is overdue, expected and received in each currency, with the change since a week ago. Never added up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import ColumnElement, Select, Table, and_, case, func, or_, select
from sqlmodel import Session, SQLModel

from connector.db.money import from_e4
from connector.reports.cash_forecast import ExpectedCash, expected_cash
from connector.reports.receipts import receipts_of_days
from connector.reports.report_cache import cached
from connector.reports.scope import INVOICE, Scope, in_companies

_WEEK = timedelta(days=7)
NOTHING_EXPECTED = ExpectedCash(Decimal(0), Decimal(0), Decimal(0), Decimal(0))
_APPLICATION: Table = SQLModel.metadata.tables["application"]


@dataclass(slots=True)
class CurrencyTotals:
    """The figures of one currency; ``typical`` is the average open invoice, by which amounts can be compared."""

    currency: str
    overdue: Decimal = Decimal(0)
    overdue_a_week_ago: Decimal = Decimal(0)
    expected: ExpectedCash = NOTHING_EXPECTED
    received: Decimal = Decimal(0)
    invoices: int = 0
    typical: Decimal = Decimal(1)

    @property
    def change(self) -> Decimal:
        """How much more is overdue than a week ago."""
        return self.overdue - self.overdue_a_week_ago

    @property
    def expected_change(self) -> Decimal:
        """How much more is expected in the coming week than was a week ago in that one."""
        return self.expected.expected - self.expected.a_week_ago


@cached
def load_currency_totals(session: Session, scope: Scope) -> list[CurrencyTotals]:
    """Load the figures of the companies, the currency with the most open invoices first."""
    found: dict[str, CurrencyTotals] = {}

    def totals(currency: str) -> CurrencyTotals:
        return found.setdefault(currency, CurrencyTotals(currency))

    for currency, count, total, overdue, overdue_then in session.execute(_open_query(scope)):
        each = totals(currency)
        each.invoices, each.typical = count, from_e4(int(total)) / count or Decimal(1)
        each.overdue, each.overdue_a_week_ago = from_e4(int(overdue)), from_e4(int(overdue_then))
    for currency, settled in session.execute(_settled_since_query(scope)):
        totals(currency).overdue_a_week_ago += from_e4(int(settled))
    for currency, received in receipts_of_days(session, scope, _WEEK.days):
        totals(currency).received = received
    for currency, expected in expected_cash(session, scope).items():
        totals(currency).expected = expected
    shown = [each for each in found.values() if each.invoices or each.overdue_a_week_ago or each.received]
    return sorted(shown, key=lambda each: (-each.invoices, each.currency))


def _open_query(scope: Scope) -> Select[str, int, int, int, int]:
    due_on = INVOICE.c.due_on
    overdue = _by_date(scope, INVOICE, lambda today: due_on < today)
    overdue_then = _by_date(scope, INVOICE, lambda today: due_on < today - _WEEK)
    sums = [func.sum(case((condition, INVOICE.c.due_e4), else_=0)) for condition in (overdue, overdue_then)]
    return (
        select(INVOICE.c.currency, func.count(), func.sum(INVOICE.c.due_e4), *sums)
        .where(in_companies(INVOICE, scope.ids), INVOICE.c.is_open)
        .group_by(INVOICE.c.currency)
    )


def _settled_since_query(scope: Scope) -> Select[str, int]:
    """What was applied within the week to invoices that were overdue before it."""
    since = _by_date(
        scope,
        _APPLICATION,
        lambda today: and_(_APPLICATION.c.applied_on >= today - _WEEK, INVOICE.c.due_on < today - _WEEK),
    )
    same = (INVOICE.c.connection_id == _APPLICATION.c.connection_id) & (
        INVOICE.c.external_id == _APPLICATION.c.invoice_id
    )
    return (
        select(INVOICE.c.currency, func.sum(_APPLICATION.c.amount_e4))
        .select_from(_APPLICATION.join(INVOICE, same))
        .where(since, scope.billed())
        .group_by(INVOICE.c.currency)
    )


def _by_date(scope: Scope, table: Table, condition: Callable[[date], ColumnElement[bool]]) -> ColumnElement[bool]:
    """Return a condition on the rows of the companies, with each one's own date."""
    return or_(*(and_(in_companies(table, ids), condition(today)) for today, ids in scope.companies_by_date()))
