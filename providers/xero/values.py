"""Parses Xero's dates and amounts: exactly, without moving them to another time zone, naming the field on errors."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from policies.currencies import round_amount
from providers.record_values import is_far_off, parse_currency, utc_instant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_DATE = re.compile(r"/Date\((-?\d+)(?:([+-])(\d\d)(\d\d))?\)/")
_MONEY_LIMIT = Decimal(10) ** 14


class InvalidField(ValueError):
    """A field with an invalid value; ``str()`` names the field."""


def parse_instant(name: str, text: str) -> datetime:
    """Return the instant of ``/Date(1546128000000+0000)/``; its offset only tells in which zone it was written."""
    try:
        if text[-7:] == "+0000)/":
            return utc_instant(_EPOCH + timedelta(milliseconds=int(text[6:-7])))
        match = _MS_DATE.fullmatch(text)
        if match:
            return utc_instant(_EPOCH + timedelta(milliseconds=int(match[1])))
        return utc_instant(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise InvalidField(_unreadable_date(name)) from None


def parse_date(name: str, text: str) -> date:
    """Return the date of ``2018-12-30T00:00:00`` or ``/Date(…)/``, not moved to another time zone."""
    on = _parse_any_date(name, text)
    if is_far_off(on):
        raise InvalidField(_unreadable_date(name))
    return on


@lru_cache(maxsize=8192)
def _parse_any_date(name: str, text: str) -> date:
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
    return f"{name} is not a valid date"


def parse_optional_date(name: str, text: str | None) -> date | None:
    """Return a date that may be missing: None for one that a program writes for none, of 1970, year 1 or year 9999."""
    if not text or text.startswith("0000-00-00"):
        return None
    on = _parse_any_date(name, text)
    return None if is_far_off(on) else on


def parse_currency_code(name: str, text: str | None) -> str:
    """Return the currency in capitals, "" for none."""
    try:
        return parse_currency(text)
    except ValueError:
        message = f"{name} is not a currency"
        raise InvalidField(message) from None


def parse_amount(name: str, amount: Decimal, currency: str) -> Decimal:
    """Return the amount, rounded to its currency. Raises for one that is no number, or too large."""
    try:
        rounded = round_amount(amount, currency)
        if -_MONEY_LIMIT < rounded < _MONEY_LIMIT:
            return amount if rounded == amount else rounded
    except InvalidOperation:
        pass  # not a number, or too long: rejected below like the others
    message = f"{name} is not an amount"
    raise InvalidField(message)
