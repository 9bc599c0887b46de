"""OFX and QFX: the SGML of version 1 without closing tags, and the XML of version 2, read by one tolerant reader.

Only elements are read, never entities of a document type; a value ends where the next tag begins.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from connector.bank.formats.bank_line import LINES_MAX, RAW_LENGTH_MAX, BankLine, StatementError, StatementFile
from connector.bank.formats.csv_values import read_amount
from connector.bank.formats.returns import says_returned
from connector.bank.formats.values import clean, decode
from connector.vocabulary import LineStatus, StatementFormat

_TAG = re.compile(r"<(/?)([A-Za-z0-9.]+)\s*(/?)>([^<]*)")
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")
_STATEMENTS = {"STMTRS", "CCSTMTRS"}
_ENTRY, _PAYEE = "STMTTRN", "PAYEE"
_REVERSALS = frozenset({"REVERSAL", "RETURNED", "CHARGEBACK"})


class _Tag(NamedTuple):
    is_end: bool
    name: str
    value: str
    line: int


def looks_like(content: bytes) -> bool:
    """Return whether a file is OFX."""
    head = content[:4096].upper()
    return b"OFXHEADER" in head or b"<OFX>" in head


def read(content: bytes) -> StatementFile:
    """Read a file. Raises ``StatementError``."""
    text = decode(content)
    if "<!DOCTYPE" in text[:4096] or "<!ENTITY" in text:
        raise StatementError("The file has a document type, which no bank's OFX has.", 1)
    reader = _Reader()
    for tag in _tags(text):
        reader.feed(tag)
        if len(reader.lines) > LINES_MAX:
            raise StatementError(f"The file has more than {LINES_MAX:,} entries: split it.", tag.line)
    return reader.finish()


class _Reader:
    """Reads the tags one after another."""

    def __init__(self) -> None:
        self.lines: list[BankLine] = []
        self._currency = self._account = ""
        self._values: dict[str, str] | None = None  # of the entry that is being read
        self._started_at = 0
        self._has_statement = self._in_payee = False

    def feed(self, tag: _Tag) -> None:
        """Read one tag."""
        if tag.name in _STATEMENTS and not tag.is_end:
            self._currency, self._account, self._has_statement = "", "", True
        elif tag.name == _ENTRY and not tag.is_end:
            self._end_entry()  # version 1 may leave out the end of an entry, too
            self._values, self._started_at = {}, tag.line
        elif tag.is_end and tag.name in {_ENTRY, "BANKTRANLIST"}:
            self._end_entry()
        elif tag.name == _PAYEE:
            self._in_payee = not tag.is_end
        elif tag.value and not tag.is_end:
            self._add_value(tag)

    def finish(self) -> StatementFile:
        """Return what was read."""
        if self._values is not None:
            raise StatementError("The file ends inside an entry: it is cut off.", self._started_at)
        if not self._has_statement:
            raise StatementError("The file holds no statement of an account.", 1)
        return StatementFile(StatementFormat.OFX, tuple(self.lines))

    def _add_value(self, tag: _Tag) -> None:
        if self._values is not None:
            self._values.setdefault(f"{_PAYEE}.{tag.name}" if self._in_payee else tag.name, tag.value)
        elif tag.name == "CURDEF":
            self._currency = tag.value
        elif tag.name == "ACCTID":
            self._account = tag.value.replace(" ", "")

    def _end_entry(self) -> None:
        if self._values is not None:
            self.lines.append(_line(self._values, self._account, self._currency, self._started_at))
        self._values, self._in_payee = None, False


def _tags(text: str) -> Iterator[_Tag]:
    line, last = 1, 0
    for found in _TAG.finditer(text):
        line += text.count("\n", last, found.start())
        last = found.start()
        yield _Tag(found[1] == "/", found[2].upper(), clean(html.unescape(found[4][:RAW_LENGTH_MAX])), line)


def _line(values: dict[str, str], account: str, currency: str, line: int) -> BankLine:
    text = values.get("TRNAMT", "")
    amount = _amount(text)
    if amount is None:
        raise StatementError(f"{clean(text, 40)!r} is not an amount.", line)
    posted = values.get("DTPOSTED") or values.get("DTUSER") or values.get("DTAVAIL") or ""
    kind = values.get("TRNTYPE", "").upper()
    words = f"{values.get('NAME', '')} {values.get('MEMO', '')}"
    is_return = kind in _REVERSALS or values.get("CORRECTACTION", "").upper() == "DELETE" or says_returned(words)
    is_reversal = amount < 0 and is_return
    purpose = " ".join(filter(None, (values.get("MEMO", ""), values.get("CHECKNUM", ""), values.get("REFNUM", ""))))
    return BankLine(
        line=line,
        account=account[:64],
        currency=(values.get("CURSYM") or currency).upper() or _no_currency(line),
        amount=amount,
        booked_on=_date(posted, line),
        status=LineStatus.REVERSAL if is_reversal else LineStatus.BOOKED,
        payer=clean(values.get("NAME") or values.get(f"{_PAYEE}.NAME"), 140),
        payer_account=values.get("BANKACCTTO.ACCTID", ""),
        text=clean(purpose),
        bank_reference=clean(values.get("FITID"), 64),
    )


def _no_currency(line: int) -> str:
    raise StatementError("The statement names no currency (CURDEF).", line)


def _amount(text: str) -> Decimal | None:
    """Return an amount; the comma is a decimal mark in the files of some European banks."""
    mark = "," if "," in text and "." not in text else "."
    return read_amount(text, mark)


def _date(text: str, line: int) -> date:
    """Return the day as the bank writes it; its time and zone do not move it."""
    found = _DATE.match(text)
    try:
        if found is not None:
            return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        pass
    raise StatementError(f"{clean(text, 40)!r} is not a date.", line)
