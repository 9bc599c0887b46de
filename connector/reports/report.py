"""What every report is made of: a question, its figures as rows, and plots that show them at a glance."""

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
    """One bar: its label, its length, the text at its end, and how it is to be taken ("", "warn", "bad")."""

    label: str
    value: float
    text: str
    severity: str = ""


class Span(NamedTuple):
    """A middle value within its range; ``low`` and ``high`` are None where there is none."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    secondary: float | None = None  # beside the first: what was waived of what was charged


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture of some figures. ``shape``: bars (lying), columns (standing), line, or ranges (lying, with a mark).

    ``told`` says in words what the picture shows, for those who do not see it.
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
    """A report: ``question`` in a person's words, ``formula`` of its figures, rows with an ``id`` each, and plots."""

    name: str
    title: str
    question: str
    formula: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    plots: Sequence[Plot] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    def table_rows(self) -> Iterator[list[Any]]:
        """Give the headings and then the rows, plain values, as a spreadsheet takes them."""
        yield [f"{column.heading} %" if column.kind == "share" else column.heading for column in self.columns]
        for row in self.rows:
            yield [row[column.key] for column in self.columns]
