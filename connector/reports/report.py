"""The structure of every report: a question, figures as rows, and charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

from policies.currencies import plain_amount
from policies.formatting import format_amount, format_date

ReportValue = str | int | float | Decimal | date | None


class Column(NamedTuple):
    """A column of a report's table. ``kind``: text, number, money (in the row's currency), days, share or day."""

    key: str
    heading: str
    kind: str = "text"


class Bar(NamedTuple):
    """A bar of a chart: its label, length, the text at its end, and its severity ("", "warn", "bad")."""

    label: str
    value: float
    text: str
    severity: str = ""


class Span(NamedTuple):
    """A value with its range; ``low`` and ``high`` are None where there is none."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    secondary: float | None = None  # a second value beside the first, such as waived beside charged


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart; its ``kind`` is bars (horizontal), columns (vertical), line, or ranges (horizontal, with a mark).

    ``alt_text`` describes it for screen readers.
    """

    kind: str
    title: str
    alt_text: str
    bars: Sequence[Bar] = ()
    spans: Sequence[Span] = ()
    unit: str = ""
    legend: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A row of a report: ``id`` is unique in it, and each column is one of its fields."""

    id: str


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

    def items(self) -> list[dict[str, ReportValue]]:
        """Return the rows for programs: all fields, amounts as text with the decimals of their currency."""
        money = {column.key for column in self.columns if column.kind == "money"}
        return [
            {
                each.name: _plain(row, each.name) if each.name in money else report_value(row, each.name)
                for each in fields(row)
            }
            for row in self.rows
        ]

    def table_rows(self) -> Iterator[list[ReportValue]]:
        """Yield the headings and then the rows, as a spreadsheet takes them."""
        yield [f"{column.heading} %" if column.kind == "share" else column.heading for column in self.columns]
        for row in self.rows:
            yield [
                _plain(row, column.key) if column.kind == "money" else report_value(row, column.key)
                for column in self.columns
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
        return format_date(value)
    if isinstance(value, str):
        return value
    return f"{value:,.1f}{' %' if column.kind == 'share' else ''}" if isinstance(value, float) else f"{value:,}"


def _plain(row: ReportRow, key: str) -> str:
    return plain_amount(Decimal(str(report_value(row, key))), str(report_value(row, "currency")))
