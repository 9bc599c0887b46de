"""How a customer pays, learned from their own history: a payment forecast with its 80 % range, and a score.

Only invoices closed before the day of the decision count, and newer ones count more: an invoice loses half its weight
with every eight that were closed after it. The share paid late is drawn towards that of all customers where a customer
has little history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from typing import NamedTuple

from policies.formatting import format_days
from policies.receivables import PaymentBehaviour

HALF_LIFE_INVOICES = 8
PRIOR_INVOICES = 3  # with so many invoices a customer's own history weighs as much as that of all customers
UNCERTAINTY_INVOICES = 1.5  # how far the range of a short history is widened by that of all customers
INTERVAL = (0.1, 0.9)  # the quantiles of the 80 % range
ON_TIME_STREAK = 6  # with so many paid on time in a row, the receipt check is left out
CHRONICALLY_LATE_DAYS = 15
STEADY_SPREAD_DAYS = 4  # the widest 80 % range of a customer who always pays on the same day
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class ClosedInvoice(NamedTuple):
    """An invoice that was paid in full: when it was due and when it was closed."""

    due_on: date
    closed_on: date

    @property
    def days_late(self) -> int:
        """The days after the due date; negative if paid before it."""
        return (self.closed_on - self.due_on).days


@dataclass(frozen=True, slots=True)
class Baseline:
    """How all customers of the company pay together: what is expected of a customer without history."""

    median_days_late: float = 0.0
    low_days_late: float = 0.0
    high_days_late: float = 30.0
    late_share: float = 0.5


class Forecast(NamedTuple):
    """When an invoice will probably be paid, the 80 % range, and the probability that it is paid late."""

    expected_on: date
    earliest_on: date
    latest_on: date
    late_share: float


def learn_baseline(history: Sequence[ClosedInvoice], before_on: date) -> Baseline:
    """Learn the baseline of a company from the invoices closed before a day."""
    late = sorted(each.days_late for each in history if each.closed_on < before_on)
    if not late:
        return Baseline()
    weights = [1.0] * len(late)
    low, median, high = (_quantile(late, weights, share) for share in (INTERVAL[0], 0.5, INTERVAL[1]))
    return Baseline(median, low, high, sum(days > 0 for days in late) / len(late))


def learn_behaviour(
    history: Sequence[ClosedInvoice], baseline: Baseline, before_on: date, *, broke_promise: bool = False
) -> PaymentBehaviour:
    """Learn the payment behaviour of one customer from the invoices closed before a day."""
    known = sorted((each for each in history if each.closed_on < before_on), key=lambda each: each.closed_on)
    count = len(known)
    late_count = sum(each.days_late > 0 for each in known)
    low, median, high = _spread(known, baseline)
    return PaymentBehaviour(
        closed_invoices=count,
        median_days_late=median,
        low_days_late=low,
        high_days_late=high,
        late_share=(late_count + PRIOR_INVOICES * baseline.late_share) / (count + PRIOR_INVOICES),
        weekday=_weekday(known),
        on_time_streak=_on_time_streak(known),
        broke_promise=broke_promise,
    )


def _spread(known: Sequence[ClosedInvoice], baseline: Baseline) -> tuple[float, float, float]:
    """Return the low end, the median and the high end of the days late, newer invoices weighing more."""
    if not known:
        return baseline.low_days_late, baseline.median_days_late, baseline.high_days_late
    last = len(known) - 1
    pairs = sorted((each.days_late, 0.5 ** ((last - index) / HALF_LIFE_INVOICES)) for index, each in enumerate(known))
    late, weights = [days for days, _ in pairs], [weight for _, weight in pairs]
    low, median, high = (_quantile(late, weights, share) for share in (INTERVAL[0], 0.5, INTERVAL[1]))
    uncertainty = UNCERTAINTY_INVOICES / (len(known) + UNCERTAINTY_INVOICES)
    low -= uncertainty * max(baseline.median_days_late - baseline.low_days_late, 0.0)
    high += uncertainty * max(baseline.high_days_late - baseline.median_days_late, 0.0)
    return low, median, high


def _quantile(ordered: Sequence[int], weights: Sequence[float], share: float) -> float:
    """Return the weighted quantile of ordered values."""
    wanted = share * sum(weights)
    return float(next(value for value, reached in zip(ordered, accumulate(weights), strict=True) if reached >= wanted))


def _weekday(known: Sequence[ClosedInvoice]) -> int | None:
    """Return the weekday of more than half of at least six payments, if there is one."""
    if len(known) < ON_TIME_STREAK:
        return None
    weekday, times = Counter(each.closed_on.weekday() for each in known).most_common(1)[0]
    return weekday if times * 2 > len(known) else None


def _on_time_streak(known: Sequence[ClosedInvoice]) -> int:
    """Count the most recent invoices in a row that were paid on time."""
    late = [index for index, each in enumerate(known) if each.days_late > 0]
    return len(known) - (late[-1] + 1 if late else 0)


def forecast_payment(behaviour: PaymentBehaviour, due_on: date) -> Forecast:
    """Forecast when an invoice will be paid."""
    expected_on = due_on + timedelta(days=round(behaviour.median_days_late))
    if behaviour.weekday is not None:
        shift = (behaviour.weekday - expected_on.weekday() + 3) % 7 - 3  # to the nearest such weekday
        expected_on += timedelta(days=shift)
    earliest_on = due_on + timedelta(days=round(behaviour.low_days_late))
    latest_on = due_on + timedelta(days=round(behaviour.high_days_late))
    return Forecast(expected_on, min(earliest_on, expected_on), max(latest_on, expected_on), behaviour.late_share)


def payment_score(behaviour: PaymentBehaviour) -> int:
    """Return a score from 0 (never on time) to 100 (always): the share paid on time, less a point per day late."""
    return max(0, min(100, round(100 * (1 - behaviour.late_share) - max(behaviour.median_days_late, 0.0))))


def explain_score(behaviour: PaymentBehaviour) -> str:
    """Explain the score by its inputs."""
    low, high = round(behaviour.low_days_late), round(behaviour.high_days_late)
    late = round(behaviour.median_days_late)
    median = (
        f"{format_days(late)} late" if late > 0 else "on the due date" if late == 0 else f"{format_days(-late)} early"
    )
    parts = [
        f"score {payment_score(behaviour)}: {behaviour.closed_invoices} invoices closed",
        f"{behaviour.late_share:.0%} late (drawn towards all customers)",
        f"median {median}",
        f"80 % range {low} to {high} days",
    ]
    text = ", ".join(parts)
    if behaviour.weekday is not None:
        text += f"; pays on {WEEKDAYS[behaviour.weekday]}s"
    return text + ("; broke a promise to pay" if behaviour.broke_promise else "")
