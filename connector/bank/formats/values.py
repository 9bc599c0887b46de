"""Amounts, dates and texts as banks write them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from connector.bank.formats.bank_line import TEXT_LENGTH_MAX, StatementError

_AMOUNT = re.compile(r"\d{1,15}(?:[.,]\d{0,4})?")
_SPACES = re.compile(r"\s+")
_ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")


def decode(content: bytes) -> str:
    """Decode a text file: UTF-8, or else what Windows programs of western banks write; the last always succeeds."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    for encoding in _ENCODINGS[:-1]:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode(_ENCODINGS[-1])


def clean(text: str | None, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Return a text on one line, without characters that no database stores."""
    return _SPACES.sub(" ", (text or "").replace("\x00", "")).strip()[:length_max]


def plain_amount(text: str, line: int) -> Decimal:
    """Parse an unsigned amount with one decimal mark and no separators, as MT940, camt and BAI2 write it."""
    if not _AMOUNT.fullmatch(text):
        raise StatementError(f"{text!r} is not an amount.", line)
    try:
        return Decimal(text.replace(",", "."))
    except InvalidOperation:
        raise StatementError(f"{text!r} is not an amount.", line) from None


def iso_date(text: str, line: int) -> date:
    """Parse a date or an instant as ISO 8601 writes it; of an instant the date counts as written."""
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise StatementError(f"{text!r} is not a date.", line) from None


def yymmdd(text: str, line: int) -> date:
    """Parse a date of six digits; years up to fifty ahead are of this century."""
    try:
        found = datetime.strptime(text, "%y%m%d").replace(tzinfo=None).date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        raise StatementError(f"{text!r} is not a date.", line) from None
    return found


def nearest_year(mmdd: str, near: date, line: int) -> date:
    """Return the date with this month and day that is nearest to another: entries of January valued in December."""
    found: list[date] = []
    for year in (near.year - 1, near.year, near.year + 1):
        try:
            found.append(date(year, int(mmdd[:2]), int(mmdd[2:])))
        except ValueError:  # 29 February
            continue
    if not found:
        raise StatementError(f"{mmdd!r} is not a month and a day.", line)
    return min(found, key=lambda each: abs(each - near))


def is_plausible(on: date, today: date) -> bool:
    """Return whether a booking may have that date: nothing of the last century, nothing years ahead."""
    return date(2000, 1, 1) <= on <= today + timedelta(days=366 * 2)
