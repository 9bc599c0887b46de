"""Amounts, dates and instants as Intuit formats them: exact, as whole or fractional numbers, in Pacific time."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from sandbox.core import JsonObject
from sandbox.quickbooks.api_errors import invalid_number, unreadable

ZERO = Decimal(0)
CENT = Decimal("0.01")
PACIFIC = ZoneInfo("America/Los_Angeles")  # of the timestamps of all companies

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def encode(reply: Any) -> bytes:
    """Return JSON with exact numbers."""
    return _ENCODER.encode(reply)


def decode(body: bytes) -> JsonObject:
    """Parse the JSON object of a request with exact numbers."""
    try:
        value = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise unreadable(f"Unexpected character: {error}") from error
    if not isinstance(value, dict):
        raise unreadable("the body is not an object")
    return value


def round_to_cents(value: Decimal) -> Decimal:
    """Round half up to two decimals."""
    return value.quantize(CENT, ROUND_HALF_UP)


def format_number(value: Decimal) -> Decimal:
    """Return an amount as most replies write it: ``100``, ``50.5``, ``362.07``."""
    whole = value.to_integral_value()
    return whole if whole == value else value.normalize()


def parse_amount(name: str, value: object) -> Decimal:
    """Parse an amount of a request, which may also be a text."""
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise invalid_number(name, value) from error
    if isinstance(value, bool) or not number.is_finite():
        raise invalid_number(name, value)
    return number


def parse_date(name: str, value: object) -> date:
    """Parse a date of a request; a time after it is ignored."""
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError as error:
        raise invalid_number(name, value) from error


def parse_instant(text: str) -> datetime:
    """Parse an instant of a request, in Pacific time without an offset. Raises ``ValueError``."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=PACIFIC)).astimezone(UTC)


def round_up_to_second(at: datetime) -> datetime:
    """Round up to the second: recorded objects have timestamps up to a second after their reply."""
    return at if not at.microsecond else at.replace(microsecond=0) + timedelta(seconds=1)


def format_instant(at: datetime) -> str:
    """Format an instant as in ``MetaData``."""
    return at.astimezone(PACIFIC).isoformat(timespec="seconds")


def format_reply_time(at: datetime) -> str:
    """Format an instant as the ``time`` of a reply."""
    return at.astimezone(PACIFIC).isoformat(timespec="milliseconds")
