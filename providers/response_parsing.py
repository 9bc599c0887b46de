"""Reads what is the same in every vendor's replies and failures, into words that hold no secret and no payload."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

_RETRY_AFTER_MAX = timedelta(days=1)  # what a vendor asks beyond this is taken for a mistake


def describe_body(body: bytes) -> str:
    """What a body looks like, in words that hold nothing of it."""
    start = body[:256].lstrip().lower()
    if not start:
        return "an empty body"
    if start[:1] in {b"{", b"["}:
        return "JSON"
    if b"<html" in start or b"<!doctype html" in start:
        return "an HTML page"
    return "XML" if start[:1] == b"<" else "plain text"


def describe_status(status: int) -> str:
    """A status with its name, where it has one: "503 (Service Unavailable)"."""
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def parse_retry_after(value: str | None, now: datetime) -> datetime | None:
    """When a vendor wants to be asked again, said in seconds or as a date; nonsense counts as not said."""
    text = (value or "").strip()
    try:
        at = now + timedelta(seconds=float(text)) if _is_number(text) else parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return now + _RETRY_AFTER_MAX if _is_number(text) else None
    if at < now:
        return None
    return min(at, now + _RETRY_AFTER_MAX)


def parse_reset_at(value: str | None, now: datetime) -> datetime | None:
    """When a limit ends that is told in Unix seconds; one of the past, or nonsense, counts as not said."""
    text = (value or "").strip()
    if not _is_number(text) or float(text) <= now.timestamp():
        return None
    return min(datetime.fromtimestamp(min(float(text), now.timestamp() + 86_400), UTC), now + _RETRY_AFTER_MAX)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


_FAILURE_DESCRIPTIONS: Mapping[str, str] = {
    "NameResolutionError": "its name is not known",
    "ConnectTimeoutError": "no connection in time",
    "ConnectTimeout": "no connection in time",
    "NewConnectionError": "no connection",
    "ConnectionRefusedError": "connection refused",
    "SSLError": "no trustworthy TLS",
    "SSLCertVerificationError": "its certificate is not trusted",
    "ReadTimeoutError": "no answer in time",
    "ReadTimeout": "no answer in time",
    "RemoteDisconnected": "closed without an answer",
    "ConnectionResetError": "connection reset",
    "BrokenPipeError": "connection reset",
    "IncompleteRead": "the answer was cut short",
    "BadStatusLine": "the answer was not HTTP",
    "DecodeError": "the answer could not be unpacked",
}


def describe_failure(error: BaseException) -> str:
    """Name the innermost failure that has a name here, without quoting any text of it."""
    words, within = type(error).__name__, [error]
    while within:
        inner = within.pop()
        words = _FAILURE_DESCRIPTIONS.get(type(inner).__name__, words)
        within += [one for one in (*inner.args, getattr(inner, "reason", None)) if isinstance(one, BaseException)]
    return words
