"""Maps Intuit's faults, in all the forms in which they arrive, to ``providers.errors``.

They are read from the raw reply, because the SDK loses the status. Observed: ``Fault`` in JSON, ``fault`` in lower case
(sign-in), XML in spite of ``Accept: application/json`` (throttling, sign-in), HTML (gateways), and a ``Fault`` under
status 200. README.md lists the codes with their reasons.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Final, NamedTuple

import msgspec
import requests
from msgspec import Struct, field

from providers.calls import CallKind
from providers.errors import AuthorizationExpired, LimitWindow, PermanentError, ProviderError, RateLimited
from providers.http import Service, ambiguous_reply_error, require_json
from providers.quickbooks.schemas import FaultError, FaultErrors
from providers.response_parsing import describe_body

TRACE_HEADER: Final = "intuit_tid"
STALE_OBJECT: Final = "5010"
NOT_FOUND: Final = "610"
DUPLICATE_NUMBERS: Final = frozenset({"6140", "6210"})  # 6210 also means that the period is closed
THROTTLE_WAIT: Final = timedelta(seconds=60)  # Intuit's rule after a 429

_ACCESS_REVOKED: Final = frozenset({"100", "120", "3100", "3200"})
_THROTTLED: Final = frozenset({"3001"})
_SYSTEM_FAILURES_FROM = 10_000
SUBSCRIPTION_ENDED: Final = (
    "The company's QuickBooks subscription has expired, was cancelled or is unpaid: renew it in QuickBooks"
)
_SUBSCRIPTION_CODES: Final = frozenset({"6190", "7001"})  # 7001 also comes as 007001
_SUBSCRIPTION_WORDS: Final = re.compile(
    r"invalid company status|subscription (?:period )?(?:for company )?(?:has |was |is )?"
    r"(?:ended|expired|lapsed|cancell?ed|suspended)|errorcode=0*7001",
    re.IGNORECASE,
)
FAULT_BYTES_MAX: Final = 65_536
_MESSAGE_LENGTH_MAX = 300
_HINTS: Final = {
    "3100": "; consent was withdrawn, or the keys belong to the other environment (sandbox, production)",
    "5020": "; the user who connected the company lacks this permission in QuickBooks",
}


class Fault(NamedTuple):
    """Intuit's code and message of an error."""

    code: str
    message: str


class _Envelope(Struct):
    upper: FaultErrors | None = field(name="Fault", default=None)
    lower: FaultErrors | None = field(name="fault", default=None)


def require_success(response: requests.Response, service: Service, kind: CallKind) -> bytes:
    """Return the body of a successful reply. Raises the ``ProviderError`` that fits any other."""
    # a fault is short: a page of a thousand records is not searched for one
    fault = parse_fault(response.content) if len(response.content) < FAULT_BYTES_MAX else None
    if fault:
        raise error_from_fault(fault, response, service, kind)
    if response.status_code == requests.codes.unauthorized:
        raise error_from_fault(Fault("3200", "not authorised"), response, service, kind)
    if not response.ok:
        message = f"QuickBooks answered {response.status_code} with {describe_body(response.content)}"
        raise PermanentError(message, code=str(response.status_code), trace_id=_trace_id(response, service))
    return require_json(response, service, kind)


def parse_fault(body: bytes) -> Fault | None:
    """Return the first error of a fault, None if the body is no fault."""
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
    return _first_error(found)


def _first_error(found: FaultErrors) -> Fault:
    error = next(iter(found.Error or found.error), FaultError())
    return Fault(str(error.code or ""), _one_line([error.Message or error.message, error.Detail or error.detail]))


def raise_inner_fault(found: FaultErrors | None) -> None:
    """Raise the error of a fault inside one entity of a reply with status 200: that entity was not read."""
    if found is not None:
        raise inner_fault_error(found, CallKind.READ)


def inner_fault_error(found: FaultErrors, kind: CallKind) -> ProviderError:
    """Return the error for a fault of one part of a reply."""
    return _classify(_first_error(found), requests.codes.ok, "", kind)


def is_definite(body: bytes) -> bool:
    """Return whether a reply under status 500 is Intuit's answer all the same, and not a failure that passes."""
    fault = parse_fault(body) if len(body) < FAULT_BYTES_MAX else None
    if fault is None or not fault.code.isdecimal() or fault.code in _ACCESS_REVOKED:
        return False
    return int(fault.code) < _SYSTEM_FAILURES_FROM


def own_words(body: bytes) -> str:
    """Return Intuit's own words in a reply of any status; "" if it has none."""
    fault = parse_fault(body) if len(body) < FAULT_BYTES_MAX else None
    return f"{fault.code}: {fault.message}" if fault is not None else ""


def error_from_fault(fault: Fault, response: requests.Response, service: Service, kind: CallKind) -> ProviderError:
    """Return the error for a fault, classified by what to do about it."""
    return _classify(fault, response.status_code, _trace_id(response, service), kind)


def _classify(fault: Fault, status: int, trace_id: str, kind: CallKind) -> ProviderError:
    if fault.code.lstrip("0") in _SUBSCRIPTION_CODES or _SUBSCRIPTION_WORDS.search(fault.message):
        # nothing was done, and nothing will be until somebody renews it: whatever waits is kept
        return AuthorizationExpired(f"{SUBSCRIPTION_ENDED} ({fault.code}: {fault.message})", trace_id=trace_id)
    code = fault.code or status
    message = f"QuickBooks rejected the call ({code}): {fault.message}{_HINTS.get(fault.code, '')}"
    if fault.code in _THROTTLED:
        return throttled_error(trace_id=trace_id)
    if status == requests.codes.unauthorized or fault.code in _ACCESS_REVOKED:
        return AuthorizationExpired(f"{message}. Connect the company again", trace_id=trace_id)
    if fault.code.isdecimal() and int(fault.code) >= _SYSTEM_FAILURES_FROM:
        return ambiguous_reply_error(kind, f"QuickBooks failed ({fault.code}): {fault.message}", trace_id=trace_id)
    return PermanentError(message, code=fault.code or str(status), trace_id=trace_id)


def throttled_error(*, trace_id: str = "") -> RateLimited:
    """Return the error for too many calls; Intuit names no time, its rule is 60 seconds."""
    at = datetime.now(UTC) + THROTTLE_WAIT
    return RateLimited(
        "QuickBooks' call limit (minute) is reached", limit=LimitWindow.MINUTE, retry_at=at, trace_id=trace_id
    )


def limit_from_body(body: bytes) -> LimitWindow:
    """Return which limit a 429 is about: the free tier's monthly allowance or the calls per minute."""
    text = body[:4096].lower()
    return LimitWindow.MONTH if b"month" in text or b"quota" in text else LimitWindow.MINUTE


def _parse_xml_fault(body: bytes) -> Fault | None:
    # by pattern rather than a parser: it is the error page of a gateway, and no entity of it may be expanded
    text = body[:16_384].decode("utf-8", "replace")
    code = re.search(r"<Error\b[^>]*?\bcode=[\"'](\d+)", text)
    if not code:
        return None
    parts = [found.group(1) for tag in ("Message", "Detail") if (found := re.search(rf"<{tag}>([^<]*)", text))]
    return Fault(code.group(1), _one_line([unescape(part) for part in parts]))


def _one_line(texts: list[str | None]) -> str:
    parts = dict.fromkeys(" ".join(part.split()) for part in texts if part)
    return ": ".join(filter(None, parts))[:_MESSAGE_LENGTH_MAX] or "no reason given"


def _trace_id(response: requests.Response, service: Service) -> str:
    return str(response.headers.get(service.trace_header, ""))
