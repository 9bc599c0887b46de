"""Cash forecast: the payments expected on open invoices in each coming week, with an 80 % range."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

from sqlalchemy import and_, func, select
from sqlmodel import Session, SQLModel

from connector.db.money import from_e4
from connector.reports import customer_segments
from connector.reports.formatting import format_short, join_parts, short_date
from connector.reports.invoices_behind import BehindRow, Contribution, name_rows
from connector.reports.report import Column, ColumnKind, Drill, Plot, PlotKind, Report, ReportRow, Span
from connector.reports.report_cache import cached
from connector.reports.scope import INVOICE, Scope, in_companies
from policies.currencies import round_amount
from policies.formatting import format_amount, format_date
from policies.payment_behaviour import Forecast, forecast_payment
from policies.receivables import InvoiceStatus

WEEKS = 8
DAYS_AHEAD = 7
_GroupKey = tuple[str, Forecast | None]
Z_80_PERCENT = 1.2816  # standard deviations to either side that contain 80 % of a normal distribution


@dataclass(frozen=True, slots=True)
class ForecastRow(ReportRow):
    """The cash expected in a week, with its 80 % range."""

    currency: str
    on: date
    expected: Decimal
    low: Decimal
    high: Decimal

    def drill(self, key: str) -> Drill | None:
        """Return the open invoices that may be paid in the week."""
        return Drill(row=self.id, column=key) if key == "expected" and self.expected else None


@dataclass(frozen=True, slots=True)
class ForecastBehindRow(BehindRow):
    """An open invoice with the probability that it is paid in a week; ``amount`` is its balance times that."""

    balance: Decimal
    probability: float


class ExpectedCash(NamedTuple):
    """The cash expected in the coming seven days with its 80 % range, and what was expected a week ago."""

    expected: Decimal
    low: Decimal
    high: Decimal
    a_week_ago: Decimal


class OpenGroup(NamedTuple):
    """Open invoices with the same payment forecast: their total and the sum of their squares."""

    amount: float
    sum_of_squares: float
    payment_forecast: Forecast


class _Groups(NamedTuple):
    """A company's open invoices by currency and payment forecast, as they are and as they were a week ago."""

    now: Mapping[_GroupKey, tuple[float, float]]
    a_week_ago: Mapping[_GroupKey, tuple[float, float]]


class _OpenInvoice(NamedTuple):
    """An invoice with the balance it has, or had."""

    invoice_id: str
    customer_id: str
    currency: str
    due_on: date | None
    issued_on: date
    due_e4: int


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
        for (currency, coming), (amount, squares) in _group_invoices(session, each).now.items():
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
            Column("on", "Week from", ColumnKind.DAY),
            Column("expected", "Expected", ColumnKind.MONEY),
            Column("low", "At least", ColumnKind.MONEY),
            Column("high", "At most", ColumnKind.MONEY),
        ),
        rows=rows_told,
        plots=[_plot(each, [row for row in rows_told if row.currency == each]) for each in currencies],
        notes=[_note(each, found[each]) for each in currencies],
        empty="No open invoices. The forecast appears with the first sync, and learns from each payment.",
    )


def expected_cash(session: Session, scope: Scope) -> dict[str, ExpectedCash]:
    """Return the cash expected in the coming seven days, today included, by currency.

    What was expected a week ago follows from what was open then, and from the payment behaviour known today.
    """
    means: defaultdict[str, float] = defaultdict(float)
    variances: defaultdict[str, float] = defaultdict(float)
    before: defaultdict[str, float] = defaultdict(float)
    for each in scope.split_by_company():
        groups = _group_invoices(session, each)
        for (currency, coming), (amount, squares) in groups.now.items():
            part = _probability_ahead(coming, each.today)
            means[currency] += amount * part
            variances[currency] += squares * part * (1 - part)
        for (currency, coming), (amount, _squares) in groups.a_week_ago.items():
            before[currency] += amount * _probability_ahead(coming, each.today - timedelta(days=DAYS_AHEAD))
    found = {}
    for currency in {*means, *before}:
        mean, spread = means[currency], Z_80_PERCENT * sqrt(variances[currency])
        amounts = (mean, max(0.0, mean - spread), mean + spread, before[currency])
        found[currency] = ExpectedCash(*(_amount(amount, currency) for amount in amounts))
    return found


def _probability_ahead(coming: Forecast | None, today: date) -> float:
    """Return the probability that an invoice still unpaid today is paid within seven days."""
    if coming is None or coming.latest_on < today:
        return 0.0
    before = probability_paid(coming, today - timedelta(days=1))
    return (probability_paid(coming, today + timedelta(days=DAYS_AHEAD - 1)) - before) / (1 - before)


