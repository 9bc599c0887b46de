"""One statement with everything a decision about it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from policies.calendar import Calendar
from policies.policy import ReminderPolicy
from policies.receivables import Customer, Invoice, Segment, Statement


class Hold(NamedTuple):
    """Why nothing happens to an invoice, and until when, where that is known."""

    reason: str
    until_on: date | None = None


@dataclass(frozen=True, slots=True)
class StatementContext:
    """One statement on one day. ``credit_coverage`` is the unapplied credit that covers each invoice, by invoice id."""

    statement: Statement
    policy: ReminderPolicy
    today: date
    now: datetime
    calendar: Calendar
    segment: Segment
    credit_coverage: Mapping[str, Decimal]
    stale_hold: Hold | None
    is_forecast: bool = False  # what is decided about a day ahead is read before it

    def customers(self, invoice: Invoice) -> tuple[Customer, ...]:
        """Return whose settings count for an invoice: who is written to, and whose invoice it is; the stricter wins."""
        customer, sub_customer = self.statement.customer, invoice.sub_customer
        return (customer,) if sub_customer is None else (customer, sub_customer)
