"""How a customer pays, learned from his own history: an expected pay day with its interval, and a score.

Only invoices settled before the day of decision are looked at. Newer ones count more: an invoice loses half its weight
with every eight that were settled after it. The share paid late is drawn towards the company's own where a customer has
little history.
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
PRIOR_INVOICES = 3  # a customer's own history weighs as much as the company's from so many invoices on
UNCERTAINTY_INVOICES = 1.5  # how far the interval of a short history is widened by the company's
INTERVAL = (0.1, 0.9)  # the 80 % interval
ON_TIME_STREAK = 6  # so many paid on time one after another, and nobody asks whether an invoice arrived
CHRONICALLY_LATE_DAYS = 15
STEADY_SPREAD_DAYS = 4  # a spread up to this makes "always pays on the 5th day" true
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class ClosedInvoice(NamedTuple):
    """An invoice that was paid in full: when it was due and when it was settled."""

    due_on: date
    closed_on: date

    @property
    def days_late(self) -> int:
        """Count the days after the due date; negative where paid before it."""
        return (self.closed_on - self.due_on).days


@dataclass(frozen=True, slots=True)
class Baseline:
    """How the company's customers pay altogether: what a customer without history is taken for."""

    median_days_late: float = 0.0
    low_days_late: float = 0.0
    high_days_late: float = 30.0
    late_share: float = 0.5


class Forecast(NamedTuple):
    """When an invoice will probably be paid, from when to when in four cases of five, and how likely late."""

    expected_on: date
    earliest_on: date
    latest_on: date
    late_share: float


def learn_baseline(history: Sequence[ClosedInvoice], before_on: date) -> Baseline:
    """Learn the company's norm from what was settled before a day."""
    late = sorted(each.days_late for each in history if each.closed_on < before_on)
    if not late:
        return Baseline()
    even = [1.0] * len(late)
    low, median, high = (_quantile(late, even, share) for share in (INTERVAL[0], 0.5, INTERVAL[1]))
    return Baseline(median, low, high, sum(day > 0 for day in late) / len(late))


def learn_behaviour(
    history: Sequence[ClosedInvoice], baseline: Baseline, before_on: date, *, broke_promise: bool = False
) -> PaymentBehaviour:
    """Learn one customer's habits from what he settled before a day."""
    known = sorted((each for each in history if each.closed_on < before_on), key=lambda each: each.closed_on)
    count = len(known)
    late_count = sum(each.days_late > 0 for each in known)
    late_share = (late_count + PRIOR_INVOICES * baseline.late_share) / (count + PRIOR_INVOICES)
    low, median, high = _spread(known, baseline)
    return PaymentBehaviour(
        closed_invoices=count,
        median_days_late=median,
        low_days_late=low,
        high_days_late=high,
        late_share=late_share,
        weekday=_weekday(known),
        on_time_streak=_on_time_streak(known),
        broke_promise=broke_promise,
    )


def _spread(known: Sequence[ClosedInvoice], baseline: Baseline) -> tuple[float, float, float]:
    """Weigh the days late by age and give their middle and the interval, widened by the norm where there are few."""
    if not known:
        return baseline.low_days_late, baseline.median_days_late, baseline.high_days_late
    last = len(known) - 1
    pairs = sorted((each.days_late, 0.5 ** ((last - place) / HALF_LIFE_INVOICES)) for place, each in enumerate(known))
    late, weights = [each for each, _ in pairs], [weight for _, weight in pairs]
    low, median, high = (_quantile(late, weights, share) for share in (INTERVAL[0], 0.5, INTERVAL[1]))
    doubt = UNCERTAINTY_INVOICES / (len(known) + UNCERTAINTY_INVOICES)
    low -= doubt * max(baseline.median_days_late - baseline.low_days_late, 0.0)
    high += doubt * max(baseline.high_days_late - baseline.median_days_late, 0.0)
    return low, median, high


def _quantile(ordered: Sequence[int], weights: Sequence[float], share: float) -> float:
    """Give the weighted quantile of ordered values."""
    wanted = share * sum(weights)
    for value, reached in zip(ordered, accumulate(weights), strict=True):
        if reached >= wanted:
            return float(value)
    return float(ordered[-1])


def _weekday(known: Sequence[ClosedInvoice]) -> int | None:
    """Name the weekday on which he pays, where more than half of at least six payments fell on it."""
    if len(known) < ON_TIME_STREAK:
        return None
    weekday, times = Counter(each.closed_on.weekday() for each in known).most_common(1)[0]
    return weekday if times * 2 > len(known) else None


def _on_time_streak(known: Sequence[ClosedInvoice]) -> int:
    """Count how many of the last invoices in a row were paid on time."""
    late_places = [place for place, each in enumerate(known) if each.days_late > 0]
    return len(known) - (late_places[-1] + 1 if late_places else 0)


def forecast_payment(payment_behaviour: PaymentBehaviour, due_on: date) -> Forecast:
    """Foretell when an invoice will be paid."""
    expected_on = due_on + timedelta(days=round(payment_behaviour.median_days_late))
    if payment_behaviour.weekday is not None:
        shift = (payment_behaviour.weekday - expected_on.weekday() + 3) % 7 - 3  # the nearest such day
        expected_on += timedelta(days=shift)
    earliest_on = due_on + timedelta(days=round(payment_behaviour.low_days_late))
    latest_on = due_on + timedelta(days=round(payment_behaviour.high_days_late))
    return Forecast(
        expected_on, min(earliest_on, expected_on), max(latest_on, expected_on), payment_behaviour.late_share
    )


def payment_score(payment_behaviour: PaymentBehaviour) -> int:
    """Score a payer from 0 (never on time) to 100 (always): the share paid on time, less a point for each day late."""
    return max(
        0, min(100, round(100 * (1 - payment_behaviour.late_share) - max(payment_behaviour.median_days_late, 0.0)))
    )


def explain_score(payment_behaviour: PaymentBehaviour) -> str:
    """Print the score beside its inputs."""
    pays = f"; pays on {WEEKDAYS[payment_behaviour.weekday]}s" if payment_behaviour.weekday is not None else ""
    broke = "; broke a promise" if payment_behaviour.broke_promise else ""
    late = round(payment_behaviour.median_days_late)
    median = (
        f"{format_days(late)} late" if late > 0 else "on the due date" if late == 0 else f"{format_days(-late)} early"
    )
    return (
        f"score {payment_score(payment_behaviour)}: {payment_behaviour.closed_invoices} invoices settled, {payment_behaviour.late_share:.0%} late "
        f"(drawn towards all customers'), {median} in the median, "
        f"between {round(payment_behaviour.low_days_late)} and {round(payment_behaviour.high_days_late)} days in four of five cases"
        f"{pays}{broke}"
    )
