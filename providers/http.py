"""The one transport under every vendor's SDK: an adapter for any ``requests.Session``, also Authlib's.

Timeouts and one deadline for the whole call, a host allowlist, no redirects, no proxies, no ``.netrc``, a cap on
bodies, gzip, and no hidden retries: only reads are tried again, a few times within a minute; all else leaves once.
Every failure leaves here as one of ``providers.errors``, told apart by whether the request can have reached the vendor.
No message holds a URL, a header or a body: they carry tokens and customers' data.
"""

from __future__ import annotations

import http.cookiejar
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from providers.deadline import current_call, enforce_deadlines
from providers.errors import OutcomeUnknown, PermanentError, ProviderError, RateLimited, TransientError
from providers.ledger import CallObserver
from providers.response_parsing import (
    describe_body,
    describe_failure,
    describe_status,
    parse_reset_at,
    parse_retry_after,
)

READ: Final = "read"
WRITE: Final = "write"
TOKEN: Final = "token"  # noqa: S105 - the kind of a call, not a secret
EMAIL: Final = "email"

# Its DEBUG lines hold every path with its query, and mail systems are asked for addresses in queries.
logging.getLogger("urllib3").setLevel(logging.INFO)

_RETRYABLE_STATUSES = frozenset({408, 425, 429})  # besides every 5xx except 501
_LONG_WINDOW_LIMITS = frozenset({"day", "month"})  # where the vendor doesn't say until when, an hour is assumed
_LONG_RETRY_DELAY = timedelta(hours=1)  # what another try within seconds would not mend
_FIRST_REDIRECT, _FIRST_CLIENT_ERROR, _FIRST_SERVER_ERROR = 300, 400, 500
_DECOMPRESSED_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Vendor:
    """What the transport must know of a vendor: title for sentences, hosts, and which reply headers mean what."""

    title: str
    hosts: frozenset[str]
    trace_header: str = ""
    limit_header: str = ""
    limit_from_body: Callable[[bytes], str] | None = None  # names the limit by the body, where no header does
    default_retry_after: timedelta | None = None  # the vendor's own rule, where its 429 names no time
    reset_header: str = ""  # where a 429 names its end in Unix seconds instead of Retry-After


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """How long and how much; the clock and the sleep are here so that tests need neither."""

    connect_timeout_s: float = 10
    read_timeout_s: float = 60
    call_timeout_s: float = 120
    retry_wait_s_max: float = 60
    attempts_max: int = 4
    body_bytes_max: int = 64 * 2**20
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def hosts_of(*urls: str) -> frozenset[str]:
    """The host names of these URLs: an allowlist made of the settings."""
    return frozenset(host for url in urls if (host := urlsplit(url).hostname))


def kind_from_method(request: requests.PreparedRequest) -> str:
    """Tell reads from writes by the HTTP method."""
    return READ if request.method in {"GET", "HEAD"} else WRITE


def install_transport(
    session: requests.Session,
    vendor: Vendor,
    calls: CallObserver,
    kind: str | Callable[[requests.PreparedRequest], str] = kind_from_method,
    limits: TransportLimits | None = None,
) -> None:
    """Put the guard under a session. ``kind`` names its calls, or tells them apart request by request."""
    adapter = TransportAdapter(
        vendor, calls, (lambda _: kind) if isinstance(kind, str) else kind, limits or TransportLimits()
    )
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.trust_env = False
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.headers["Accept-Encoding"] = "gzip"
    session.headers["User-Agent"] = "duewell"


