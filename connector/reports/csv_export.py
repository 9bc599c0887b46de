"""Writes CSV that a spreadsheet shows and never computes: RFC 4180; no cell begins like a formula or steers a tty."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from connector.plain_text import strip_control_characters

_FORMULA_PREFIXES = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)  # the wide signs count too


def csv_lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Write rows line by line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in rows:
        writer.writerow([format_cell(value) for value in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def format_cell(value: object) -> str:
    """Make a value a text that no spreadsheet takes for a formula; numbers of ours stay numbers."""
    text = "" if value is None else strip_control_characters(str(value))
    return f"'{text}" if isinstance(value, str) and text.lstrip(" ").startswith(_FORMULA_PREFIXES) else text
