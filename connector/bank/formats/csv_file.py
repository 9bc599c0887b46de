"""CSV as banks export it, read by a mapping of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

from connector.bank.formats.bank_line import LINES_MAX, BankLine, StatementError, StatementFile
from connector.bank.formats.csv_mapping import CsvField, CsvMapping, CsvTable
from connector.bank.formats.csv_values import date_parts, read_amount, read_date
from connector.bank.formats.returns import says_returned
from connector.bank.formats.values import clean
from connector.vocabulary import LineStatus, StatementFormat

_IN = frozenset({"c", "cr", "credit", "h", "haben", "bij", "crdt", "in", "+", "credito", "crédit", "avere", "haber"})
_OUT = frozenset({"d", "dr", "debit", "s", "soll", "af", "dbit", "out", "-", "debito", "débit", "dare", "debe"})
_PENDING = (
    "pending",
    "vorgemerkt",
    "vorgemerkte",
    "authorised",
    "authorized",
    "en attente",
    "pendiente",
    "in behandeling",
)
_DROPPED = ("declined", "reverted", "failed", "abgelehnt", "cancelled")  # no money moved


def read(table: CsvTable, mapping: CsvMapping) -> StatementFile:
    """Read the rows of a table. Raises ``StatementError`` with the line of the first row that cannot be read."""
    lines: list[BankLine] = []
    warnings: list[str] = []
    skipped: list[int] = []
    booked = mapping.first(CsvField.BOOKED_ON)
    assert booked is not None  # noqa: S101 - ``guess_mapping`` asked for it
    for number, row in table.rows:
        cell = row[booked] if booked < len(row) else ""
        if date_parts(cell) is None:
            if _has_money(row, mapping) and any(each.isdecimal() for each in cell):  # no word for a total
                raise StatementError(f"{clean(cell, 40)!r} is not a date.", number)
            skipped.append(number)
            continue
        if skipped and lines and _has_money(row, mapping):
            raise StatementError("This line is in the middle of the entries and is none.", skipped[0])
        found = _line(number, row, mapping, cell)
        lines += [found] if found is not None else []
        if len(lines) > LINES_MAX:
            raise StatementError(f"The file has more than {LINES_MAX:,} entries: split it.", number)
    if skipped:
        count = f"{len(skipped)} lines are" if len(skipped) > 1 else "1 line is"
        warnings.append(f"{count} no entry, from line {skipped[0]} on.")
    if gap := _find_gap(table, mapping, lines):
        warnings.append(gap)
    return StatementFile(StatementFormat.CSV, tuple(lines), tuple(warnings))


def _line(number: int, row: Sequence[str], mapping: CsvMapping, booked: str) -> BankLine | None:
    booked_on = read_date(booked, mapping.date_order)
    if booked_on is None:
        raise StatementError(f"{clean(booked, 40)!r} is not a date.", number)
    state = _cell(row, mapping, CsvField.STATUS).lower()
    if any(each in state for each in _DROPPED):
        return None
    amount = _amount(number, row, mapping)
    reference = _cells(row, mapping, CsvField.REFERENCE)
    currency = _cell(row, mapping, CsvField.CURRENCY).upper() or mapping.currency
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha()):
        raise StatementError(f"{clean(currency, 20)!r} is not a currency.", number)
    value = _cell(row, mapping, CsvField.VALUE_ON)
    text = _cells(row, mapping, CsvField.TEXT)
    return BankLine(
        line=number,
        account=_cell(row, mapping, CsvField.ACCOUNT).replace(" ", "")[:64],
        currency=currency,
        amount=amount,
        booked_on=booked_on,
        value_on=read_date(value, mapping.date_order) if value else None,
        status=_status(state, amount, f"{text} {_cell(row, mapping, CsvField.KIND)}"),
        payer=_cell(row, mapping, CsvField.PAYER)[:140],
        payer_account=_cell(row, mapping, CsvField.PAYER_ACCOUNT).replace(" ", "")[:64],
        reference=reference[:140],
        text=text,
        bank_reference=_cell(row, mapping, CsvField.BANK_REFERENCE)[:64],
    )


def _status(state: str, amount: Decimal, text: str) -> LineStatus:
    if any(each in state for each in _PENDING):
        return LineStatus.PENDING
    return LineStatus.REVERSAL if amount < 0 and says_returned(text) else LineStatus.BOOKED


def _amount(number: int, row: Sequence[str], mapping: CsvMapping) -> Decimal:
    if (column := mapping.first(CsvField.AMOUNT)) is not None:
        text = row[column] if column < len(row) else ""
        amount = read_amount(text, mapping.decimal_mark)
        if amount is None:
            raise StatementError(f"{clean(text, 40)!r} is not an amount.", number)
        direction = _cell(row, mapping, CsvField.DIRECTION).lower()
        if direction in _OUT:
            return -abs(amount)
        return abs(amount) if direction in _IN and amount > 0 else amount
    parts = []
    for field in (CsvField.CREDIT, CsvField.DEBIT):
        text = _cell(row, mapping, field)
        amount = read_amount(text, mapping.decimal_mark) if text else Decimal(0)
        if amount is None:
            raise StatementError(f"{clean(text, 40)!r} is not an amount.", number)
        parts.append(amount)
    came, went = parts
    if came and went:
        raise StatementError("A line has an amount both in and out.", number)
    return came or -abs(went)


def _has_money(row: Sequence[str], mapping: CsvMapping) -> bool:
    columns = [
        each for name in (CsvField.AMOUNT, CsvField.CREDIT, CsvField.DEBIT) for each in mapping.columns.get(name, ())
    ]
    return any(each < len(row) and read_amount(row[each], mapping.decimal_mark) is not None for each in columns)


def _find_gap(table: CsvTable, mapping: CsvMapping, lines: Sequence[BankLine]) -> str:
    """Return a warning where the running balances show that an entry is missing; "" where they add up or are none."""
    column = mapping.first(CsvField.BALANCE)
    if column is None:
        return ""
    rows = dict(table.rows)
    known = [
        (line, balance)
        for line in lines
        if column < len(rows[line.line])
        and (balance := read_amount(rows[line.line][column], mapping.decimal_mark)) is not None
    ]
    gaps: dict[str, int] = {}
    for name, newer_first in (("oldest first", False), ("newest first", True)):
        gaps[name] = 0
        for (line, balance), (other, next_balance) in pairwise(known):
            step = line.amount if newer_first else other.amount
            change = balance - next_balance if newer_first else next_balance - balance
            if change != step and line.account == other.account and not gaps[name]:
                gaps[name] = other.line
    if len(known) < 3 or not all(gaps.values()):
        return ""
    return (
        f"The running balance does not follow from the amounts at line {max(gaps.values())}: an entry may be missing."
    )


def _cell(row: Sequence[str], mapping: CsvMapping, field: CsvField) -> str:
    column = mapping.first(field)
    return clean(row[column]) if column is not None and column < len(row) else ""


def _cells(row: Sequence[str], mapping: CsvMapping, field: CsvField) -> str:
    return clean(" ".join(row[each] for each in mapping.columns.get(field, ()) if each < len(row)))
