"""Compare how customers pay under a new policy with a control group that keeps the previous one.

Every invoice that fell due since the change counts, also an open one: it is as late as it is today. A customer counts
once, with the mean of their invoices, because the invoices of one customer are paid alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from math import sqrt
from statistics import fmean, median, variance

from policies.receivables import Invoice, InvoiceStatus

MIN_CUSTOMERS = 8  # in each group; with fewer, a difference says nothing
_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class PaymentGroup:
    """How the customers under one policy paid: the mean days late of each, and the number of their invoices."""

    days_late: tuple[float, ...]
    invoices: int
    still_open: int

    @property
    def customers(self) -> int:
        """The number of customers."""
        return len(self.days_late)


@dataclass(frozen=True, slots=True)
class PolicyEffect:
    """The new policy compared with the control group.

    ``difference`` is in days late, negative where customers pay sooner under the new policy; ``low`` and ``high`` bound
    its 95 % interval. All three are ``None`` where there are too few customers.
    """

    treated: PaymentGroup
    control: PaymentGroup
    difference: float | None
    low: float | None
    high: float | None

    def summary(self) -> str:
        """Summarise the effect in a sentence."""
        if self.difference is None or self.low is None or self.high is None:
            needed = f"{MIN_CUSTOMERS} customers with an invoice due since the change are needed in each group"
            groups = f"{self.treated.customers} with the new policy, {self.control.customers} in the control group"
            return f"Not enough data: {groups}; {needed}."
        direction = "sooner" if self.difference <= 0 else "later"
        chance = "" if self.low > 0 or self.high < 0 else " The difference may be due to chance."
        return (
            f"Paid {abs(self.difference):.1f} days {direction} than the {self.control.customers} customers in the "
            f"control group (95 % interval {self.low:+.1f} to {self.high:+.1f} days, "
            f"{self.treated.customers} customers with the new policy).{chance}"
        )


def build_group(customers: Iterable[Sequence[Invoice]], since_on: date, today: date) -> PaymentGroup:
    """Build a group from the invoices of its customers that fell due since the change."""
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
    low, high = difference - _NORMAL_95 * error, difference + _NORMAL_95 * error
    return PolicyEffect(treated, control, difference, low, high)


def median_days_late(group: PaymentGroup) -> float | None:
    """Return the days late of the median customer."""
    return median(group.days_late) if group.days_late else None


def _due_since(invoice: Invoice, since_on: date, today: date) -> bool:
    return invoice.due_on is not None and since_on <= invoice.due_on < today and invoice.fee_of is None


def _days_late(invoice: Invoice, since_on: date, today: date) -> int | None:
    if invoice.due_on is None or not _due_since(invoice, since_on, today):
        return None
    if invoice.status is InvoiceStatus.PAID and invoice.closed_on is not None:
        return (invoice.closed_on - invoice.due_on).days
    return (today - invoice.due_on).days if invoice.status is InvoiceStatus.OPEN else None
