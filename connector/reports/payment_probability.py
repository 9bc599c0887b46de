"""When open invoices may be paid: the probability by date, and what that makes in each week."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

from policies.payment_behaviour import Forecast

WEEKS = 8
Z_80_PERCENT = 1.2816  # standard deviations to either side that contain 80 % of a normal distribution


class OpenGroup(NamedTuple):
    """Open invoices with the same payment forecast: their total and the sum of their squares."""

    amount: float
    sum_of_squares: float
    payment_forecast: Forecast


@dataclass(slots=True)
class CurrencyForecast:
    """The forecast of one currency: mean and variance by week, and the amounts outside these weeks."""

    means: list[float] = field(default_factory=lambda: [0.0] * WEEKS)
    variances: list[float] = field(default_factory=lambda: [0.0] * WEEKS)
    later: float = 0.0
    overdue: float = 0.0  # later than nine of ten such invoices are paid
    undated: float = 0.0

    def add(self, group: OpenGroup, weeks: Sequence[date], today: date) -> None:
        """Add invoices to the weeks in which they may be paid."""
        if group.payment_forecast.latest_on < today:
            self.overdue += group.amount
            return
        reached = [
            probability_paid(group.payment_forecast, on) for on in (today - timedelta(days=1), *_week_ends(weeks))
        ]
        left = 1 - reached[0]
        for place, (before, after) in enumerate(pairwise(reached)):
            part = (after - before) / left
            self.means[place] += group.amount * part
            self.variances[place] += group.sum_of_squares * part * (1 - part)
        self.later += group.amount * (1 - reached[-1]) / left

    def interval(self, week: int) -> tuple[float, float]:
        """Return the 80 % range of a week, assuming that invoices are paid independently of each other."""
        spread = Z_80_PERCENT * sqrt(self.variances[week])
        return max(0.0, self.means[week] - spread), self.means[week] + spread


def week_starts(today: date) -> list[date]:
    """Return the first day of each week: today, then the following Mondays."""
    monday = today - timedelta(days=today.weekday())
    return [today, *(monday + timedelta(weeks=place) for place in range(1, WEEKS))]


@lru_cache(maxsize=64)
def _week_ends_from(first: date) -> list[date]:
    return [first + timedelta(days=6 - first.weekday() + 7 * place) for place in range(WEEKS)]


def _week_ends(weeks: Sequence[date]) -> list[date]:
    return _week_ends_from(weeks[0])


def probability_paid(payment_forecast: Forecast, on: date) -> float:
    """Return the probability that an invoice is paid by the end of a date.

    It is 10 % on the earliest date, 50 % on the expected one and 90 % on the latest, linear in between; the first and
    last tenth continue at the rate beside them.
    """
    points = _distribution_points(payment_forecast)
    if on < points[0][0]:
        return 0.0
    for (start, low), (end, high) in pairwise(points):
        if on < end:
            return low + (high - low) * (on - start).days / (end - start).days
    return 1.0


@lru_cache(maxsize=4096)
def _distribution_points(payment_forecast: Forecast) -> list[tuple[date, float]]:
    expected_on, earliest_on, latest_on = (
        payment_forecast.expected_on,
        payment_forecast.earliest_on,
        payment_forecast.latest_on,
    )
    first = earliest_on - timedelta(days=max(1, (expected_on - earliest_on).days // 4))
    last = latest_on + timedelta(days=max(1, (latest_on - expected_on).days // 4))
    return [(first, 0.0), (earliest_on, 0.1), (expected_on, 0.5), (latest_on, 0.9), (last, 1.0)]
