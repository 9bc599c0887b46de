"""Intuit's faults, in all the shapes they come in, to our errors: read from the raw reply, the SDK loses the status.

Seen: ``Fault`` in JSON, ``fault`` in lower case (sign-in), XML in spite of ``Accept: application/json`` (throttling,
sign-in), HTML (gateways), and a ``Fault`` under status 200. The table of codes with their reasons is in README.md.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Final, NamedTuple

import msgspec
import requests
from msgspec import Struct, field

from providers.errors import AuthorizationExpired, PermanentError, ProviderError, RateLimited
from providers.http import Vendor, ambiguous_reply_error, require_json
from providers.response_parsing import describe_body

TRACE_HEADER: Final = "intuit_tid"
STALE_OBJECT: Final = "5010"
NOT_FOUND: Final = "610"
DUPLICATE_NUMBERS: Final = frozenset({"6140", "6210"})  # 6210 is also "books are closed": its words decide
DUPLICATE_NAME: Final = "6240"
THROTTLE_WAIT: Final = timedelta(seconds=60)  # Intuit: wait 60 seconds after a 429

_ACCESS_REVOKED: Final = frozenset({"100", "120", "3100", "3200"})
_THROTTLED: Final = frozenset({"3001"})
_SYSTEM_FAILURES_FROM = 10_000
FAULT_BYTES_MAX: Final = 65_536
_MESSAGE_LENGTH_MAX = 300
_HINTS: Final = {
    "3100": "; the company withdrew its consent, or the keys are those of the other environment (sandbox, production)",
    "5020": "; the person who connected the company may not do this there",
    "6190": "; the company's QuickBooks subscription has ended or is not paid",
}


class Fault(NamedTuple):
    """What Intuit says is wrong: its code and its words."""

    code: str
    message: str


class _Error(Struct):
    code: str | int | None = None
    Message: str | None = None
    message: str | None = None
    Detail: str | None = None
    detail: str | None = None


class _Errors(Struct):
    Error: list[_Error] = []
    error: list[_Error] = []


class _Envelope(Struct):
    upper: _Errors | None = field(name="Fault", default=None)
    lower: _Errors | None = field(name="fault", default=None)


def require_success(response: requests.Response, vendor: Vendor, kind: str) -> bytes:
    """The body of a reply that succeeded; everything else is raised as what has to be done about it."""
    # a fault is short: a page of a thousand records is not searched for one
    fault = parse_fault(response.content) if len(response.content) < FAULT_BYTES_MAX else None
    if fault:
        raise error_from_fault(fault, response, vendor, kind)
    if response.status_code == requests.codes.unauthorized:
        raise error_from_fault(Fault("3200", "not authorised"), response, vendor, kind)
    if not response.ok:
        message = f"QuickBooks answered {response.status_code} with {describe_body(response.content)}"
        raise PermanentError(message, code=str(response.status_code), trace_id=_trace_id(response, vendor))
    return require_json(response, vendor, kind)


def parse_fault(body: bytes) -> Fault | None:
    """The first error of a fault, if this body is one."""
    start = body[:64].lstrip()
    if start.startswith(b"<"):
        return _parse_xml_fault(body)
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    found = envelope.upper or envelope.lower
    if found is None:
        return None
    error = next(iter(found.Error or found.error), _Error())
    said = [error.Message or error.message, error.Detail or error.detail]
    return Fault(str(error.code or ""), _one_line(said))


def error_from_fault(fault: Fault, response: requests.Response, vendor: Vendor, kind: str) -> ProviderError:
    """What has to be done about a fault."""
    reference = _trace_id(response, vendor)
    message = f"QuickBooks refused ({fault.code or response.status_code}): {fault.message}{_HINTS.get(fault.code, '')}"
    if fault.code in _THROTTLED:
        return throttled_error(trace_id=reference)
    if response.status_code == requests.codes.unauthorized or fault.code in _ACCESS_REVOKED:
        return AuthorizationExpired(f"{message}. Connect the company again", trace_id=reference)
    if fault.code.isdecimal() and int(fault.code) >= _SYSTEM_FAILURES_FROM:
        return ambiguous_reply_error(kind, f"QuickBooks failed ({fault.code}): {fault.message}", trace_id=reference)
    return PermanentError(message, code=fault.code or str(response.status_code), trace_id=reference)


def throttled_error(*, trace_id: str = "") -> RateLimited:
    """Too many calls; Intuit names no time, its rule is 60 seconds."""
    at = datetime.now(UTC) + THROTTLE_WAIT
    return RateLimited("QuickBooks' limit of calls is reached", limit="minute", retry_at=at, trace_id=trace_id)


def limit_from_body(body: bytes) -> str:
    """Which limit a 429 speaks of: the free tier's allowance of the month, or the one of the minute."""
    said = body[:4096].lower()
    return "month" if b"month" in said or b"quota" in said else "minute"


def _parse_xml_fault(body: bytes) -> Fault | None:
    # by pattern and not by a parser: it is an error page of a gateway, and no entity of it shall be expanded
    text = body[:16_384].decode("utf-8", "replace")
    code = re.search(r"<Error\b[^>]*?\bcode=[\"'](\d+)", text)
    if not code:
        return None
    said = [found.group(1) for tag in ("Message", "Detail") if (found := re.search(rf"<{tag}>([^<]*)", text))]
    return Fault(code.group(1), _one_line([unescape(part) for part in said]))


def _one_line(texts: list[str | None]) -> str:
    parts = dict.fromkeys(" ".join(part.split()) for part in texts if part)
    return ": ".join(filter(None, parts))[:_MESSAGE_LENGTH_MAX] or "no reason given"


def _trace_id(response: requests.Response, vendor: Vendor) -> str:
    return str(response.headers.get(vendor.trace_header, ""))
