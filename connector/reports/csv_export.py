"""Writes CSV that a spreadsheet shows and never computes: RFC 4180; no cell begins like a formula or steers a tty."""

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
)  # full-width = + - @, which some spreadsheets take for the others


def csv_lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Write rows line by line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in rows:
        writer.writerow([_prepare(value) for value in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _prepare(value: object) -> object:
    """Bring to the front what defusedcsv has to see: it looks at the first character only, and knows no wide signs."""
    if not isinstance(value, str):
        return value
    text = strip_control_characters(value).lstrip()
    return f"'{text}" if text.startswith(_WIDE_SIGNS) else text
