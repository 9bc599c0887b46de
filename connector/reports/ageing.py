"""Aged receivables: open balances by currency and days overdue, in total and by customer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, func, or_, select
from sqlmodel import Session, SQLModel

from connector.db.money import from_e4
from connector.reports.formatting import format_short, join_parts, percentage
from connector.reports.report import Bar, Column, ColumnKind, Drill, Plot, PlotKind, Report, ReportRow, Severity
from connector.reports.scope import INVOICE, Scope

BUCKETS = (
    ("not_due", "Not due yet"),
    ("days_1_30", "1–30 days overdue"),
    ("days_31_60", "31–60 days overdue"),
    ("days_61_90", "61–90 days overdue"),
    ("days_over_90", "Over 90 days overdue"),
)
_KEYS = frozenset(dict(BUCKETS))
_PLOT_LABELS = ("Not due yet", "1–30 days", "31–60 days", "61–90 days", "Over 90 days")
_SEVERITIES = (Severity.NORMAL, Severity.NORMAL, Severity.WARN, Severity.WARN, Severity.BAD)
BUCKET_ENDS = (30, 60, 90)
_Figures = tuple[Decimal, Decimal, Decimal, Decimal, Decimal, Decimal, float | None, int]  # of a row, in its order
_FORMULA = (
    "The balance of every open invoice, by days since the due date in your accounting system, so that the totals are"
    " those of its own report; the date is that in the company's time zone. An invoice without a due date counts as not"
    " due. Unapplied credits are not deducted."
)
_BUCKET_COLUMNS = tuple(Column(key, heading, ColumnKind.MONEY) for key, heading in BUCKETS)
_TOTAL_COLUMNS = (Column("total", "Total", ColumnKind.MONEY), Column("late_percent", "Overdue", ColumnKind.SHARE))


@dataclass(frozen=True, slots=True)
class AgeingRow(ReportRow):
    """Open balances in one currency, by days overdue."""

    currency: str
    not_due: Decimal
    days_1_30: Decimal
    days_31_60: Decimal
    days_61_90: Decimal
    days_over_90: Decimal
    total: Decimal
    late_percent: float | None
    invoices: int

    @property
    def buckets(self) -> tuple[Decimal, ...]:
        """The balance of each bucket."""
        return self.not_due, self.days_1_30, self.days_31_60, self.days_61_90, self.days_over_90

    def drill(self, key: str) -> Drill | None:
        """Return the open invoices of a bucket, or all of them."""
        if key in {"total", "invoices"}:
            return Drill(self._filters())
        return Drill({"age": key, **self._filters()}) if key in _KEYS and getattr(self, key) else None

    def _filters(self) -> dict[str, str]:
        return {"currency": self.currency}


@dataclass(frozen=True, slots=True)
class CustomerAgeingRow(AgeingRow):
    """Open balances of one customer in one currency, by days overdue."""

    connection_id: int
    company: str
    customer_id: str
    customer: str

    def _filters(self) -> dict[str, str]:
        return {"company": str(self.connection_id), "customer": self.customer_id, "currency": self.currency}


def ageing(session: Session, scope: Scope) -> Report[AgeingRow]:
    """Report the open balance in each currency, by age."""
    sums = _sum_by_bucket(session, scope)
    rows = [AgeingRow(currency, currency, *each) for (currency,), each in sums.items()]
    rows.sort(key=lambda row: -row.total)
    return Report(
        name="ageing",
        title="Aged receivables",
        question="How much do customers owe, and how overdue is it?",
        formula=_FORMULA,
        columns=(
            Column("currency", "Currency"),
            *_BUCKET_COLUMNS,
            *_TOTAL_COLUMNS,
            Column("invoices", "Invoices", ColumnKind.NUMBER),
        ),
        rows=rows,
        plots=[_plot(row) for row in rows],
        empty="No open invoices. They appear with the first sync.",
    )


def ageing_by_customer(session: Session, scope: Scope) -> Report[CustomerAgeingRow]:
    """Report the open balance of each customer, by age, the largest overdue balance first."""
    names, companies = _names(session, scope), {row.id: row.name for row in scope.companies}
    sums = _sum_by_bucket(session, scope, INVOICE.c.connection_id, INVOICE.c.customer_id)
    rows = [
        CustomerAgeingRow(
            f"{connection_id}:{customer_id}:{currency}",
            currency,
            *each,
            connection_id=connection_id,
            company=companies[connection_id],
            customer_id=customer_id,
            customer=names.get((connection_id, customer_id), customer_id),
        )
        for (currency, connection_id, customer_id), each in sums.items()
    ]
    rows.sort(key=lambda row: (row.not_due - row.total, -row.total, row.customer_id))
    return Report(
        name="ageing-by-customer",
        title="Aged receivables by customer",
        question="Which customers owe it?",
        formula=f"{_FORMULA} The largest overdue balance comes first; customers have one row per currency.",
        columns=(
            Column("customer", "Customer"),
            Column("company", "Company"),
            Column("currency", "Currency"),
            *_BUCKET_COLUMNS,
            *_TOTAL_COLUMNS,
        ),
        rows=rows,
        empty="No open invoices. They appear with the first sync.",
    )


def _sum_by_bucket(session: Session, scope: Scope, *group: ColumnElement[Any]) -> dict[tuple[Any, ...], _Figures]:
    """Sum open balances by age within each currency and group."""
    bucket = _bucket(scope).label("bucket")
    by = (INVOICE.c.currency, *group)
    query = (
        select(*by, bucket, func.sum(INVOICE.c.due_e4), func.count())
        .where(scope.billed(), INVOICE.c.is_open)
        .group_by(*by, bucket)
    )
    due: defaultdict[tuple[Any, ...], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * len(BUCKETS))
    counts: Counter[tuple[Any, ...]] = Counter()
    for *key, place, due_e4, invoices in session.execute(query):
        due[tuple(key)][place] = from_e4(int(due_e4))
        counts[tuple(key)] += invoices
    return {key: _totals(buckets, counts[key]) for key, buckets in due.items()}


def _totals(buckets: Sequence[Decimal], invoices: int) -> _Figures:
    total = sum(buckets, Decimal())
    not_due, days_1_30, days_31_60, days_61_90, days_over_90 = buckets
    late_percent = percentage(float(total - not_due), float(total))
    return not_due, days_1_30, days_31_60, days_61_90, days_over_90, total, late_percent, invoices


def _bucket(scope: Scope) -> ColumnElement[int]:
    """Return the number of an invoice's age bucket, by the date in its company."""
    due_on = INVOICE.c.due_on
    days = scope.companies_by_date()
    everywhere = len(days) < 2

    def since(back: int) -> ColumnElement[bool]:
        parts = [_on_or_after(today - timedelta(days=back), None if everywhere else ids) for today, ids in days]
        return or_(false(), *parts)  # without companies nothing is due

    return case(
        (or_(due_on.is_(None), since(0)), 0),
        *((since(last), place) for place, last in enumerate(BUCKET_ENDS, start=1)),
        else_=len(BUCKETS) - 1,
    )


def _on_or_after(day: date, ids: list[int] | None) -> ColumnElement[bool]:
    later = INVOICE.c.due_on >= day
    return later if ids is None else and_(INVOICE.c.connection_id.in_(ids), later)


def _names(session: Session, scope: Scope) -> dict[tuple[int, str], str]:
    customer = SQLModel.metadata.tables["customer"]
    query = select(customer.c.connection_id, customer.c.external_id, customer.c.name)
    found = session.execute(query.where(customer.c.connection_id.in_(scope.ids)))
    return {(connection_id, external_id): name for connection_id, external_id, name in found}


def _plot(row: AgeingRow) -> Plot:
    bars = [
        Bar(text, float(amount), format_short(amount), severity, row.drill(key))
        for text, (key, _heading), amount, severity in zip(_PLOT_LABELS, BUCKETS, row.buckets, _SEVERITIES, strict=True)
    ]
    alt_text = join_parts(f"{bar.label}: {bar.text}" for bar in bars)
    late = f"{row.late_percent} % overdue" if row.late_percent else "nothing overdue"
    title = f"{row.currency}: {format_short(row.total)} open, {late}"
    return Plot(PlotKind.BARS, title, alt_text, bars=bars, unit=row.currency, currency=row.currency)
