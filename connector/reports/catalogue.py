"""The reports there are, by name, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Callable

from sqlmodel import Session

from connector.reports.ageing import ageing, customers
from connector.reports.cash import cash
from connector.reports.days_to_pay import days_to_pay
from connector.reports.fees import fees
from connector.reports.outstanding import outstanding
from connector.reports.remembered import remembered
from connector.reports.report import Report
from connector.reports.scope import Scope
from connector.reports.steps import steps

REPORTS: dict[str, Callable[[Session, Scope], Report]] = {
    "ageing": ageing,
    "customers": customers,
    "outstanding": remembered(outstanding),
    "days-to-pay": days_to_pay,
    "cash": remembered(cash),
    "steps": steps,
    "fees": fees,
}
TITLES = {
    "ageing": "How much is owed, and how late it is",
    "customers": "Who owes it",
    "outstanding": "How many days of sales are owed: DSO and its trend",
    "days-to-pay": "How long customers take, by segment",
    "cash": "What will come in, week by week",
    "steps": "Which step gets paid within seven days",
    "fees": "Late fees charged and waived",
}
