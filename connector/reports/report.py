"""The structure of every report: a question, figures as rows, and charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


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
class Report:
    """A report: the question it answers, the formula of its figures, rows with an ``id`` each, and charts."""

    name: str
    title: str
    question: str
    formula: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    plots: Sequence[Plot] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    def table_rows(self) -> Iterator[list[Any]]:
        """Yield the headings, then the rows, as plain values for a spreadsheet."""
        yield [f"{column.heading} %" if column.kind == "share" else column.heading for column in self.columns]
        for row in self.rows:
            yield [row[column.key] for column in self.columns]
