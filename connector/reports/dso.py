"""Days sales outstanding (DSO), today and at the ends of the last months."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from dateutil.relativedelta import relativedelta
from sqlalchemy import and_, extract, func, literal, select, union_all
from sqlmodel import Session, SQLModel

from connector.db.money import from_e4
from connector.reports.formatting import join_parts
from connector.reports.report import Column, ColumnKind, Drill, Plot, PlotKind, Report, ReportRow, Span
from connector.reports.scope import INVOICE, Scope, in_companies
from policies.formatting import format_month
from policies.receivables import CreditKind

MONTHS = 12
SALES_DAYS = 90
_DATE_PARTS = ("year", "month")
_Month = tuple[int, int]


@dataclass(frozen=True, slots=True)
class DsoRow(ReportRow):
    """Days sales outstanding at the end of a day; ``days`` is None without sales."""

    currency: str
    on: date
    open: Decimal
    invoiced: Decimal
    credited: Decimal
    days: float | None
    is_current: bool

    def drill(self, key: str) -> Drill | None:
        """Return the invoices issued in the days before, or those that are open now."""
        dates = {"currency": self.currency, "issued_to": self.on.isoformat()}
        if key == "invoiced":
            since = self.on - timedelta(days=SALES_DAYS - 1)
            return Drill({"state": "issued", **dates, "issued_from": since.isoformat()})
        return Drill(dates) if key == "open" and self.is_current else None


class DailySales(NamedTuple):
    """What was invoiced on a date, how much of that is still open, and the credit notes of the date."""

    on: date
    total_e4: int
    due_e4: int
    credited_e4: int = 0


def dso(session: Session, scope: Scope) -> Report[DsoRow]:
    """Report days sales outstanding by currency."""
    ends = [*month_ends(scope.today), scope.today]
    days, paid = _daily_sales(session, scope), _applied_later(session, scope, ends[0])
    currencies = sorted(days, key=lambda each: (-sum(day.total_e4 for day in days[each]), each))
    rows = [
        row
        for currency in currencies
        for on in ends
        for row in [row_at(currency, on, scope.today, days[currency], paid.get(currency, {}))]
        if row
    ]
    return Report(
        name="dso",
        title="Days sales outstanding",
        question="How many days of sales are still unpaid?",
        formula=(
            f"Receivables at the end of the day ÷ sales of the {SALES_DAYS} days up to it × {SALES_DAYS}. Receivables"
            " at that time are those still open now, plus what was paid or credited later. Sales are the invoices less"
            " the credit notes dated in these days."
        ),
        columns=(
            Column("currency", "Currency"),
            Column("on", "At the end of", ColumnKind.DAY),
            Column("open", "Open", ColumnKind.MONEY),
            Column("invoiced", f"Invoiced in {SALES_DAYS} days", ColumnKind.MONEY),
            Column("credited", f"Credited in {SALES_DAYS} days", ColumnKind.MONEY),
            Column("days", "DSO in days", ColumnKind.DAYS),
        ),
        rows=rows,
        plots=[
            _plot(currency, shown)
            for currency in currencies
            if (shown := [row for row in rows if row.currency == currency])
        ],
        notes=(f"A month appears once there are invoices from {SALES_DAYS} days before it.",),
        empty=f"DSO needs invoices from the last {SALES_DAYS} days. It appears once the oldest of them is"
        f" {SALES_DAYS} days old.",
    )


def month_ends(today: date, count: int = MONTHS) -> list[date]:
    """Return the last days of the complete months before a date, the oldest first."""
    first = today.replace(day=1)
    return [first - relativedelta(months=months, days=1) for months in reversed(range(count))]


def row_at(
    currency: str, on: date, today: date, days: Sequence[DailySales], paid: Mapping[tuple[_Month, _Month], int]
) -> DsoRow | None:
    """Return the figures at the end of a day; None where the invoices do not reach back far enough.

    ``paid`` has the amounts that were invoiced in one month and paid or credited in another.
    """
    since = on - timedelta(days=SALES_DAYS - 1)
    known = [day for day in days if day.total_e4]
    if not known or min(day.on for day in known) > since:
        return None
    recent = [day for day in days if since <= day.on <= on]
    invoiced, credited = sum(day.total_e4 for day in recent), sum(day.credited_e4 for day in recent)
    owed = sum(day.due_e4 for day in days if day.on <= on)
    if on < today:  # the end of a month: whole months show what was paid after it
        here = (on.year, on.month)
        owed += sum(amount for (issued, applied), amount in paid.items() if issued <= here < applied)
    sales = invoiced - credited
    ratio = round(owed / sales * SALES_DAYS, 1) if sales > 0 else None
    amounts = (from_e4(owed), from_e4(invoiced), from_e4(credited))
    return DsoRow(f"{currency}:{on}", currency, on, *amounts, ratio, on == today)


def _daily_sales(session: Session, scope: Scope) -> dict[str, list[DailySales]]:
    credit, zero = SQLModel.metadata.tables["credit"], literal(0)
    invoiced = (
        select(INVOICE.c.currency, INVOICE.c.issued_on, func.sum(INVOICE.c.total_e4), func.sum(INVOICE.c.due_e4), zero)
        .where(scope.billed(), INVOICE.c.issued_on <= scope.today)
        .group_by(INVOICE.c.currency, INVOICE.c.issued_on)
    )
    credited = (
        select(credit.c.currency, credit.c.dated_on, zero, zero, func.sum(credit.c.total_e4))
        .where(
            in_companies(credit, scope.ids),
            credit.c.kind == CreditKind.CREDIT_NOTE,
            credit.c.dated_on <= scope.today,
        )
        .group_by(credit.c.currency, credit.c.dated_on)
    )
    found: defaultdict[str, list[DailySales]] = defaultdict(list)
    for currency, on, *amounts in session.execute(union_all(invoiced, credited)):
        found[currency].append(DailySales(on, *map(int, amounts)))
    return dict(found)


def _applied_later(session: Session, scope: Scope, since: date) -> dict[str, dict[tuple[_Month, _Month], int]]:
    """Sum what was paid or credited after a date, by the month of the invoice and of the payment."""
    application = SQLModel.metadata.tables["application"]
    months = [extract(part, each) for each in (INVOICE.c.issued_on, application.c.applied_on) for part in _DATE_PARTS]
    query = (
        select(INVOICE.c.currency, func.sum(application.c.amount_e4), *months)
        .join_from(
            application,
            INVOICE,
            and_(
                INVOICE.c.connection_id == application.c.connection_id,
                INVOICE.c.external_id == application.c.invoice_id,
            ),
        )
        .where(in_companies(application, scope.ids), scope.billed(), application.c.applied_on > since)
        .group_by(INVOICE.c.currency, *months)
    )
    found: defaultdict[str, dict[tuple[_Month, _Month], int]] = defaultdict(dict)
    for currency, amount, *when in session.execute(query):
        year, issued, paid_year, paid = map(int, when)
        found[currency][(year, issued), (paid_year, paid)] = int(amount)
    return dict(found)


def _plot(currency: str, rows: Sequence[DsoRow]) -> Plot:
    spans = [Span(format_month(row.on), row.days) for row in rows]
    known = [span for span in spans if span.value is not None]
    last = f"{known[-1].value:.0f} days" if known else "no recent sales"
    alt_text = join_parts(f"{span.label}: {span.value:.0f} days" for span in known) if known else "No data."
    return Plot(PlotKind.LINE, f"{currency}: {last}", alt_text, spans=spans, unit="days", currency=currency)
