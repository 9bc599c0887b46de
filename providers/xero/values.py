"""Reads Xero's dates and amounts: exact, never moved into another time zone, and refused by name where they are odd."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_DATE = date(1970, 1, 1)
_MS_DATE = re.compile(r"/Date\((-?\d+)(?:([+-])(\d\d)(\d\d))?\)/")
_MONEY_LIMIT = Decimal(10) ** 14
_AMOUNT_STEP = Decimal("0.0001")


class InvalidField(ValueError):
    """A field that cannot be understood; the text names it."""


def parse_instant(name: str, text: str) -> datetime:
    """The instant of ``/Date(1546128000000+0000)/``; the offset says only in which zone it was written."""
    try:
        if text[-7:] == "+0000)/":
            return _EPOCH + timedelta(milliseconds=int(text[6:-7]))
        match = _MS_DATE.fullmatch(text)
        if match:
            return _EPOCH + timedelta(milliseconds=int(match[1]))
        at = datetime.fromisoformat(text)
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidField(_unreadable_date(name)) from None


@lru_cache(maxsize=8192)
def parse_date(name: str, text: str) -> date:
    """The calendar day of ``2018-12-30T00:00:00`` or of ``/Date(…)/``, never moved into another time zone."""
    try:
        if text[:6] != "/Date(":
            return date.fromisoformat(text[:10])
        match = _MS_DATE.fullmatch(text)
        if not match:
            raise InvalidField(_unreadable_date(name))
        offset = timedelta(hours=int(match[3] or 0), minutes=int(match[4] or 0))
        at = _EPOCH + timedelta(milliseconds=int(match[1]))
        return (at - offset if match[2] == "-" else at + offset).date()
    except (ValueError, OverflowError):
        raise InvalidField(_unreadable_date(name)) from None


def _unreadable_date(name: str) -> str:
    return f"{name} is not a date that can be understood"


def parse_optional_date(name: str, text: str | None) -> date | None:
    """A day that may be missing; Xero writes the first of January 1970 for none on voided documents."""
    if not text:
        return None
    on = parse_date(name, text)
    return None if on == _NO_DATE else on


def check_amount(name: str, amount: Decimal) -> Decimal:
    """Refuse what cannot be kept exactly in ten-thousandths: it would cost the whole page later."""
    try:
        if amount.quantize(_AMOUNT_STEP) == amount and -_MONEY_LIMIT < amount < _MONEY_LIMIT:
            return amount
    except InvalidOperation:
        pass  # not a number, or one too long to be money: refused below like the others
    message = f"{name} is not an amount of money of at most four decimals"
    raise InvalidField(message)
