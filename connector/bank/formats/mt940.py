"""MT940 and MT942 of SWIFT, with the ways in which banks fill field 86.

A reader of our own: mt-940 5.1.1 loses the reference of field 61 where the purpose is in subfields, keeps the sign of
reversals wrong, and gives the account of the last statement to all lines of a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from connector.bank.formats.bank_line import LINES_MAX, BankLine, StatementError, StatementFile
from connector.bank.formats.purposes import Purpose, read_purpose
from connector.bank.formats.returns import says_returned
from connector.bank.formats.values import clean, decode, nearest_year, plain_amount, yymmdd
from connector.vocabulary import LineStatus, StatementFormat

_FIELD = re.compile(r":(\d{2}[A-Z]?):(.*)", re.DOTALL)
_ENTRY = re.compile(
    r"(?P<value>\d{6})(?P<entry>\d{4})?(?P<mark>RC|RD|EC|ED|C|D)(?P<funds>[A-Z])?(?P<minus>-)?(?P<amount>\d[\d.]*,\d*|\d+\.\d{2}|\d+)"
    r"(?P<type>[A-Z][A-Z0-9]{3})?(?P<reference>[^\n]*)",
)
_BALANCE = re.compile(r"(?P<mark>[CD])(?P<on>\d{6})(?P<currency>[A-Z]{3})(?P<amount>[\d.]+,?\d*)")
_BLOCK = re.compile(r"^(\{[^{}\n]*(?:\{[^{}\n]*\}[^{}\n]*)*\})*\{4:\s*|^\{[125]:[^\n]*\}$")
_NO_REFERENCE = frozenset({"NONREF", "NOREF", "KREF+", "UNKNOWN", "EREF", "PREF", "MARF"})
_MARKS = {
    "C": (1, LineStatus.BOOKED),
    "D": (-1, LineStatus.BOOKED),
    "RC": (-1, LineStatus.REVERSAL),  # a credit is taken back
    "RD": (1, LineStatus.REVERSAL),
    "EC": (1, LineStatus.PENDING),  # expected
    "ED": (-1, LineStatus.PENDING),
}
_RETURNED_ITEM = "RTI"
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Field:
    tag: str
    text: str
    line: int


@dataclass(slots=True)
class _Message:
    """One statement while it is read."""

    line: int
    account: str = ""
    currency: str = ""
    opening: Decimal | None = None
    closing: Decimal | None = None
    lines: list[BankLine] = field(default_factory=list)


def looks_like(content: bytes) -> bool:
    """Return whether a file has the fields of a statement of SWIFT."""
    head = content[:4096]
    return b":20:" in head and (b":25:" in head or b":25P:" in head)


def read(content: bytes) -> StatementFile:
    """Read a file of statements. Raises ``StatementError``."""
    reader = _Reader()
    for each in _fields(decode(content)):
        reader.feed(each)
    reader.end_entry("")
    return _finish(reader.messages)


class _Reader:
    """Reads the fields one after another; an entry ends with its field 86, or without one where another field comes."""

    def __init__(self) -> None:
        self.messages: list[_Message] = []
        self._entry: re.Match[str] | None = None
        self._entry_line, self._supplement = 0, ""

    def feed(self, each: _Field) -> None:
        """Read one field."""
        if each.tag == "86":
            self.end_entry(each.text)
            return
        self.end_entry("")
        if each.tag == "20":
            self.messages.append(_Message(each.line))
            return
        if not self.messages:
            raise StatementError(f"Field {each.tag} comes before field 20, with which a statement begins.", each.line)
        self._read_field(self.messages[-1], each)

    def end_entry(self, purpose: str) -> None:
        """Add the entry that is being read, if any."""
        if self._entry is not None:
            _add(self.messages[-1], self._entry, self._supplement, purpose, self._entry_line)
        self._entry = None

    def _read_field(self, message: _Message, each: _Field) -> None:
        if each.tag in {"25", "25P"}:
            message.account = clean(each.text.split("\n")[0], 64).replace(" ", "")
        elif each.tag in {"60F", "60M"}:
            message.currency, message.opening = _balance(each)
        elif each.tag in {"62F", "62M"}:
            _currency, message.closing = _balance(each)
        elif each.tag == "34F":
            message.currency = message.currency or each.text[:3]
        elif each.tag == "61":
            first, _newline, self._supplement = each.text.partition("\n")
            self._entry, self._entry_line = _ENTRY.match(first.strip()), each.line
            if self._entry is None:
                raise StatementError(f"Field 61 cannot be read: {clean(first, 60)!r}.", each.line)


def _finish(messages: list[_Message]) -> StatementFile:
    if not messages:
        raise StatementError("The file has no statement: field 20 is missing.", 1)
    lines = [line for message in messages for line in message.lines]
    warnings: list[str] = []
    for message in messages:
        if message.opening is not None and message.closing is None:
            raise StatementError("The statement has no closing balance (field 62): the file is cut off.", message.line)
        booked = sum((each.amount for each in message.lines if each.status is not LineStatus.PENDING), _ZERO)
        if message.opening is not None and message.closing is not None:
            missing = message.closing - message.opening - booked
            if missing:
                name = message.account or "an account"
                warnings.append(f"The entries of {name} do not add up to its closing balance: {missing} is missing.")
    return StatementFile(StatementFormat.MT940, tuple(lines), tuple(warnings))


def _fields(text: str) -> Iterator[_Field]:
    """Yield the fields with their continuation lines; envelopes and lines with only a hyphen are left out."""
    parts: list[str] = []
    tag, start = "", 0
    for number, row in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        bare = _BLOCK.sub("", row.rstrip(" "))
        if (bare.startswith("-") and not bare.strip("-} \x03")) or bare.startswith("-}"):
            continue
        found = _FIELD.match(bare)
        if found is not None:
            if tag:
                yield _Field(tag, "\n".join(parts), start)
            tag, parts, start = found[1], [found[2]], number
        elif tag:
            parts.append(bare)
        elif bare.strip(" \x01\x02\x03"):
            continue  # what a bank puts before the first field
    if tag:
        yield _Field(tag, "\n".join(parts), start)


def _balance(each: _Field) -> tuple[str, Decimal]:
    found = _BALANCE.match(each.text.strip())
    if found is None:
        raise StatementError(f"Field {each.tag} is not a balance: {clean(each.text, 60)!r}.", each.line)
    amount = _amount(found["amount"], each.line)
    return found["currency"], amount if found["mark"] == "C" else -amount


def _amount(text: str, line: int) -> Decimal:
    """Parse an amount; a few banks group thousands by full stops, which the standard forbids."""
    return plain_amount(text.replace(".", "") if "," in text else text, line)


def _add(message: _Message, entry: re.Match[str], supplement: str, purpose_text: str, line: int) -> None:
    if not message.currency:
        raise StatementError("The statement names no currency before its first entry (field 60 or 34F).", line)
    if len(message.lines) >= LINES_MAX:
        raise StatementError(f"The file has more than {LINES_MAX:,} entries: split it.", line)
    sign, status = _MARKS[f"R{entry['mark'][-1]}" if entry["minus"] else entry["mark"]]
    value_on = yymmdd(entry["value"], line)
    booked_on = nearest_year(entry["entry"], value_on, line) if entry["entry"] else value_on
    own, _slashes, bank_reference = entry["reference"].partition("//")
    purpose = read_purpose(purpose_text)
    message.lines.append(
        BankLine(
            line=line,
            account=message.account,
            currency=message.currency,
            amount=sign * _amount(entry["amount"], line),
            booked_on=booked_on,
            value_on=value_on,
            status=_status(status, purpose, sign, entry["type"] or ""),
            payer=purpose.payer,
            payer_account=purpose.payer_account,
            reference=purpose.reference,
            text=_text(own, purpose, supplement),
            bank_reference=clean(bank_reference, 64),
            charges=purpose.charges,
        )
    )


def _status(status: LineStatus, purpose: Purpose, sign: int, kind: str) -> LineStatus:
    """Return the status; what came back is a debit of its own, by its code, its type (RTI) or the bank's words."""
    if status is not LineStatus.BOOKED or sign > 0:
        return status
    is_return = purpose.is_return or kind[1:] == _RETURNED_ITEM or says_returned(purpose.text)
    return LineStatus.REVERSAL if is_return else status


def _text(own: str, purpose: Purpose, supplement: str) -> str:
    own = "" if own.strip() in _NO_REFERENCE or own.strip() in purpose.text else own
    extra = "" if supplement.startswith("/") else supplement  # /OCMT/ and /CHGS/: amounts, not words
    return clean(" ".join(filter(None, (purpose.text, own.strip(), clean(extra)))))