def forecast_behind(session: Session, scope: Scope, row_id: str, column: str) -> Report[ForecastBehindRow] | None:
    """List the open invoices that may be paid in a week, and what each contributes; None where there is no such week.

    The total is that of the week; the amounts of the invoices are rounded one by one.
    """
    currency, _, text = row_id.partition(":")
    weeks = week_starts(scope.today)
    place = next((number for number, each in enumerate(weeks) if each.isoformat() == text), None)
    if place is None or column != "expected":
        return None
    found: list[tuple[Contribution, Decimal, float]] = []
    mean = 0.0
    for each in scope.split_by_company():
        invoices = [row for row in _open_invoices(session, each) if row.currency == currency]
        for invoice, coming in zip(invoices, _forecasts(session, each, invoices), strict=True):
            part = 0.0
            if coming is not None:
                alone = CurrencyForecast()
                alone.add(OpenGroup(1.0, 1.0, coming), weeks, each.today)
                part = alone.means[place]
            if part > 0:
                balance = from_e4(invoice.due_e4)
                mean += float(balance) * part
                amount = _amount(float(balance) * part, currency)
                row = (each.ids[0], invoice.customer_id, invoice.invoice_id, currency, invoice.due_on, amount)
                found.append((Contribution(*row), balance, part))
    found.sort(key=lambda each: (-each[0].amount, each[0].invoice_id))
    rows = name_rows(session, scope, [contribution for contribution, _, _ in found])
    return Report(
        name="cash-forecast",
        title=f"Expected: {currency}, week from {format_date(weeks[place])}",
        question="Which invoices may be paid in this week?",
        formula="Expected is the balance times the probability that the invoice is paid in this week.",
        columns=(
            Column("invoice", "Invoice"),
            Column("customer", "Customer"),
            Column("company", "Company"),
            Column("on", "Due date", ColumnKind.DAY),
            Column("balance", "Balance", ColumnKind.MONEY),
            Column("probability", "Probability", ColumnKind.SHARE),
            Column("amount", "Expected", ColumnKind.MONEY),
        ),
        rows=[
            ForecastBehindRow(
                *(getattr(row, each.name) for each in fields(BehindRow)),
                balance=balance,
                probability=round(100 * part, 1),
            )
            for row, (_, balance, part) in zip(rows, found, strict=True)
        ],
        total=format_amount(_amount(mean, currency), currency),
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
def _group_invoices(session: Session, company_scope: Scope) -> _Groups:
    """Group a company's open invoices by payment forecast: 100,000 of them make a few thousand groups."""
    today = company_scope.today
    then = today - timedelta(days=DAYS_AHEAD)
    now = _open_invoices(session, company_scope)
    settled = _settled_since(session, company_scope.ids[0], then)
    open_ids = {each.invoice_id for each in now}
    before = [
        each._replace(due_e4=each.due_e4 + settled[each.invoice_id].due_e4) if each.invoice_id in settled else each
        for each in now
        if each.issued_on <= then
    ] + [each for each in settled.values() if each.invoice_id not in open_ids]
    return _Groups(*(_group(each, _forecasts(session, company_scope, each)) for each in (now, before)))


def _group(
    invoices: Sequence[_OpenInvoice], forecasts: Sequence[Forecast | None]
) -> dict[_GroupKey, tuple[float, float]]:
    sums: defaultdict[_GroupKey, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for invoice, coming in zip(invoices, forecasts, strict=True):
        amount, squares = sums[invoice.currency, coming]
        each = invoice.due_e4 / 10_000
        sums[invoice.currency, coming] = amount + each, squares + each * each
    return dict(sums)


def _forecasts(session: Session, company_scope: Scope, invoices: Sequence[_OpenInvoice]) -> list[Forecast | None]:
    """Return when each invoice is expected to be paid; None for those without a due date."""
    customers = {each.customer_id for each in invoices}
    behaviour = customer_segments.find_payment_behaviour(
        session, company_scope.companies[0], customers, company_scope.today
    )
    return [
        forecast_payment(behaviour[each.customer_id], each.due_on)._replace(late_share=0.0) if each.due_on else None
        for each in invoices
    ]


def _open_invoices(session: Session, company_scope: Scope) -> list[_OpenInvoice]:
    query = select(*_COLUMNS, INVOICE.c.due_e4).where(
        in_companies(INVOICE, company_scope.ids), INVOICE.c.is_open, INVOICE.c.due_e4 > 0
    )
    return [_OpenInvoice(*row) for row in session.execute(query).all()]


def _settled_since(session: Session, connection_id: int, then: date) -> dict[str, _OpenInvoice]:
    """Return the invoices issued until a date that were paid or credited after it, with what was."""
    application = SQLModel.metadata.tables["application"]
    same = and_(
        INVOICE.c.connection_id == application.c.connection_id, INVOICE.c.external_id == application.c.invoice_id
    )
    query = (
        select(*_COLUMNS, func.sum(application.c.amount_e4))
        .select_from(application.join(INVOICE, same))
        .where(
            application.c.connection_id == connection_id,
            application.c.applied_on > then,
            INVOICE.c.issued_on <= then,
            INVOICE.c.status.in_([InvoiceStatus.OPEN, InvoiceStatus.PAID]),
        )
        .group_by(*_COLUMNS)
    )
    return {row[0]: _OpenInvoice(*row[:-1], int(row[-1])) for row in session.execute(query)}


_COLUMNS = (*(INVOICE.c.external_id, INVOICE.c.customer_id, INVOICE.c.currency, INVOICE.c.due_on, INVOICE.c.issued_on),)


def _rows(currency: str, found: CurrencyForecast, weeks: Sequence[date]) -> Iterable[ForecastRow]:
    for place, on in enumerate(weeks):
        low, high = found.interval(place)
        amounts = (_amount(each, currency) for each in (found.means[place], low, high))
        yield ForecastRow(f"{currency}:{on}", currency, on, *amounts)


def _amount(value: float, currency: str) -> Decimal:
    """Return an estimate with the decimals of its currency."""
    return round_amount(Decimal(value), currency)


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
    spans = [
        Span(short_date(row.on), *map(float, (row.expected, row.low, row.high)), drill=row.drill("expected"))
        for row in rows
    ]
    total = sum((row.expected for row in rows), Decimal())
    alt_text = join_parts(
        f"week from {span.label}: {format_short(span.value or 0)}, "
        f"between {format_short(span.low or 0)} and {format_short(span.high or 0)}"
        for span in spans
    )
    title = f"{currency}: {format_short(total)} in {len(spans)} weeks"
    legend = ("expected", "80 % range")
    return Plot(PlotKind.COLUMNS, title, alt_text, spans=spans, unit=currency, legend=legend, currency=currency)
