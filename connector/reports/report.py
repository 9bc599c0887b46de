"""The structure of every report: a question, figures as rows, and charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from policies.currencies import plain_amount
from policies.formatting import format_amount, format_date, format_month

ReportValue = str | int | float | Decimal | date | None


class ColumnKind(StrEnum):
    """What a column holds: ``MONEY`` is in the row's currency, ``SHARE`` in percent, ``DAYS`` a number of days.

    ``MONTH`` is a month by its first day.
    """

    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"
    DAYS = "days"
    SHARE = "share"
    DAY = "day"
    MONTH = "month"


class PlotKind(StrEnum):
    """How a chart is drawn: ``BARS`` and ``RANGES`` are horizontal, a range has a mark at its middle."""

    BARS = "bars"
    COLUMNS = "columns"
    LINE = "line"
    RANGES = "ranges"


class Severity(StrEnum):
    """How serious a bar is."""

    NORMAL = ""
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Drill:
    """Which invoices are behind a figure.

    They are those that the list of invoices shows with ``filters``; where the list has no such filter, those that the
    report itself lists for this column of the row ``row``.
    """

    filters: Mapping[str, str] = field(default_factory=dict)
    row: str = ""
    column: str = ""


class Column(NamedTuple):
    """A column of a report's table."""

    key: str
    heading: str
    kind: ColumnKind = ColumnKind.TEXT

    @property
    def is_figure(self) -> bool:
        """Whether the column is aligned to the right."""
        return self.kind not in {ColumnKind.TEXT, ColumnKind.DAY, ColumnKind.MONTH}


class Bar(NamedTuple):
    """A bar of a chart: its label, length, and the text at its end."""

    label: str
    value: float
    text: str
    severity: Severity = Severity.NORMAL
    drill: Drill | None = None


class Span(NamedTuple):
    """A value with its range; ``low`` and ``high`` are None where there is none."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    secondary: float | None = None  # a second value beside the first, such as waived beside charged
    part: float | None = None  # the part of the value that is drawn in another colour
    drill: Drill | None = None


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart; ``alt_text`` describes it for screen readers, ``currency`` is that of its figures, if they have one."""

    kind: PlotKind
    title: str
    alt_text: str
    bars: Sequence[Bar] = ()
    spans: Sequence[Span] = ()
    unit: str = ""
    legend: Sequence[str] = ()
    currency: str = ""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A row of a report: ``id`` is unique in it, and each column is one of its fields."""

    id: str

    def drill(self, _key: str) -> Drill | None:
        """Return the invoices behind the figure in a column; None where there are none to show."""
        return None


RowT_co = TypeVar("RowT_co", bound=ReportRow, covariant=True)


@dataclass(frozen=True, slots=True)
class Report(Generic[RowT_co]):
    """A report: the ``question`` it answers, the ``formula`` of its figures, its rows, and plots."""

    name: str
    title: str
    question: str
    formula: str
    columns: Sequence[Column]
    rows: Sequence[RowT_co]
    plots: Sequence[Plot] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    empty: str = "No data yet."  # what is missing where there are no rows, and when it will be there
    total: str = ""  # the sum of the last column, where the rows are of one currency

    def in_currency(self, currency: str) -> Report[RowT_co]:
        """Return the part of the report about one currency; what has no currency stays."""
        rows = [row for row in self.rows if getattr(row, "currency", currency) == currency]
        return replace(self, rows=rows, plots=[plot for plot in self.plots if plot.currency in {"", currency}])

    def items(self) -> list[dict[str, ReportValue]]:
        """Return the rows for programs: all fields, amounts as text with the decimals of their currency."""
        money = {column.key for column in self.columns if column.kind is ColumnKind.MONEY}
        return [
            {
                each.name: _plain(row, each.name) if each.name in money else report_value(row, each.name)
                for each in fields(row)
            }
            for row in self.rows
        ]

    def table_rows(self) -> Iterator[list[ReportValue]]:
        """Yield the headings and then the rows, as a spreadsheet takes them: no amount is without its currency."""
        columns = list(self.columns)
        if all(column.key != "currency" for column in columns):
            place = next((number for number, each in enumerate(columns) if each.kind is ColumnKind.MONEY), None)
            columns[place:place] = [] if place is None else [Column("currency", "Currency")]
        yield [f"{column.heading} %" if column.kind is ColumnKind.SHARE else column.heading for column in columns]
        for row in self.rows:
            yield [
                _plain(row, column.key) if column.kind is ColumnKind.MONEY else report_value(row, column.key)
                for column in columns
            ]


def report_value(row: ReportRow, key: str) -> ReportValue:
    """Return the value of a column in a row."""
    value: ReportValue = getattr(row, key)
    return value


def format_cell(row: ReportRow, column: Column) -> str:
    """Return a figure of a report's table as text."""
    value = report_value(row, column.key)
    if value is None:
        return "–"
    if isinstance(value, Decimal):
        return format_amount(value, str(report_value(row, "currency")))
    if isinstance(value, date):
        return format_month(value) if column.kind is ColumnKind.MONTH else format_date(value)
    if isinstance(value, str):
        return value
    return f"{value:,.1f}{' %' if column.kind == 'share' else ''}" if isinstance(value, float) else f"{value:,}"


def format_figure(report: Report[ReportRow], row: ReportRow, column: Column) -> str:
    """Return a figure as text, without its currency where that is a column of its own."""
    text = format_cell(row, column)
    if column.kind is ColumnKind.MONEY and any(each.key == "currency" for each in report.columns):
        return text.removeprefix(f"{report_value(row, 'currency')} ")
    return text


def _plain(row: ReportRow, key: str) -> str:
    return plain_amount(Decimal(str(report_value(row, key))), str(report_value(row, "currency")))
