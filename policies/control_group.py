"""Reports what a change of policy did, beside who kept the old one, and whether that may be chance.

Every invoice that fell due since the change counts, also one that is still open: it is as late as it is today.
A customer counts once, with the mean of his invoices, because his invoices are paid alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from math import sqrt
from statistics import fmean, median, variance

from policies.receivables import Invoice, InvoiceStatus

MIN_CUSTOMERS = 8  # in each group, before a difference is more than an anecdote
_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class PaymentGroup:
    """How the customers of one policy paid: the mean days late of each, and how many invoices are behind it."""

    days_late: tuple[float, ...]
    invoices: int
    still_open: int

    @property
    def customers(self) -> int:
        """Count the customers."""
        return len(self.days_late)


@dataclass(frozen=True, slots=True)
class PolicyEffect:
    """The new policy beside the old one. ``difference`` is in days late; below 0 the new one brings money sooner."""

    treated: PaymentGroup
    control: PaymentGroup
    difference: float | None
    low: float | None
    high: float | None

    def summary(self) -> str:
        """Say it in a sentence."""
        if self.difference is None or self.low is None or self.high is None:
            least = f"{MIN_CUSTOMERS} customers with an invoice due since in each group"
            return (
                f"Too few to tell: {self.treated.customers} new, {self.control.customers} held out; it takes {least}."
            )
        direction = "sooner" if self.difference <= 0 else "later"
        chance = "" if self.low > 0 or self.high < 0 else " That may be chance."
        return (
            f"Paid {abs(self.difference):.1f} days {direction} than the {self.control.customers} customers held out, "
            f"95 % interval {self.low:+.1f} to {self.high:+.1f} days, over {self.treated.customers} customers.{chance}"
        )


def build_group(customers: Iterable[Sequence[Invoice]], since_on: date, today: date) -> PaymentGroup:
    """Gather a group: each customer's invoices that fell due since the change."""
    means, invoices, still_open = [], 0, 0
    for owned in customers:
        late = [days for invoice in owned if (days := _days_late(invoice, since_on, today)) is not None]
        if late:
            means.append(fmean(late))
            invoices += len(late)
            still_open += sum(each.status is InvoiceStatus.OPEN and _due_since(each, since_on, today) for each in owned)
    return PaymentGroup(tuple(means), invoices, still_open)


def compare_groups(treated: PaymentGroup, control: PaymentGroup) -> PolicyEffect:
    """Compare two groups; the interval is Welch's, over customers."""
    if min(treated.customers, control.customers) < MIN_CUSTOMERS:
        return PolicyEffect(treated, control, None, None, None)
    difference = fmean(treated.days_late) - fmean(control.days_late)
    error = sqrt(variance(treated.days_late) / treated.customers + variance(control.days_late) / control.customers)
    return PolicyEffect(treated, control, difference, difference - _NORMAL_95 * error, difference + _NORMAL_95 * error)


def median_days_late(group: PaymentGroup) -> float | None:
    """Give the median customer's days late."""
    return median(group.days_late) if group.days_late else None


def _due_since(invoice: Invoice, since_on: date, today: date) -> bool:
    return invoice.due_on is not None and since_on <= invoice.due_on < today and invoice.fee_of is None


def _days_late(invoice: Invoice, since_on: date, today: date) -> int | None:
    if invoice.due_on is None or not _due_since(invoice, since_on, today):
        return None
    if invoice.status is InvoiceStatus.PAID and invoice.closed_on is not None:
        return (invoice.closed_on - invoice.due_on).days
    return (today - invoice.due_on).days if invoice.status is InvoiceStatus.OPEN else None
