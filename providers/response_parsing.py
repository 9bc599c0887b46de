"""Parses and describes what all services' replies and failures have in common, without quoting their content."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

_RETRY_AFTER_MAX = timedelta(days=1)  # a longer wait is taken for a mistake


def describe_body(body: bytes) -> str:
    """Return what kind of body this is, without quoting any of it."""
    start = body[:256].lstrip().lower()
    if not start:
        return "an empty body"
    if start[:1] in {b"{", b"["}:
        return "JSON"
    if b"<html" in start or b"<!doctype html" in start:
        return "an HTML page"
    return "XML" if start[:1] == b"<" else "plain text"


def describe_status(status: int) -> str:
    """Return a status with its name where it has one: "503 (Service Unavailable)"."""
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def parse_retry_after(value: str | None, now: datetime) -> datetime | None:
    """Return the instant of a ``Retry-After``, given in seconds or as a date; None if it is missing or invalid."""
    text = (value or "").strip()
    try:
        at = now + timedelta(seconds=float(text)) if _is_number(text) else parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return now + _RETRY_AFTER_MAX if _is_number(text) else None
    if at < now:
        return None
    return min(at, now + _RETRY_AFTER_MAX)


def parse_reset_at(value: str | None, now: datetime) -> datetime | None:
    """Return the end of a limit given in Unix seconds; None if it is missing, invalid or in the past."""
    text = (value or "").strip()
    if not _is_number(text) or float(text) <= now.timestamp():
        return None
    return min(datetime.fromtimestamp(min(float(text), now.timestamp() + 86_400), UTC), now + _RETRY_AFTER_MAX)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


_FAILURE_DESCRIPTIONS: Mapping[str, str] = {
    "NameResolutionError": "unknown host name",
    "ConnectTimeoutError": "connection timed out",
    "ConnectTimeout": "connection timed out",
    "NewConnectionError": "no connection",
    "ConnectionRefusedError": "connection refused",
    "SSLError": "TLS failed",
    "SSLCertVerificationError": "its certificate is not trusted",
    "ReadTimeoutError": "no reply in time",
    "ReadTimeout": "no reply in time",
    "RemoteDisconnected": "connection closed without a reply",
    "ConnectionResetError": "connection reset",
    "BrokenPipeError": "connection reset",
    "IncompleteRead": "the reply was cut short",
    "BadStatusLine": "the reply was not HTTP",
    "DecodeError": "the reply could not be decompressed",
}


def describe_failure(error: BaseException) -> str:
    """Return the description of the innermost failure that is listed here, without quoting its text."""
    description, pending = type(error).__name__, [error]
    while pending:
        inner = pending.pop()
        description = _FAILURE_DESCRIPTIONS.get(type(inner).__name__, description)
        pending += [one for one in (*inner.args, getattr(inner, "reason", None)) if isinstance(one, BaseException)]
    return description
