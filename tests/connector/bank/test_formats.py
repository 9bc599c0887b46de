"""Every file of the corpus is read to the rows beside it, or refused with the line and the reason beside it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from connector.bank.formats.bank_line import BankLine, StatementError
from connector.bank.formats.readers import read_statement
from connector.bank.formats.returns import says_returned

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(each for each in CORPUS.glob("*/*") if each.suffix != ".expected")
_LEAST = 12  # files of each format


def row_of(line: BankLine) -> str:
    """Return a line as the expected rows have it."""
    more = [f"value {line.value_on}"] if line.value_on and line.value_on != line.booked_on else []
    more += [f"charges {line.charges}"] if line.charges else []
    more += ["batch"] if line.batch else []
    more += [f"of {line.batch_amount}"] if line.batch_amount is not None else []
    fields = (
        *(line.line, line.booked_on, f"{line.amount} {line.currency}", line.status, line.account, line.payer),
        *(line.payer_account, line.reference, line.text, line.bank_reference, ", ".join(more)),
    )
    return " | ".join(map(str, fields)).rstrip(" |")


def read_rows(path: Path) -> list[str]:
    """Return the rows and warnings of a file, or why it is refused."""
    try:
        file = read_statement(path.read_bytes(), currency="EUR", today=date(2026, 6, 30)).file
    except StatementError as error:
        return [f"! {error}"]
    return [*map(row_of, file.lines), *(f"? {text}" for text in file.warnings)]


@pytest.mark.parametrize("path", FILES, ids=[f"{each.parent.name}/{each.name}" for each in FILES])
def test_a_file_is_read_to_the_rows_beside_it(path: Path) -> None:
    expected = path.with_name(f"{path.name}.expected").read_text("utf-8").splitlines()
    assert read_rows(path) == expected


def test_each_format_has_a_dozen_files() -> None:
    counts = {folder.name: sum(each.parent == folder for each in FILES) for folder in CORPUS.iterdir()}
    assert min(counts.values()) >= _LEAST, counts
    assert set(counts) == {"bai2", "camt", "csv", "mt940", "ofx"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"PK\x03\x04zip", "ZIP archive"), (b"%PDF-1.7", "PDF"), (b"\xff\xfe\x00\x00", "No row names")],
)
def test_what_is_no_statement_is_refused_with_what_to_do(content: bytes, reason: str) -> None:
    with pytest.raises(StatementError, match=reason):
        read_statement(content, currency="EUR")


def test_a_file_that_is_cut_off_anywhere_is_refused_or_read_to_a_beginning_of_its_rows() -> None:
    """Nothing is invented: whatever a cut file still gives, stands in the whole one as well."""
    for folder in ("mt940", "camt", "ofx", "bai2"):
        path = next(each for each in FILES if each.parent.name == folder)
        content = path.read_bytes()
        whole = read_statement(content, currency="EUR").file.lines
        for end in range(0, len(content), 37):
            try:
                lines = read_statement(content[:end], currency="EUR").file.lines
            except StatementError:
                continue
            assert lines == whole[: len(lines)], (path, end)


@pytest.mark.parametrize(
    ("text", "is_return"),
    [
        ("Lastschriftrückgabe Miller", True),
        ("SEPA-LASTSCHR.RETOURE INV-0051", True),
        ("Rückgabe einer SEPA-Lastschrift", True),
        ("RETOURE SEPA INV-0051", True),
        ("SCHECKRUCKGABE 4711", True),
        ("Erstattung Retoure Bestellung 4711", False),
        ("Rückgabe der Kaution, Miller GmbH", False),
    ],
)
def test_money_given_back_for_goods_is_no_payment_that_the_bank_took_back(text: str, *, is_return: bool) -> None:
    assert says_returned(text) is is_return
