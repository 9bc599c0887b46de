"""Cash forecast: the payments expected on open invoices in each coming week, with an 80 % range."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import sqrt
from typing import NamedTuple

from sqlmodel import Session

from connector.db.money import from_e4
from connector.reports.formatting import format_short, join_parts, short_date
from connector.reports.invoices_behind import BehindRow, Contribution, is_currency, name_rows
from connector.reports.open_invoices import DAYS_AHEAD, forecast_invoices, group_invoices, list_open_invoices
from connector.reports.payment_probability import (
    Z_80_PERCENT,
    CurrencyForecast,
    OpenGroup,
    probability_paid,
    week_starts,
)
from connector.reports.report import Column, ColumnKind, Drill, Plot, PlotKind, Report, ReportRow, Span
from connector.reports.scope import Scope
from policies.currencies import round_amount
from policies.formatting import format_amount, format_date
from policies.payment_behaviour import Forecast


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


def cash_forecast(session: Session, scope: Scope) -> Report[ForecastRow]:
    """Report the expected cash by week and currency."""
    weeks = week_starts(scope.today)
    found: defaultdict[str, CurrencyForecast] = defaultdict(CurrencyForecast)
    for each in scope.split_by_company():
        for (currency, coming), (amount, squares) in group_invoices(session, each).now.items():
            if coming is None:
                found[currency].undated += amount
            else:
                found[currency].add(OpenGroup(amount, squares, coming), weeks, each.today)
    currencies = sorted(found, key=lambda each: -sum(found[each].means))
    shown_rows = [row for currency in currencies for row in _rows(currency, found[currency], weeks)]
    return Report(
        name="cash-forecast",
        title="Cash forecast",
        question="How much will customers pay in the coming weeks?",
        formula=(
            "Each open invoice counts in each week with the probability that it is paid in that week, based on its"
            " customer's payment behaviour and given that it is still unpaid; one that money on a bank statement pays"
            " is expected within days. In four of five weeks the total should be within the range. Totals are estimates"
            " and do not include future invoices."
        ),
        columns=(
            Column("currency", "Currency"),
            Column("on", "Week from", ColumnKind.DAY),
            Column("expected", "Expected", ColumnKind.MONEY),
            Column("low", "At least", ColumnKind.MONEY),
            Column("high", "At most", ColumnKind.MONEY),
        ),
        rows=shown_rows,
        plots=[_plot(each, [row for row in shown_rows if row.currency == each]) for each in currencies],
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
        groups = group_invoices(session, each)
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
    if place is None or column != "expected" or not is_currency(currency):
        return None
    found: list[tuple[Contribution, Decimal, float]] = []
    mean = 0.0
    for each in scope.split_by_company():
        invoices = [row for row in list_open_invoices(session, each) if row.currency == currency]
        for invoice, coming in zip(invoices, forecast_invoices(session, each, invoices), strict=True):
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
            ForecastBehindRow(**asdict(row), balance=balance, probability=round(100 * part, 1))
            for row, (_, balance, part) in zip(rows, found, strict=True)
        ],
        total=format_amount(_amount(mean, currency), currency),
    )


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
        Span(short_date(row.on), float(row.expected), float(row.low), float(row.high), drill=row.drill("expected"))
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
