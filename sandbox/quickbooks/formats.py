"""Money, dates and instants as Intuit writes them: exact inside, whole numbers or fractions in JSON, Pacific time."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from sandbox.quickbooks.api_errors import invalid_number, unreadable

ZERO = Decimal(0)
CENT = Decimal("0.01")
PACIFIC = ZoneInfo("America/Los_Angeles")  # Intuit stamps every company's times there

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def encode(reply: Any) -> bytes:
    """Write JSON with exact numbers."""
    return _ENCODER.encode(reply)


def decode(body: bytes) -> dict[str, Any]:
    """Read the JSON object of a request with exact numbers."""
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
    """Write an amount as most replies do: ``100``, ``50.5``, ``362.07``."""
    whole = value.to_integral_value()
    return whole if whole == value else value.normalize()


def parse_amount(name: str, value: object) -> Decimal:
    """Read a number of a request, also one written as a text."""
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise invalid_number(name, value) from error
    if isinstance(value, bool) or not number.is_finite():
        raise invalid_number(name, value)
    return number


def parse_date(name: str, value: object) -> date:
    """Read a date of a request; a time behind it is ignored."""
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError as error:
        raise invalid_number(name, value) from error


def parse_instant(text: str) -> datetime:
    """Read an instant of a request; without an offset it is Pacific time. Raises ``ValueError``."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=PACIFIC)).astimezone(UTC)


def round_up_to_second(at: datetime) -> datetime:
    """Round up to the second: recorded objects are stamped up to a second after the reply that brought them."""
    return at if not at.microsecond else at.replace(microsecond=0) + timedelta(seconds=1)


def format_instant(at: datetime) -> str:
    """Write an instant as ``MetaData`` does."""
    return at.astimezone(PACIFIC).isoformat(timespec="seconds")


def format_reply_time(at: datetime) -> str:
    """Write an instant as the ``time`` of a reply."""
    return at.astimezone(PACIFIC).isoformat(timespec="milliseconds")
