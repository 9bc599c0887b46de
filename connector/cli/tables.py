"""Tables that fit the terminal: sentences go below their row, names wrap, the least important columns are left out.

Ids, numbers, dates and amounts are never cut. Where the output is no terminal, every column is there in full, separated
by tabs, whatever the width of the window is: ``grep``, ``cut`` and spreadsheets read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, chop_cells, set_cell_size

# Whole sentences: on lines of their own below the row, where the table would not fit
_SENTENCES = ("REASON", "DETAILS", "SETTINGS", "AGREEMENTS", "SOURCE", "ENTRY", "DATA", "PAUSED", "OUTCOME")
# Left out in this order; what remains says which row it is and how much it is about
_EXPENDABLE = (
    *("PASSKEY", "ADDED BY", "SET BY", "COMPARED", "STARTS WITH", "LAST USED", "LANGUAGE", "COUNTRY", "TEMPLATE"),
    *("CALLS LEFT", "NEXT SYNC", "MODE", "OWNER", "ACTION", "EXPIRES", "HEALTH", "KIND", "EMAIL", "STEP", "INVOICES"),
)
_LISTS = ("INVOICES", "COMPANIES", "OPEN BALANCE", "CALLS LEFT", "NEEDS ATTENTION")  # one item a line, if need be
_WHOLE = ("ID", "DATE", "STATE", "RESULT", "HEALTH", "VERSION", "TASK", "PRESET", "EMAIL")  # never wrapped
_NUMBER = re.compile(r"([A-Z]{3} )?[-−]?[\d,]+(\.\d+)?( %)?")
_ID_MAX = 12  # longer ones are the accounting system's; commands take the name as well
_LIST_LENGTH_MAX = 3  # of invoices in a fitted table; the rest is counted
_GAP = 2
_INDENT = 4
_WORDS_MIN = 12  # a column of words is not made narrower than this, if it has so much
_WORD_MAX = 28  # longer words, as some email addresses, are broken
_TERMINAL_MIN = 20


@dataclass(frozen=True, slots=True)
class FittedTable:
    """A table in lines no wider than the terminal, and the headings that found no room."""

    heading: list[str]
    lines: list[str]
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    cells: list[str]

    @property
    def natural_width(self) -> int:
        return max(map(cell_len, (self.heading, *self.cells)))

    @property
    def is_number(self) -> bool:
        filled = [cell for cell in self.cells if cell not in {"", "–"}]
        return self.heading != "ID" and bool(filled) and all(map(_NUMBER.fullmatch, filled))

    @property
    def width_min(self) -> int:
        if self.is_number or self.heading in _WHOLE:
            return self.natural_width
        pieces = [piece for cell in (self.heading, *self.cells) for piece in self.split(cell)]
        longest = max(map(cell_len, pieces), default=0)
        if self.heading in _LISTS:
            return longest
        return min(self.natural_width, max(min(longest, _WORD_MAX), _WORDS_MIN))

    def split(self, cell: str) -> list[str]:
        """Return the parts of a cell between which a line may end."""
        if self.heading in _LISTS:
            return cell.split(", ")
        if self.heading == "NUMBER" and not self._breaks_at_hyphens(cell):
            return [cell]
        return [word.strip() for word in _words(cell, at_hyphens=self._breaks_at_hyphens(cell))]

    def wrap(self, cell: str, width: int) -> list[str]:
        """Return a cell in lines of this width."""
        if cell_len(cell) <= width:
            return [cell]
        if self.heading in _LISTS:
            return [part + "," for part in self.split(cell)[:-1]] + self.split(cell)[-1:]
        return wrap_text(cell, width, at_hyphens=self._breaks_at_hyphens(cell))

    def _breaks_at_hyphens(self, cell: str) -> bool:
        """Return whether a cell is a company's short name, or the long id that stands for a missing invoice number."""
        return self.heading == "COMPANY" or (self.heading == "NUMBER" and cell.startswith("("))

    def pad(self, line: str, width: int) -> str:
        """Return a line of a cell in the width of the column, numbers to the right."""
        return " " * (width - cell_len(line)) + line if self.is_number else set_cell_size(line, width)


