"""Late fees charged and waived, by month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, SQLModel

from connector.reports.dso import month_ends
from connector.reports.formatting import format_short, join_parts
from connector.reports.report import Column, ColumnKind, Plot, PlotKind, Report, ReportRow, Span
from connector.reports.scope import Scope, in_companies
from policies.formatting import format_month

_CHARGED, _WAIVED = "late_fee", "fee_waiver"


@dataclass(frozen=True, slots=True)
class FeesRow(ReportRow):
    """The late fees of a month: charged, how many, waived, and net."""

    currency: str
    on: date
    charged: Decimal
    fees: int
    waived: Decimal
    net: Decimal


def fees(session: Session, scope: Scope) -> Report[FeesRow]:
    """Report the late fees of the last twelve months and of the current one."""
    months = [*(end.replace(day=1) for end in month_ends(scope.today)), scope.today.replace(day=1)]
    sums, counts = _sums(session, scope, months[0])
    currencies = sorted({currency for currency, _, _ in sums})
    rows = [
        FeesRow(
            f"{currency}:{on:%Y-%m}", currency, on, charged, counts[currency, on, _CHARGED], waived, charged - waived
        )
        for currency in currencies
        for on in months
        for charged, waived in [(sums[currency, on, _CHARGED], sums[currency, on, _WAIVED])]
    ]
    return Report(
        name="fees",
        title="Late fees",
        question="How much was charged in late fees, and how much was waived?",
        formula=(
            "Fees posted in the month, and fees waived in the month, whenever they were charged, by the company's time"
            " zone. Drafts that were never posted do not count."
        ),
        columns=(
            Column("currency", "Currency"),
            Column("on", "Month", ColumnKind.MONTH),
            Column("charged", "Charged", ColumnKind.MONEY),
            Column("fees", "Fees", ColumnKind.NUMBER),
            Column("waived", "Waived", ColumnKind.MONEY),
            Column("net", "Net", ColumnKind.MONEY),
        ),
        rows=rows,
        plots=[_plot(each, [row for row in rows if row.currency == each]) for each in currencies],
        empty="No late fee has been posted. They appear once a policy charges them.",
    )


def _sums(
    session: Session, scope: Scope, since: date
) -> tuple[defaultdict[tuple[str, date, str], Decimal], defaultdict[tuple[str, date, str], int]]:
    outbox = SQLModel.metadata.tables["outbox"]
    zones = {row.id: ZoneInfo(row.time_zone) for row in scope.companies}
    query = select(outbox.c.connection_id, outbox.c.currency, outbox.c.kind, outbox.c.ended_at, outbox.c.payload).where(
        in_companies(outbox, scope.ids),
        outbox.c.kind.in_([_CHARGED, _WAIVED]),
        outbox.c.state == "done",
        outbox.c.ended_at >= datetime.combine(since, time(), UTC),
    )
    sums: defaultdict[tuple[str, date, str], Decimal] = defaultdict(Decimal)
    counts: defaultdict[tuple[str, date, str], int] = defaultdict(int)
    for row in session.execute(query):
        first = row.ended_at.astimezone(zones[row.connection_id]).date().replace(day=1)
        key = (row.currency, first, row.kind)
        sums[key] += Decimal(row.payload["amount"])
        counts[key] += 1
    return sums, counts


def _plot(currency: str, rows: Sequence[FeesRow]) -> Plot:
    spans = [Span(format_month(row.on), float(row.charged), secondary=float(row.waived)) for row in rows]
    charged, waived = sum((row.charged for row in rows), Decimal()), sum((row.waived for row in rows), Decimal())
    alt_text = join_parts(
        f"{format_month(row.on)}: {format_short(row.charged)} charged, {format_short(row.waived)} waived"
        for row in rows
        if row.charged or row.waived
    )
    title = f"{currency}: {format_short(charged)} charged, {format_short(waived)} waived"
    legend = ("charged", "waived")
    return Plot(PlotKind.COLUMNS, title, alt_text, spans=spans, unit=currency, legend=legend, currency=currency)
