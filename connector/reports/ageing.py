"""Aged receivables: open balances by currency and days overdue, in total and by customer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, func, or_, select
from sqlmodel import Session, SQLModel

from connector.db.money import from_e4
from connector.reports.formatting import format_short, join_parts, percentage
from connector.reports.report import Bar, Column, Plot, Report
from connector.reports.scope import INVOICE, Scope

BUCKETS = (
    ("not_due", "Not due yet"),
    ("days_1_30", "1–30 days overdue"),
    ("days_31_60", "31–60 days overdue"),
    ("days_61_90", "61–90 days overdue"),
    ("days_over_90", "Over 90 days overdue"),
)
_SEVERITIES = ("", "", "warn", "warn", "bad")
_BUCKET_ENDS = (30, 60, 90)
_FORMULA = (
    "The balance of every open invoice, by days since its due date in the company's time zone; an invoice without a due"
    " date counts as not due. Unapplied credits are not deducted."
)
_BUCKET_COLUMNS = tuple(Column(key, heading, "money") for key, heading in BUCKETS)
_TOTAL_COLUMNS = (Column("total", "Total", "money"), Column("late_percent", "Overdue", "share"))


def ageing(session: Session, scope: Scope) -> Report:
    """Report the open balance in each currency, by age."""
    rows = sorted(_sum_by_bucket(session, scope, INVOICE.c.currency), key=lambda row: -row["total"])
    return Report(
        name="ageing",
        title="Aged receivables",
        question="How much do customers owe, and how overdue is it?",
        formula=_FORMULA,
        columns=(
            Column("currency", "Currency"),
            *_BUCKET_COLUMNS,
            *_TOTAL_COLUMNS,
            Column("invoices", "Invoices", "number"),
        ),
        rows=[{"id": row["currency"], **row} for row in rows],
        plots=[_plot(row) for row in rows],
    )


def ageing_by_customer(session: Session, scope: Scope) -> Report:
    """Report the open balance of each customer, by age, the largest overdue balance first."""
    company, customer = INVOICE.c.connection_id, INVOICE.c.customer_id
    rows = list(_sum_by_bucket(session, scope, INVOICE.c.currency, company, customer))
    rows.sort(key=lambda row: (row["not_due"] - row["total"], -row["total"], row["customer_id"]))
    names, companies = _names(session, scope), {row.id: row.name for row in scope.companies}
    lines = [
        {
            "id": f"{row['connection_id']}:{row['customer_id']}:{row['currency']}",
            "customer": names.get((row["connection_id"], row["customer_id"]), row["customer_id"]),
            "company": companies[row["connection_id"]],
            **row,
        }
        for row in rows
    ]
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
        rows=lines,
    )


def _sum_by_bucket(session: Session, scope: Scope, *group: Any) -> list[dict[str, Any]]:
    """Sum open balances by age within each group."""
    bucket = _bucket(scope).label("bucket")
    query = (
        select(*group, bucket, func.sum(INVOICE.c.due_e4).label("due"), func.count().label("invoices"))
        .where(scope.billed(), INVOICE.c.is_open)
        .group_by(*group, bucket)
    )
    names = [column.name for column in group]
    sums: defaultdict[tuple[Any, ...], dict[int, int]] = defaultdict(dict)
    counts: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    for row in session.execute(query):
        key = tuple(row[: len(names)])
        sums[key][row.bucket] = int(row.due)
        counts[key] += row.invoices
    return [
        {**dict(zip(names, key, strict=True)), **_bucket_totals(found), "invoices": counts[key]}
        for key, found in sums.items()
    ]


def _bucket_totals(found: Mapping[int, int]) -> dict[str, Any]:
    sums = {key: from_e4(found.get(place, 0)) for place, (key, _) in enumerate(BUCKETS)}
    total = sum(sums.values(), Decimal())
    return {**sums, "total": total, "late_percent": percentage(float(total - sums["not_due"]), float(total))}


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
        *((since(last), place) for place, last in enumerate(_BUCKET_ENDS, start=1)),
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


def _plot(row: Mapping[str, Any]) -> Plot:
    bars = [
        Bar(heading, float(row[key]), format_short(row[key]), severity)
        for (key, heading), severity in zip(BUCKETS, _SEVERITIES, strict=True)
    ]
    alt_text = join_parts(f"{bar.label}: {bar.text}" for bar in bars)
    late = f"{row['late_percent']} % overdue" if row["late_percent"] else "nothing overdue"
    return Plot(
        "bars",
        f"{row['currency']}: {format_short(row['total'])} open, {late}",
        alt_text,
        bars=bars,
        unit=row["currency"],
    )
