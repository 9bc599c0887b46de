"""Values that any ledger may send and nobody can calculate with: dates of year 9999, currencies in lower case.

A program writes a far-off date for "never", a spreadsheet "gbp " for GBP, and a text that is cut in the middle of a
character leaves half of it.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

LAST_YEAR: Final = 2200  # a later date is what a program writes for "never"
_FIRST_YEAR: Final = 1980  # what programs write for none is earlier: 0001-01-01, 1899-12-30, 1970-01-01
_CURRENCY = re.compile(r"[A-Z]{3}")
_HALF_CHARACTER = re.compile(
    rb"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_PAIR_LENGTH = 12
_TEXT_OR_NO_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')


@lru_cache(maxsize=256)
def parse_currency(text: str | None) -> str:
    """Return an ISO 4217 code in capitals, "" where the record names none. Raises ValueError for what is no code."""
    code = (text or "").strip().upper()
    if code and not _CURRENCY.fullmatch(code):
        message = "the currency is not a code of three letters"
        raise ValueError(message)
    return code


def is_far_off(on: date) -> bool:
    """Return whether a date is earlier or later than any that a person means."""
    return not _FIRST_YEAR <= on.year <= LAST_YEAR


def utc_instant(at: datetime) -> datetime:
    """Return an instant in UTC; one without an offset is taken as UTC. Raises ValueError for one that nobody meant."""
    if not _FIRST_YEAR <= at.year <= LAST_YEAR:
        message = "the time is not between 1980 and 2200"
        raise ValueError(message)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def is_above_total(due: Decimal, total: Decimal) -> bool:
    """Return whether more is due than the invoice was for, which no ledger means."""
    return 0 < due > total


def repair_text(body: bytes) -> bytes:
    """Return JSON whose halves of characters, and bytes that are not UTF-8, are replaced by U+FFFD.

    One such text, cut in the middle of an emoji, makes a whole reply unreadable; so does a bare NaN, which becomes a
    text that is no amount.
    """
    text = body.decode("utf-8", "replace").encode()
    text = _TEXT_OR_NO_NUMBER.sub(lambda found: found[0] if found[0].startswith(b'"') else b'"NaN"', text)
    return _HALF_CHARACTER.sub(lambda found: found[0] if len(found[2]) == _PAIR_LENGTH else found[1] + b"\\ufffd", text)
