"""CSV (RFC 4180) that is safe to open in a spreadsheet: no formulas, no control characters."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

from defusedcsv import csv

from connector.plain_text import strip_control_characters

_WIDE_SIGNS = (
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)  # full-width = + - @, which some spreadsheets treat like the ASCII ones


def csv_lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the rows as lines of CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in rows:
        writer.writerow([_prepare(value) for value in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _prepare(value: object) -> object:
    """Prepare a cell for defusedcsv, which checks only the first character and does not know full-width signs."""
    if not isinstance(value, str):
        return value
    text = strip_control_characters(value).lstrip()
    return f"'{text}" if text.startswith(_WIDE_SIGNS) else text