def tabbed_lines(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table for programs: a line each, the cells separated by tabs."""
    return ["\t".join(row) for row in (headings, *rows)]


def wide_lines(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> FittedTable:
    """Return a table with every column in full, however wide it becomes."""
    columns = _columns(headings, rows)
    return _lay_out(columns, [column.natural_width for column in columns], [], len(rows), 0)


def fitted_lines(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> FittedTable:
    """Return a table in lines of at most ``width``."""
    width = max(width, _TERMINAL_MIN)
    rows = [[_shorten(*pair) for pair in zip(headings, row, strict=True)] for row in rows]
    columns, below, left_out = _columns(headings, rows), [], list[str]()
    if _total(column.natural_width for column in columns) > width:
        below = [column for column in columns if column.heading in _SENTENCES and any(column.cells)]
        columns = [column for column in columns if column.heading not in _SENTENCES]
    long_ids = ["ID"] if columns and columns[0].heading == "ID" and columns[0].natural_width > _ID_MAX else []
    for heading in (*long_ids, *_EXPENDABLE):
        if _total(column.width_min for column in columns) <= width:
            break
        left_out += [column.heading for column in columns if column.heading == heading]
        columns = [column for column in columns if column.heading != heading]
    if _total(column.width_min for column in columns) > width:
        return FittedTable([], list(_as_records(_columns(headings, rows), len(rows), width)))
    order = {heading: index for index, heading in enumerate(headings)}
    return _lay_out(columns, _share(columns, width), below, len(rows), width, sorted(left_out, key=order.__getitem__))


def wrap_text(text: str, width: int, indent: str = "", *, at_hyphens: bool = False) -> list[str]:
    """Return a text in lines of at most ``width``, those after the first indented; only longer words are broken."""
    room = width - len(indent)
    lines, line = [], ""
    for word in _words(text, at_hyphens=at_hyphens):
        for piece in [word] if cell_len(word.strip()) <= room else chop_cells(word.strip(), room):
            if line.strip() and cell_len(line + piece) > width:
                lines.append(line)
                line = indent
            line += piece if line.strip() else piece.lstrip()
    return [*lines, line]


def _words(text: str, *, at_hyphens: bool) -> list[str]:
    """Return what may stand on a line of its own, with the space before it."""
    return re.findall(r" *(?:[^ -]+-?|-)" if at_hyphens else r" *[^ ]+", " ".join(text.split()))


def _shorten(heading: str, cell: str) -> str:
    names = cell.split(", ") if heading == "INVOICES" else []
    if len(names) <= _LIST_LENGTH_MAX + 1:
        return cell
    return ", ".join([*names[:_LIST_LENGTH_MAX], f"{len(names) - _LIST_LENGTH_MAX} more"])


def _columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[_Column]:
    return [_Column(heading, [row[index] for row in rows]) for index, heading in enumerate(headings)]


def _total(widths: Iterable[int]) -> int:
    found = list(widths)
    return sum(found) + _GAP * (len(found) - 1)


def _share(columns: Sequence[_Column], width: int) -> list[int]:
    """Return the columns' widths: the widest ones give way first, none below its minimum."""
    widths = [column.natural_width for column in columns]
    floors = [column.width_min for column in columns]
    while _total(widths) > width:
        widest = max((index for index in range(len(columns)) if widths[index] > floors[index]), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _lay_out(
    columns: Sequence[_Column],
    widths: Sequence[int],
    below: Sequence[_Column],
    count: int,
    width: int,
    left_out: Sequence[str] = (),
) -> FittedTable:
    heading = _row([column.heading for column in columns], columns, widths)
    heading += [" " * _INDENT + " · ".join(column.heading for column in below)] if below else []
    lines: list[str] = []
    for index in range(count):
        lines += _row([column.cells[index] for column in columns], columns, widths)
        for column in below:
            if cell := column.cells[index]:
                lines += [" " * _INDENT + line for line in wrap_text(cell, width - _INDENT)]
    return FittedTable(heading, lines, list(left_out))


def _row(cells: Sequence[str], columns: Sequence[_Column], widths: Sequence[int]) -> list[str]:
    wrapped = [column.wrap(cell, width) for column, cell, width in zip(columns, cells, widths, strict=True)]
    return [
        (" " * _GAP)
        .join(
            column.pad(lines[index] if index < len(lines) else "", width)
            for column, lines, width in zip(columns, wrapped, widths, strict=True)
        )
        .rstrip()
        for index in range(max(map(len, wrapped)))
    ]


def _as_records(columns: Sequence[_Column], count: int, width: int) -> Iterator[str]:
    """Yield each row as a block of "HEADING  value" lines, for a terminal with no room for a table."""
    longest = max(cell_len(column.heading) for column in columns)
    for index in range(count):
        for column in columns:
            if cell := column.cells[index]:
                start = set_cell_size(column.heading, longest + _GAP)
                if longest + _GAP + min(cell_len(cell), _WORDS_MIN) > width:
                    yield from (column.heading, *(f"  {line}" for line in wrap_text(cell, width - _GAP)))
                else:
                    first, *more = wrap_text(cell, width - longest - _GAP)
                    yield from (start + first, *(" " * (longest + _GAP) + line for line in more))
        if index < count - 1:
            yield ""
