"""The dashboard of reports: the figures of one currency at a glance, and the reports that they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, TypeVar

from sqlmodel import Session

from connector.reports.ageing import AgeingRow
from connector.reports.cash_collected import CollectedRow
from connector.reports.cash_forecast import ExpectedCash, ForecastRow, expected_cash
from connector.reports.catalogue import REPORTS
from connector.reports.dso import DsoRow
from connector.reports.formatting import percentage
from connector.reports.promises import PromisesRow
from connector.reports.reminder_results import ReminderResultRow
from connector.reports.report import Drill, Report, ReportRow
from connector.reports.scope import Scope
from policies.formatting import format_amount

RowT = TypeVar("RowT", bound=ReportRow)
SHOWN = ("cash-collected", "cash-forecast", "ageing", "dso", "promises", "reminder-results")
_IN_CURRENCY = (CollectedRow, ForecastRow, AgeingRow, DsoRow, ReminderResultRow)


class Figure(NamedTuple):
    """A figure at the head of the page: what it is, its value, and a note; ``report`` is where it comes from."""

    label: str
    value: str
    note: str
    report: str
    drill: Drill | None = None


@dataclass(frozen=True, slots=True)
class ReportDashboard:
    """The reports in one currency of the companies; ``currencies`` are all that they have figures in."""

    currencies: Sequence[str]
    currency: str
    figures: Sequence[Figure]
    reports: Sequence[Report[ReportRow]]


def load_dashboard(session: Session, scope: Scope, currency: str = "") -> ReportDashboard:
    """Load the dashboard in a currency: the one asked for, else the one with the most open invoices."""
    if not scope.companies:
        return ReportDashboard((), "", (), ())
    built = [REPORTS[name](session, scope) for name in SHOWN]
    counts = {row.currency: row.invoices for row in _rows(built, AgeingRow)}
    found = {row.currency for report in built for row in report.rows if isinstance(row, _IN_CURRENCY)}
    currencies = sorted(found, key=lambda each: (-counts.get(each, 0), each))
    shown = currency if currency in found else next(iter(currencies), "")
    reports = [report.in_currency(shown) for report in built]
    expected = expected_cash(session, scope).get(shown)
    return ReportDashboard(currencies, shown, _figures(reports, shown, expected), reports)


def _figures(reports: Sequence[Report[ReportRow]], currency: str, expected: ExpectedCash | None) -> list[Figure]:
    figures = []
    for row in _rows(reports, AgeingRow):
        overdue = row.total - row.not_due
        note = f"{row.late_percent or 0:.0f} % of {format_amount(row.total, currency)} open"
        drill = Drill({"state": "overdue", "currency": currency})
        figures.append(Figure("Overdue", format_amount(overdue, currency), note, "ageing", drill))
    if expected is not None and expected.high:
        low, high = (format_amount(each, currency) for each in (expected.low, expected.high))
        value = format_amount(expected.expected, currency)
        figures.append(
            Figure("Expected in 7 days", value, f"80 % range: {low} to {high.partition(' ')[2]}", "cash-forecast")
        )
    weeks = _rows(reports, CollectedRow)
    if weeks:
        figures.append(_collected(weeks, currency))
    known = [row for row in _rows(reports, DsoRow) if row.is_current and row.days is not None]
    figures += [Figure("DSO", f"{row.days:.0f} days", "days of sales unpaid", "dso") for row in known]
    months = _rows(reports, PromisesRow)
    kept, due = sum(row.kept for row in months), sum(row.kept + row.broken for row in months)
    if due:
        note = f"{kept} of {due} in 12 months, all currencies"
        figures.append(Figure("Promises kept", f"{percentage(kept, due):.0f} %", note, "promises"))
    steps = _rows(reports, ReminderResultRow)
    received = sum((row.received for row in steps), Decimal())
    if steps:
        figures.append(
            Figure("Received after reminders", format_amount(received, currency), "within 7 days, in 12 months",
                   "reminder-results")
        )  # fmt: skip
    return figures


def _collected(weeks: Sequence[CollectedRow], currency: str) -> Figure:
    """Return the cash of the week, beside the average of the complete weeks before."""
    *before, current = weeks
    average = sum((row.collected for row in before), Decimal()) / max(len(before), 1)
    note = f"{format_amount(average, currency)} on average in the {len(before)} weeks before"
    return Figure(
        "Collected this week", format_amount(current.collected, currency), note, "cash-collected",
        current.drill("collected"),
    )  # fmt: skip


def _rows(reports: Sequence[Report[ReportRow]], kind: type[RowT]) -> list[RowT]:
    return [row for report in reports for row in report.rows if isinstance(row, kind)]
