"""Cash collected: the money received in each of the last weeks, and how much of it followed a reminder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlmodel import Session

from connector.reports.formatting import format_short, join_parts, short_date
from connector.reports.invoices_behind import BehindRow, behind_columns, is_currency, name_rows, total_of
from connector.reports.receipts import WITHIN_DAYS, daily_receipts, list_receipts, list_reminded
from connector.reports.report import Column, ColumnKind, Drill, Plot, PlotKind, Report, ReportRow, Span
from connector.reports.scope import Scope
from policies.formatting import format_date

WEEKS = 13
_FIGURES = {"collected", "on_invoices", "unapplied", "reminded"}


@dataclass(frozen=True, slots=True)
class CollectedRow(ReportRow):
    """The money received in a week; ``reminded`` is the part that followed a reminder within seven days."""

    currency: str
    on: date
    collected: Decimal
    on_invoices: Decimal
    unapplied: Decimal
    reminded: Decimal

    def drill(self, key: str) -> Drill | None:
        """Return the payments of the week."""
        return Drill(row=self.id, column=key) if key in _FIGURES and getattr(self, key) else None


def cash_collected(session: Session, scope: Scope) -> Report[CollectedRow]:
    """Report the money received in the last weeks by currency."""
    weeks = week_starts(scope)
    sums: defaultdict[tuple[str, date, str], Decimal] = defaultdict(Decimal)
    for currency, on, is_on_invoice, amount in daily_receipts(session, scope, weeks[0]):
        sums[currency, monday_of(on), "on_invoices" if is_on_invoice else "unapplied"] += amount
    currencies = {currency for currency, _, _ in sums}
    for each in list_reminded(session, scope, weeks[0]) if currencies else ():
        sums[each.receipt.currency, monday_of(each.receipt.on), "reminded"] += each.receipt.amount
    rows = [
        CollectedRow(f"{currency}:{on}", currency, on, applied + unapplied, applied, unapplied, reminded)
        for currency in sorted(currencies)
        for on in weeks
        for applied, unapplied, reminded in [
            tuple(sums[currency, on, key] for key in ("on_invoices", "unapplied", "reminded"))
        ]
    ]
    return Report(
        name="cash-collected",
        title="Cash collected",
        question="How much did customers pay in each of the last weeks?",
        formula=(
            "Money received in the week from Monday to Sunday, by the date of the payment: payments, deposits and over-"
            " and prepayments. Credit notes and write-offs are no money. After a reminder: what came on an invoice"
            f" within {WITHIN_DAYS} days after an email or call about it."
        ),
        columns=(
            Column("currency", "Currency"),
            Column("on", "Week from", ColumnKind.DAY),
            Column("collected", "Collected", ColumnKind.MONEY),
            Column("on_invoices", "On invoices", ColumnKind.MONEY),
            Column("unapplied", "Not on an invoice", ColumnKind.MONEY),
            Column("reminded", "After a reminder", ColumnKind.MONEY),
        ),
        rows=rows,
        plots=[_plot(each, [row for row in rows if row.currency == each]) for each in sorted(currencies)],
        empty=f"No money was received in the last {WEEKS} weeks. It appears with the first payment that a sync reads.",
    )


def collected_behind(session: Session, scope: Scope, row_id: str, column: str) -> Report[BehindRow] | None:
    """List the payments behind a figure of a week; None where there is no such week."""
    currency, _, text = row_id.partition(":")
    week = next((each for each in week_starts(scope) if each.isoformat() == text), None)
    if week is None or column not in _FIGURES or not is_currency(currency):
        return None
    until = week + timedelta(days=6)
    if column == "reminded":  # as the report finds them, which looks back for reminders from its first week
        receipts = [each.receipt for each in list_reminded(session, scope, week_starts(scope)[0])]
        found = [each for each in receipts if each.currency == currency and week <= each.on <= until]
    else:
        found = list_receipts(session, scope, currency, week, until)
        if column != "collected":
            found = [each for each in found if bool(each.invoice_id) == (column == "on_invoices")]
    rows = [each.contribution for each in found]
    about = {
        "collected": "Collected",
        "on_invoices": "Collected on invoices",
        "unapplied": "Collected, not on an invoice",
        "reminded": "Collected after a reminder",
    }[column]
    return Report(
        name="cash-collected",
        title=f"{about}: {currency}, week from {format_date(week)}",
        question="Which payments are these?",
        formula="Each row is what one payment brought on one invoice, or on none.",
        columns=behind_columns("Received on", "Amount"),
        rows=name_rows(session, scope, rows),
        total=total_of(rows, currency),
    )


def week_starts(scope: Scope) -> list[date]:
    """Return the Mondays of the last weeks, of the current week last."""
    newest = max([scope.today, *(on for on, _ in scope.companies_by_date())])
    return [monday_of(newest) - timedelta(weeks=back) for back in reversed(range(WEEKS))]


def monday_of(on: date) -> date:
    """Return the Monday of the week of a date."""
    return on - timedelta(days=on.weekday())


def _plot(currency: str, rows: Sequence[CollectedRow]) -> Plot:
    spans = [
        Span(
            short_date(row.on), float(row.collected), part=float(row.reminded), drill=row.drill("collected")
        )
        for row in rows
    ]  # fmt: skip
    total = sum((row.collected for row in rows), Decimal())
    reminded = sum((row.reminded for row in rows), Decimal())
    alt_text = join_parts(
        f"week from {short_date(row.on)}: {format_short(row.collected)}, {format_short(row.reminded)} after a reminder"
        for row in rows
        if row.collected
    )
    title = f"{currency}: {format_short(total)} in {len(rows)} weeks, {format_short(reminded)} after a reminder"
    legend = ("other", "after a reminder")
    return Plot(PlotKind.COLUMNS, title, alt_text, spans=spans, unit=currency, legend=legend, currency=currency)
