"""Days to pay: the time from the invoice date to payment in full, by segment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import and_, false, or_, select
from sqlmodel import Session

from connector.reports import customer_segments
from connector.reports.formatting import join_parts, percentage
from connector.reports.report import Column, ColumnKind, Plot, PlotKind, Report, ReportRow, Span
from connector.reports.scope import INVOICE, Scope, in_companies
from connector.sync.mirror.customer_behaviour import is_settled_by_money
from connector.vocabulary.labels import label
from policies.receivables import InvoiceStatus, Segment

_YEAR = timedelta(days=365)
ALL = "all"


class PaidInvoice(NamedTuple):
    """An invoice paid in full: the days from its date to payment, and the days late, None without a due date."""

    days_to_pay: int
    days_late: int | None


@dataclass(frozen=True, slots=True)
class DaysToPayRow(ReportRow):
    """How long the customers of a segment take to pay; the figures about lateness need a due date."""

    segment: str
    invoices: int
    first_quartile: int
    median: int
    third_quartile: int
    median_days_late: int | None
    late_percent: float | None


def days_to_pay(session: Session, scope: Scope) -> Report[DaysToPayRow]:
    """Report days to pay of the invoices paid in full in the last twelve months."""
    paid = _paid(session, scope)
    groups = [each.value for each in Segment if paid.get(each.value)]
    everything = [each for group in groups for each in paid[group]]
    rows = [build_row(group, paid[group]) for group in groups] + ([build_row(ALL, everything)] if everything else [])
    return Report(
        name="days-to-pay",
        title="Days to pay",
        question="How long do customers take to pay?",
        formula=(
            "Days from the invoice date to payment in full, for invoices paid in the last 365 days. Median: half of"
            " them were paid at least as fast. The segment is the customer's current one."
        ),
        columns=(
            Column("segment", "Segment"),
            Column("invoices", "Invoices", ColumnKind.NUMBER),
            Column("first_quartile", "25 % paid within", ColumnKind.DAYS),
            Column("median", "Median", ColumnKind.DAYS),
            Column("third_quartile", "75 % paid within", ColumnKind.DAYS),
            Column("median_days_late", "Median days late", ColumnKind.DAYS),
            Column("late_percent", "Paid late", ColumnKind.SHARE),
        ),
        rows=rows,
        plots=[_plot(rows)] if rows else [],
        empty="No invoice was paid in the last 365 days. It appears with the first that is.",
    )


def build_row(segment: str, paid: Sequence[PaidInvoice]) -> DaysToPayRow:
    """Return the row of a group of invoices, which must not be empty."""
    took = sorted(each.days_to_pay for each in paid)
    late = sorted(each.days_late for each in paid if each.days_late is not None)
    return DaysToPayRow(
        id=segment,
        segment="All" if segment == ALL else label(Segment(segment)),
        invoices=len(took),
        first_quartile=quantile(took, 0.25),
        median=quantile(took, 0.5),
        third_quartile=quantile(took, 0.75),
        median_days_late=quantile(late, 0.5) if late else None,
        late_percent=percentage(sum(day > 0 for day in late), len(late)),
    )


def quantile(ordered: Sequence[int], fraction: float) -> int:
    """Return the nearest-rank quantile of ``ordered``."""
    return ordered[max(0, -int(-fraction * len(ordered) // 1) - 1)]


def _paid(session: Session, scope: Scope) -> dict[str, list[PaidInvoice]]:
    found: defaultdict[str, list[PaidInvoice]] = defaultdict(list)
    segments, settled_on = customer_segments.find_segments(session, scope), INVOICE.c.closed_on
    lately = [
        and_(in_companies(INVOICE, ids), settled_on > day - _YEAR, settled_on <= day)
        for day, ids in scope.companies_by_date()
    ]
    query = select(
        INVOICE.c.connection_id, INVOICE.c.customer_id, INVOICE.c.issued_on, INVOICE.c.due_on, settled_on
    ).where(INVOICE.c.status == InvoiceStatus.PAID.value, is_settled_by_money(), or_(false(), *lately))
    for company, customer_id, issued_on, due_on, paid_on in session.execute(query).all():
        late = (paid_on - due_on).days if due_on else None
        segment = segments.get((company, customer_id), Segment.NEW.value)
        found[segment].append(PaidInvoice((paid_on - issued_on).days, late))
    return dict(found)


def _plot(rows: Iterable[DaysToPayRow]) -> Plot:
    spans = [Span(row.segment, row.median, row.first_quartile, row.third_quartile) for row in rows]
    alt_text = join_parts(
        f"{span.label}: median {span.value} days, 25 % within {span.low} days, 75 % within {span.high} days"
        for span in spans
    )
    return Plot(PlotKind.RANGES, "Days from invoice to payment", alt_text, spans=spans, unit="days")