class TransportAdapter(HTTPAdapter):
    """The adapter itself. Several threads may use its connections; what belongs to one call is the thread's own."""

    def __init__(
        self,
        vendor: Vendor,
        calls: CallObserver,
        kind: Callable[[requests.PreparedRequest], str],
        limits: TransportLimits,
    ) -> None:
        """Keep connections open for as many threads as a vendor allows at once."""
        super().__init__(pool_connections=4, pool_maxsize=8, max_retries=0)
        self._vendor = vendor
        self._calls = calls
        self._kind = kind
        self._limits = limits

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools whose connections keep the deadline."""
        super().init_poolmanager(*args, **kwargs)
        enforce_deadlines(self.poolmanager)

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        """Return the whole reply; what an SDK says of timeouts, proxies and certificates is not heard."""
        self._check_host(request)
        kind = self._kind(request)
        waited_s, tried = 0.0, 0
        while True:
            tried += 1
            self._calls.before(kind)
            try:
                return self._send_once(request, kind)
            except TransientError as error:
                wait_s = self._retry_delay_s(error, tried)
                if (
                    kind != READ
                    or tried >= self._limits.attempts_max
                    or waited_s + wait_s > self._limits.retry_wait_s_max
                ):
                    raise
            waited_s += wait_s
            self._limits.sleep(wait_s)

    def _retry_delay_s(self, error: TransientError, attempts: int) -> float:
        """How long to wait before the next try: as long as the vendor asks, else 1, 2, 4 … seconds."""
        if error.retry_at is None:
            return float(2 ** (attempts - 1))
        return max(0.0, (error.retry_at - self._limits.now()).total_seconds())

    def _check_host(self, request: requests.PreparedRequest) -> None:
        url = urlsplit(str(request.url))
        host = url.hostname or ""
        if host not in self._vendor.hosts or not (url.scheme == "https" or _is_loopback(host)):
            message = (
                f"{url.scheme}://{host} is not an address of {self._vendor.title} that may be called; nothing was sent"
            )
            raise PermanentError(message, code="host")

    def _send_once(self, request: requests.PreparedRequest, kind: str) -> requests.Response:
        limits = self._limits
        current_call.begin(limits.call_timeout_s, limits.read_timeout_s)
        try:
            response = super().send(request, stream=True, timeout=(limits.connect_timeout_s, limits.read_timeout_s))
            whole = self._read_body(response)
        except (requests.RequestException, HTTPError, OSError) as error:
            self._calls.after(kind, 0, {})
            raise self._classify_failure(error, kind) from None  # the cause's text may hold the URL and header values
        self._calls.after(kind, response.status_code, response.headers)
        if not whole:
            message = (
                f"{self._vendor.title} sent more than {limits.body_bytes_max // 2**20} MiB; it was not read to the end"
            )
            raise self._ambiguous_reply_error(kind, message, response, limits.now() + _LONG_RETRY_DELAY)
        self._raise_for_status(response, kind)
        return response

    def _read_body(self, response: requests.Response) -> bool:
        """Read the whole body in big pieces (requests' own 10 kB cost more than the network); False if too big."""
        raw, left = response.raw, self._limits.body_bytes_max + 1
        packed = bool(response.headers.get("Content-Encoding"))
        pieces: list[bytes] = []
        # a decoder is asked for a little at a time, so that a bomb cannot unfold; plain bytes come as one read
        while left > 0 and (
            piece := raw.read(min(left, _DECOMPRESSED_CHUNK_BYTES) if packed else left, decode_content=packed)
        ):
            pieces.append(piece)
            left -= len(piece)
        if left <= 0:
            response.close()
            pieces.clear()
        response._content = pieces[0] if len(pieces) == 1 else b"".join(pieces)  # noqa: SLF001 - as Session.send does
        response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
        return left > 0

    def _classify_failure(self, error: Exception, kind: str) -> ProviderError:
        """Tell what surely did not leave from what may have happened."""
        stayed = isinstance(error, requests.ConnectTimeout) or (
            current_call.reached_socket and not current_call.request_started
        )
        reason = describe_failure(error)
        if stayed:
            return TransientError(f"{self._vendor.title} could not be reached ({reason}); nothing was sent")
        if kind == READ:
            return TransientError(f"the connection to {self._vendor.title} failed ({reason})")
        message = f"the connection to {self._vendor.title} failed after the request had left ({reason})"
        return OutcomeUnknown(f"{message}; it may have been carried out")

    def _raise_for_status(self, response: requests.Response, kind: str) -> None:
        """Raise for the statuses that mean the same at every vendor; the others are the provider's to read."""
        status, title = response.status_code, self._vendor.title
        now = self._limits.now()
        asked_at = parse_retry_after(response.headers.get("Retry-After"), now)
        if status == requests.codes.too_many_requests:
            named = self._vendor.limit_from_body(response.content) if self._vendor.limit_from_body else "minute"
            limit = _normalise_limit(response.headers.get(self._vendor.limit_header, "") or named)
            wait = _LONG_RETRY_DELAY if limit in _LONG_WINDOW_LIMITS else self._vendor.default_retry_after
            asked_at = asked_at or parse_reset_at(response.headers.get(self._vendor.reset_header), now)
            if asked_at is None and wait is not None:
                asked_at = now + wait
            message = f"{title}'s limit of calls ({limit}) is reached"
            raise RateLimited(message, limit=limit, retry_at=asked_at, trace_id=self._trace_id(response))
        if status in _RETRYABLE_STATUSES or (
            status >= _FIRST_SERVER_ERROR and status != requests.codes.not_implemented
        ):
            message = f"{title} answered {describe_status(status)}{_describe_unexpected_body(response.content)}"
            raise self._ambiguous_reply_error(kind, message, response, asked_at)
        if _FIRST_REDIRECT <= status < _FIRST_CLIENT_ERROR and status != requests.codes.not_modified:
            message = f"{title} answered {status}, a redirect, and redirects are never followed"
            raise self._ambiguous_reply_error(kind, message, response, now + _LONG_RETRY_DELAY)

    def _ambiguous_reply_error(
        self, kind: str, message: str, response: requests.Response, retry_at: datetime | None
    ) -> ProviderError:
        reference = self._trace_id(response)
        if kind == READ:
            return TransientError(message, retry_at=retry_at, trace_id=reference)
        return OutcomeUnknown(f"{message}; it may have been carried out", trace_id=reference)

    def _trace_id(self, response: requests.Response) -> str:
        return response.headers.get(self._vendor.trace_header, "")


def _describe_unexpected_body(body: bytes) -> str:
    """Name a body that is not what an API's error should be: the page of a proxy or of maintenance."""
    words = describe_body(body)
    return "" if words == "JSON" else f" with {words}"


def _normalise_limit(vendor_limit: str) -> str:
    """The port's name of a limit: Xero says "appminute" for the whole app's."""
    name = vendor_limit.strip().lower()
    return "app" if name.startswith("app") else name


def ambiguous_reply_error(kind: str, message: str, *, trace_id: str = "") -> ProviderError:
    """The error for an answer not to be trusted: a read is tried later, of anything else the outcome is not known."""
    if kind == READ:
        return TransientError(message, trace_id=trace_id)
    return OutcomeUnknown(message, trace_id=trace_id)


def require_json(response: requests.Response, vendor: Vendor, kind: str) -> bytes:
    """The body of a reply that must be JSON; an HTML page under status 200 is named as such, never parsed."""
    body = response.content
    if body[:64].lstrip()[:1] in {b"{", b"["}:
        return body
    message = f"{vendor.title} answered {response.status_code} with {describe_body(body)} where JSON was due"
    raise ambiguous_reply_error(kind, message, trace_id=response.headers.get(vendor.trace_header, ""))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
