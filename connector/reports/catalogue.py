"""The reports there are, by name, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Callable

from sqlmodel import Session

from connector.reports.ageing import ageing, ageing_by_customer
from connector.reports.cash_forecast import cash_forecast
from connector.reports.days_to_pay import days_to_pay
from connector.reports.dso import dso
from connector.reports.fees import fees
from connector.reports.reminder_results import reminder_results
from connector.reports.report import Report
from connector.reports.report_cache import cached
from connector.reports.scope import Scope

REPORTS: dict[str, Callable[[Session, Scope], Report]] = {
    "ageing": ageing,
    "ageing-by-customer": ageing_by_customer,
    "dso": cached(dso),
    "days-to-pay": days_to_pay,
    "cash-forecast": cached(cash_forecast),
    "reminder-results": reminder_results,
    "fees": fees,
}
TITLES = {
    "ageing": "How much is owed, and how late it is",
    "ageing-by-customer": "Who owes it",
    "dso": "How many days of sales are owed: DSO and its trend",
    "days-to-pay": "How long customers take, by segment",
    "cash-forecast": "What will come in, week by week",
    "reminder-results": "Which step gets paid within seven days",
    "fees": "Late fees charged and waived",
}
