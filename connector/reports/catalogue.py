"""The available reports by name, in the order in which they are listed."""

from __future__ import annotations

from collections.abc import Callable

from sqlmodel import Session

from connector.reports.ageing import ageing, ageing_by_customer
from connector.reports.cash_collected import cash_collected, collected_behind
from connector.reports.cash_forecast import cash_forecast, forecast_behind
from connector.reports.days_to_pay import days_to_pay
from connector.reports.dso import dso
from connector.reports.fees import fees
from connector.reports.invoices_behind import BehindRow
from connector.reports.promises import promises, promises_behind
from connector.reports.reminder_results import reminder_results, reminders_behind
from connector.reports.report import Report, ReportRow
from connector.reports.report_cache import cached
from connector.reports.scope import Scope

REPORTS: dict[str, Callable[[Session, Scope], Report[ReportRow]]] = {
    "cash-collected": cash_collected,
    "cash-forecast": cached(cash_forecast),
    "ageing": ageing,
    "ageing-by-customer": ageing_by_customer,
    "dso": cached(dso),
    "promises": promises,
    "reminder-results": reminder_results,
    "days-to-pay": days_to_pay,
    "fees": fees,
}
TITLES = {
    "cash-collected": "Cash collected, by week",
    "cash-forecast": "Cash forecast for the coming weeks",
    "ageing": "Aged receivables",
    "ageing-by-customer": "Aged receivables by customer",
    "dso": "Days sales outstanding (DSO) and its trend",
    "promises": "Promises to pay, kept and broken",
    "reminder-results": "Payments within seven days of each reminder step",
    "days-to-pay": "Days to pay, by segment",
    "fees": "Late fees charged and waived, by month",
}
# The invoices behind a figure, by the row and the column that ``Drill`` names
BEHIND: dict[str, Callable[[Session, Scope, str, str], Report[BehindRow] | None]] = {
    "cash-collected": collected_behind,
    "cash-forecast": forecast_behind,
    "promises": promises_behind,
    "reminder-results": reminders_behind,
}
