"""The reader for a file, found by its content: names and extensions are whatever a browser made of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date

from connector.bank.formats import bai2, camt, csv_file, csv_mapping, mt940, ofx
from connector.bank.formats.bank_line import BYTES_MAX, StatementError, StatementFile
from connector.bank.formats.csv_mapping import CsvMapping, CsvTable
from connector.bank.formats.values import clean, decode

WARNINGS_MAX = 20
log = logging.getLogger("duewell.bank")
_READERS = (
    (camt.looks_like, camt.read),
    (ofx.looks_like, ofx.read),
    (bai2.looks_like, bai2.read),
    (mt940.looks_like, mt940.read),
)


_CURRENCY_LENGTH = 3


@dataclass(frozen=True, slots=True)
class ReadStatement:
    """A statement as read; of a CSV file also its table and how its columns were understood."""

    file: StatementFile
    table: CsvTable | None = None
    mapping: CsvMapping | None = None


def find_table(content: bytes) -> CsvTable | None:
    """Return the table of a CSV file; None for another format. Raises ``StatementError``."""
    _check(content)
    if any(looks_like(content) for looks_like, _read in _READERS):
        return None
    with _odd_files_refused():
        return csv_mapping.split_table(decode(content))


def read_statement(
    content: bytes, *, currency: str, mapping: CsvMapping | None = None, today: date | None = None
) -> ReadStatement:
    """Read a statement in any of the formats.

    Args:
        content: the file.
        currency: of a CSV file that names none.
        mapping: how the columns of a CSV file are understood, as far as that is known.
        today: dates of a CSV file do not lie after it.

    Raises:
        CsvQuestion: a person has to say something about a CSV file.
        StatementError: the file cannot be read.

    """
    _check(content)
    with _odd_files_refused():
        for looks_like, read in _READERS:
            if looks_like(content):
                return ReadStatement(_with_few_warnings(_with_currencies(read(content))))
        table = csv_mapping.split_table(decode(content))
        found = csv_mapping.guess_mapping(table, currency, mapping, today)
        return ReadStatement(_with_few_warnings(csv_file.read(table, found)), table, found)


@contextmanager
def _odd_files_refused() -> Iterator[None]:
    """Refuse a file that holds what no reader thought of: it must stop nothing but its own import."""
    try:
        yield
    except (ValueError, ArithmeticError, LookupError) as error:
        log.warning("a bank statement could not be read: %s", type(error).__name__)
        raise StatementError("The file holds something that no bank's statement has.") from error


def _with_few_warnings(file: StatementFile) -> StatementFile:
    """Return a statement with its first warnings only: each is a line of the log, and a file may hold thousands."""
    left_out = len(file.warnings) - WARNINGS_MAX
    if left_out <= 0:
        return file
    return replace(file, warnings=(*file.warnings[:WARNINGS_MAX], f"{left_out:,} more warnings are left out."))


def _with_currencies(file: StatementFile) -> StatementFile:
    """Return a file whose currencies are three capitals each. Raises ``StatementError``."""
    lines = []
    for line in file.lines:
        currency = line.currency.strip().upper()
        if not (len(currency) == _CURRENCY_LENGTH and currency.isascii() and currency.isalpha()):
            raise StatementError(f"{clean(line.currency, 20)!r} is not a currency.", line.line)
        lines.append(line if currency == line.currency else replace(line, currency=currency))
    return replace(file, lines=tuple(lines))


def _check(content: bytes) -> None:
    if not content.strip():
        raise StatementError("The file is empty.", 1)
    if len(content) > BYTES_MAX:
        raise StatementError(f"The file is larger than {BYTES_MAX // 2**20} MB: split it.")
    if content[:2] == b"PK":
        raise StatementError("The file is a ZIP archive: unpack it, and import what is inside.", 1)
    if content[:4] == b"%PDF":
        raise StatementError("The file is a PDF: download the statement as camt.053, MT940, OFX, BAI2 or CSV.", 1)
