"""Cash forecast: the payments expected on open invoices in each coming week, with an 80 % range."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

from sqlalchemy import Select, select
from sqlmodel import Session

from connector.reports import customer_segments
from connector.reports.formatting import format_short, join_parts
from connector.reports.report import Column, Plot, Report, ReportRow, Span
from connector.reports.report_cache import cached
from connector.reports.scope import INVOICE, Scope
from policies.formatting import format_date
from policies.payment_behaviour import Forecast, forecast_payment

WEEKS = 8
Z_80_PERCENT = 1.2816  # standard deviations to either side that contain 80 % of a normal distribution


@dataclass(frozen=True, slots=True)
class ForecastRow(ReportRow):
    """The cash expected in a week, with its 80 % range."""

    currency: str
    on: date
    expected: int
    low: int
    high: int


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


def cash_forecast(session: Session, scope: Scope) -> Report[ForecastRow]:
    """Report the expected cash by week and currency."""
    weeks = week_starts(scope.today)
    found: defaultdict[str, CurrencyForecast] = defaultdict(CurrencyForecast)
    for each in scope.split_by_company():
        for (currency, coming), (amount, squares) in _group_open_invoices(session, each).items():
            if coming is None:
                found[currency].undated += amount
            else:
                found[currency].add(OpenGroup(amount, squares, coming), weeks, each.today)
    currencies = sorted(found, key=lambda each: -sum(found[each].means))
    rows_told = [row for currency in currencies for row in _rows(currency, found[currency], weeks)]
    return Report(
        name="cash-forecast",
        title="Cash forecast",
        question="How much will customers pay in the coming weeks?",
        formula=(
            "Each open invoice counts in each week with the probability that it is paid in that week, based on its"
            " customer's payment behaviour and given that it is still unpaid. In four of five weeks the total should be"
            " within the range. Totals are estimates and do not include future invoices."
        ),
        columns=(
            Column("currency", "Currency"),
            Column("on", "Week from", "day"),
            Column("expected", "Expected", "number"),
            Column("low", "At least", "number"),
            Column("high", "At most", "number"),
        ),
        rows=rows_told,
        plots=[_plot(each, [row for row in rows_told if row.currency == each]) for each in currencies],
        notes=[_note(each, found[each]) for each in currencies],
    )


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


@cached  # by company: where one company's data changed, the others are not computed again
def _group_open_invoices(
    session: Session, company_scope: Scope
) -> dict[tuple[str, Forecast | None], tuple[float, float]]:
    """Group a company's open invoices by payment forecast: 100,000 of them make a few thousand groups."""
    connection, today = company_scope.companies[0], company_scope.today
    rows = session.execute(_open_invoices_query(connection.id or 0)).all()
    payment_behaviour = customer_segments.find_payment_behaviour(
        session, connection, {row.customer_id for row in rows}, today
    )
    sums: defaultdict[tuple[str, Forecast | None], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for customer_id, currency, due_on, due_e4 in rows:
        coming = forecast_payment(payment_behaviour[customer_id], due_on)._replace(late_share=0.0) if due_on else None
        amount, squares = sums[currency, coming]
        each = due_e4 / 10_000
        sums[currency, coming] = amount + each, squares + each * each
    return sums


def _open_invoices_query(connection_id: int) -> Select[str, str, date | None, int]:
    return select(INVOICE.c.customer_id, INVOICE.c.currency, INVOICE.c.due_on, INVOICE.c.due_e4).where(
        INVOICE.c.connection_id == connection_id, INVOICE.c.is_open, INVOICE.c.due_e4 > 0
    )


def _rows(currency: str, found: CurrencyForecast, weeks: Sequence[date]) -> Iterable[ForecastRow]:
    for place, on in enumerate(weeks):
        low, high = found.interval(place)
        yield ForecastRow(f"{currency}:{on}", currency, on, round(found.means[place]), round(low), round(high))


def _note(currency: str, found: CurrencyForecast) -> str:
    parts = [f"{currency}: {format_short(found.later)} is expected after these weeks"]
    if found.overdue:
        parts.append(
            f"{format_short(found.overdue)} is not counted because it is later than 90 % of these customers' payments"
        )
    if found.undated:
        parts.append(f"{format_short(found.undated)} has no due date")
    return join_parts(parts)


def _plot(currency: str, rows: Sequence[ForecastRow]) -> Plot:
    spans = [Span(format_date(row.on).rpartition(" ")[0], row.expected, row.low, row.high) for row in rows]
    total = sum(row.expected for row in rows)
    alt_text = join_parts(
        f"week from {span.label}: {format_short(span.value or 0)}, "
        f"between {format_short(span.low or 0)} and {format_short(span.high or 0)}"
        for span in spans
    )
    title = f"{currency}: {format_short(total)} in {len(spans)} weeks"
    return Plot("columns", title, alt_text, spans=spans, unit=currency, legend=("expected", "80 % range"))
