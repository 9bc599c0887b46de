"""BAI2 of North American banks: records of 16 for each entry, 88 for what did not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from connector.bank.formats.bank_line import LINES_MAX, BankLine, StatementError, StatementFile
from connector.bank.formats.values import clean, decode, yymmdd
from connector.vocabulary import LineStatus, StatementFormat

_CODE_LENGTH = 3
_CREDITS, _DEBITS = range(100, 400), range(400, 700)
_RETURNED = frozenset({"555", "557", "559", "564", "568"})  # deposited items and ACH credits that came back
_DECIMALS = {"JPY": 0, "KRW": 0, "CLP": 0, "KWD": 3, "BHD": 3, "TND": 3}
_DETAIL_FIELDS = {"S": 3, "V": 2, "0": 0, "1": 0, "2": 0, "Z": 0, "": 0}  # what follows the type of funds
_PAYER_MARKS = ("ORIG CO NAME:", "ORIGINATOR:", "ORG=", "ORIG:", "B/O:", "BY ORDER OF:", "SNDR:", "ORIG NAME:")
_MARK_ENDS = (" ORIG ID", " DESC ", " DATE", " SEC:", " ENTRY", " ID:", ";", " OBI=", " REF:", " RMK:", " TRACE", "/")


@dataclass(frozen=True, slots=True)
class _Record:
    code: str
    fields: list[str]
    line: int


def looks_like(content: bytes) -> bool:
    """Return whether a file begins with a header of this format."""
    return content.lstrip(b"\xef\xbb\xbf \r\n")[:3] == b"01,"


def read(content: bytes) -> StatementFile:
    """Read a file. Raises ``StatementError``."""
    reader = _Reader()
    for record in _records(decode(content)):
        reader.feed(record)
        if len(reader.lines) > LINES_MAX:
            raise StatementError(f"The file has more than {LINES_MAX:,} entries: split it.", record.line)
    if not reader.has_trailer:
        raise StatementError("The file has no trailer (record 99): it is cut off.", content.count(b"\n") or 1)
    return StatementFile(StatementFormat.BAI2, tuple(reader.lines), tuple(reader.warnings))


class _Reader:
    """Reads the records one after another."""

    def __init__(self) -> None:
        self.lines: list[BankLine] = []
        self.warnings: list[str] = []
        self.has_trailer = False
        self._on: date | None = None
        self._group_currency = self._account = self._currency = ""
        self._total = Decimal(0)

    def feed(self, record: _Record) -> None:
        """Read one record."""
        if record.code == "02":
            self._on = yymmdd(_field(record, 4), record.line)
            self._group_currency = _field(record, 6) or "USD"
        elif record.code == "03":
            self._account, self._currency = _field(record, 1), _field(record, 2) or self._group_currency
            self._total = _summaries(record, self._currency)
        elif record.code == "16":
            self._add_entry(record)
        elif record.code == "49":
            said = _field(record, 1)
            if said.lstrip("+-").isdecimal() and _scaled(said, self._currency, record.line) != self._total:
                self.warnings.append(f"The total of account {self._account} (record 49) is not that of its entries.")
        elif record.code == "99":
            self.has_trailer = True

    def _add_entry(self, record: _Record) -> None:
        if self._on is None or not self._account:
            raise StatementError("An entry (16) comes before its account (03) or group (02).", record.line)
        found, amount = _line(record, self._account, self._currency, self._on)
        self._total += amount
        self.lines += [found] if found is not None else []


def _records(text: str) -> Iterator[_Record]:
    """Yield the records, each with its continuations; a text may contain commas, and no slash ends it."""
    code, start = "", 0
    body: list[str] = []  # in pieces: a text that grows by each line would be copied for each line
    for number, row in enumerate(text.replace("\r", "").split("\n"), 1):
        bare = row.rstrip()
        if not bare:
            continue
        kind, _comma, rest = bare.partition(",")
        if kind == "88":
            if not code:
                raise StatementError("A continuation (88) has nothing before it.", number)
            body[-1] = _open_end(code, body[-1])
            body += [rest] if rest else []
            continue
        if code:
            yield _Record(code, "".join(body).rstrip("/").split(","), start)
        if kind not in {"01", "02", "03", "16", "49", "98", "99"}:
            raise StatementError(f"{clean(kind, 10)!r} is not a record of BAI2.", number)
        code, body, start = kind, [bare], number
    if code:
        yield _Record(code, "".join(body).rstrip("/").split(","), start)


def _open_end(code: str, body: str) -> str:
    """Return the end of a record as it stands before its continuation: a new field, or the same text after a space."""
    if body.endswith("/") and code in {"02", "03"}:
        return f"{body[:-1]},"
    is_whole = not body.endswith(("/", ","))
    bare = body.rstrip("/")
    return f"{bare} " if is_whole or (code == "16" and not bare.endswith((",", " "))) else bare


def _line(record: _Record, account: str, currency: str, on: date) -> tuple[BankLine | None, Decimal]:
    """Return an entry and its unsigned amount, which counts in totals; codes outside both ranges are no payments."""
    code = _field(record, 1)
    unsigned = _scaled(_field(record, 2) or "0", currency, record.line)
    number = int(code) if code.isdecimal() and len(code) == _CODE_LENGTH else 0
    if number not in _CREDITS and number not in _DEBITS:
        if number >= 900:
            return None, unsigned
        raise StatementError(f"{clean(code, 10)!r} is not a code of a credit or debit.", record.line)
    funds = _field(record, 3).upper()
    place = 4 + _DETAIL_FIELDS.get(funds, 0)
    if funds == "D":
        count = _field(record, 4)
        place = 5 + 2 * (int(count) if count.isdecimal() and len(count) < 3 else 0)
    value_on = yymmdd(_field(record, 4), record.line) if funds == "V" and _field(record, 4) else None
    bank_reference, own_reference = _field(record, place), _field(record, place + 1)
    text = clean(",".join(record.fields[place + 2 :]))
    sign = 1 if number in _CREDITS else -1
    return BankLine(
        line=record.line,
        account=account,
        currency=currency,
        amount=sign * unsigned,
        booked_on=on,
        value_on=value_on,
        status=LineStatus.REVERSAL if code in _RETURNED else LineStatus.BOOKED,
        payer=_payer(text),
        text=clean(f"{text} {own_reference}"),
        bank_reference=clean(bank_reference, 64),
        batch=code in {"115", "116", "135", "301"} and not text,
    ), unsigned


def _payer(text: str) -> str:
    """Return who sent the money, by the marks that banks write before the name."""
    upper = text.upper()
    for mark in _PAYER_MARKS:
        place = upper.find(mark)
        if place >= 0:
            rest = text[place + len(mark) :]
            ends = [found for end in _MARK_ENDS if (found := rest.upper().find(end)) > 0]
            return clean(rest[: min(ends, default=60)], 140)
    return ""


def _summaries(record: _Record, currency: str) -> Decimal:
    """Return the sum of an account's own amounts in its record, which count in the control total."""
    total, place = Decimal(0), 3
    while place + 1 < len(record.fields):
        code, amount = _field(record, place), _field(record, place + 1)
        if amount:
            total += _scaled(amount, currency, record.line)
        funds = _field(record, place + 3).upper() if code else ""
        place += 4 + _DETAIL_FIELDS.get(funds, 0)
    return total


def _scaled(text: str, currency: str, line: int) -> Decimal:
    """Return an amount whose decimal mark is not written."""
    digits = text.lstrip("+-")
    if not digits.isdecimal() or len(digits) > 15:
        raise StatementError(f"{clean(text, 40)!r} is not an amount.", line)
    amount = Decimal(digits).scaleb(-_DECIMALS.get(currency, 2))
    return -amount if text.startswith("-") else amount


def _field(record: _Record, place: int) -> str:
    return record.fields[place].strip() if place < len(record.fields) else ""
