"""The available reports by name, in the order in which they are listed."""

from __future__ import annotations

from collections.abc import Callable

from sqlmodel import Session

from connector.reports.ageing import ageing, ageing_by_customer
from connector.reports.cash_forecast import cash_forecast
from connector.reports.days_to_pay import days_to_pay
from connector.reports.dso import dso
from connector.reports.fees import fees
from connector.reports.reminder_results import reminder_results
from connector.reports.report import Report, ReportRow
from connector.reports.report_cache import cached
from connector.reports.scope import Scope

REPORTS: dict[str, Callable[[Session, Scope], Report[ReportRow]]] = {
    "ageing": ageing,
    "ageing-by-customer": ageing_by_customer,
    "dso": cached(dso),
    "days-to-pay": days_to_pay,
    "cash-forecast": cached(cash_forecast),
    "reminder-results": reminder_results,
    "fees": fees,
}
TITLES = {
    "ageing": "Aged receivables",
    "ageing-by-customer": "Aged receivables by customer",
    "dso": "Days sales outstanding (DSO) and its trend",
    "days-to-pay": "Days to pay, by segment",
    "cash-forecast": "Cash forecast for the coming weeks",
    "reminder-results": "Payments within seven days of each reminder step",
    "fees": "Late fees charged and waived, by month",
}
