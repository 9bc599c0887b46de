"""The last date on which an invoice is paid in time, where its due date is not a business day.

In some countries a payment that falls due on a weekend or public holiday may be made on the next business day
(in Germany: section 193 of the civil code). Whether it does is a setting of the policy, and of the presets.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date, timedelta

from policies.calendar import Calendar
from policies.fee_rules import WeekendDueDate
from policies.policy import ReminderPolicy
from policies.receivables import Company, Invoice, Statement

_SATURDAY = 5
_SEARCH_DAYS = 30


def with_payable_dates(statement: Statement, policy: ReminderPolicy, calendar: Calendar) -> Statement:
    """Return a statement whose invoices say until when they can be paid in time, where that is not the due date."""
    fees, place = policy.late_fees, statement.holiday_region
    regions = {place, place[:2], _likely_region(place, statement.company)}
    is_elsewhere = fees.due_on_weekend_regions and fees.due_on_weekend_regions.isdisjoint(regions)
    if fees.due_on_weekend is WeekendDueDate.STAYS or is_elsewhere:
        return statement
    return replace(statement, invoices=tuple(_with_payable_date(each, place, calendar) for each in statement.invoices))


def _likely_region(place: str, company: Company) -> str:
    """Return the region that counts for a customer: the company's own, where only their common country is known."""
    return company.holiday_region if company.holiday_region.partition("-")[0] == place else place


def _with_payable_date(invoice: Invoice, place: str, calendar: Calendar) -> Invoice:
    if invoice.due_on is None or is_business_day(invoice.due_on, place, calendar):
        return invoice
    return replace(invoice, payable_until_on=common_business_day(invoice.due_on, {place}, calendar))


def common_business_day(on: date, places: Collection[str], calendar: Calendar) -> date:
    """Return the day itself if it is a business day in all these countries or regions, else the next one that is."""
    days = (on + timedelta(days=count) for count in range(_SEARCH_DAYS))
    return next((day for day in days if all(is_business_day(day, each, calendar) for each in places)), on)


def is_business_day(on: date, place: str, calendar: Calendar) -> bool:
    """Return whether a day is neither on a weekend nor a public holiday.

    Where the region is unknown, a holiday of any region counts (in Britain those of England): a day of interest too
    few harms nobody.
    """
    return on.weekday() < _SATURDAY and not calendar.holiday_name(place, on, any_region=True)
