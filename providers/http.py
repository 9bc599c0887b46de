"""The one transport under every service's SDK: an adapter for any ``requests.Session``, also Authlib's.

It enforces timeouts and a deadline for the whole call, an allowlist of hosts, no redirects, no proxies, no ``.netrc``,
a cap on bodies and gzip. Nothing is retried behind the caller's back: a read is repeated a few times within a minute,
everything else is sent once. Every failure is raised as one of ``providers.errors``, depending on whether the request
can have reached the service. No message holds a URL, a header or a body: they carry tokens and customers' data.
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

from providers.calls import CallKind, CallObserver
from providers.deadline import current_call, enforce_deadlines
from providers.errors import (
    LimitWindow,
    OutcomeUnknown,
    PermanentError,
    ProviderError,
    RateLimited,
    ReplyTooLarge,
    TransientError,
)
from providers.response_parsing import (
    describe_body,
    describe_failure,
    describe_status,
    parse_reset_at,
    parse_retry_after,
)

# Its DEBUG lines hold every path with its query, and email services are asked for addresses in queries.
logging.getLogger("urllib3").setLevel(logging.INFO)

_RETRYABLE_STATUSES: Final = frozenset({408, 425, 429})  # besides every 5xx except 501
_LONG_WINDOWS: Final = frozenset({LimitWindow.DAY, LimitWindow.MONTH})
_LONG_RETRY_DELAY: Final = timedelta(hours=1)  # for what will not pass within seconds, where no end is named
_FIRST_REDIRECT, _FIRST_CLIENT_ERROR, _FIRST_SERVER_ERROR = 300, 400, 500
_DECOMPRESSED_CHUNK_BYTES: Final = 2**20

KindOf = Callable[[requests.PreparedRequest], CallKind]


@dataclass(frozen=True, slots=True)
class Service:
    """What the transport must know of a service: its title for messages, its hosts, and what its replies mean."""

    title: str
    hosts: frozenset[str]
    trace_header: str = ""
    limit_header: str = ""
    limit_from_body: Callable[[bytes], LimitWindow] | None = None  # where no header names the limit
    default_retry_after: timedelta | None = None  # the service's documented rule, where its 429 names no time
    own_words: Callable[[bytes], str] | None = None  # the service's own words in a reply of any status
    is_definite: Callable[[bytes], bool] | None = None  # whether a 5xx is its answer, which the provider interprets
    reset_header: str = ""  # where a 429 names its end in Unix seconds instead of Retry-After
    retry_at_from_body: Callable[[bytes], datetime | None] | None = None  # where no header names the end of a 429


wait: Callable[[float], None] = time.sleep  # between attempts


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """How long to wait and how much to read; tests replace the clock and the sleep (``wait`` where there is none)."""

    connect_timeout_s: float = 10
    read_timeout_s: float = 60
    call_timeout_s: float = 120
    retry_wait_s_max: float = 60
    attempts_max: int = 4
    body_bytes_max: int = 64 * 2**20
    sleep: Callable[[float], None] | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def pause(self, seconds: float) -> None:
        """Wait so many seconds before the next attempt."""
        (self.sleep or wait)(seconds)


def hosts_of(*urls: str) -> frozenset[str]:
    """Return the host names of these URLs, as an allowlist."""
    return frozenset(host for url in urls if (host := urlsplit(url).hostname))


def kind_from_method(request: requests.PreparedRequest) -> CallKind:
    """Return READ for GET and HEAD, WRITE for all other methods."""
    return CallKind.READ if request.method in {"GET", "HEAD"} else CallKind.WRITE


def install_transport(
    session: requests.Session,
    service: Service,
    calls: CallObserver,
    kind: CallKind | KindOf = kind_from_method,
    limits: TransportLimits | None = None,
) -> None:
    """Send all requests of a session through ``TransportAdapter``.

    Args:
        session: Any session, also an SDK's.
        service: Where it may connect to, and how to read the replies.
        calls: Is notified of each call.
        kind: The kind of all calls, or a function that returns the kind of a request.
        limits: Timeouts and sizes; the defaults if None.
    """
    kind_of = (lambda _: kind) if isinstance(kind, CallKind) else kind
    adapter = TransportAdapter(service, calls, kind_of, limits or TransportLimits())
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.trust_env = False
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.headers["Accept-Encoding"] = "gzip"
    session.headers["User-Agent"] = "duewell"


class TransportAdapter(HTTPAdapter):
    """Sends the requests. Threads may share its connections; the state of a call is kept per thread."""

    def __init__(self, service: Service, calls: CallObserver, kind_of: KindOf, limits: TransportLimits) -> None:
        super().__init__(pool_connections=4, pool_maxsize=8, max_retries=0)
        self._service = service
        self._calls = calls
        self._kind_of = kind_of
        self._limits = limits

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pools whose connections enforce the deadline."""
        super().init_poolmanager(*args, **kwargs)
        enforce_deadlines(self.poolmanager)

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        """Return the complete reply; an SDK's own timeouts, proxies and certificates are ignored."""
        self._check_host(request)
        kind = self._kind_of(request)
        waited_s, attempts = 0.0, 0
        while True:
            attempts += 1
            self._calls.before(kind)
            try:
                return self._send_once(request, kind)
            except TransientError as error:
                delay_s = self._retry_delay_s(error, attempts)
                if kind != CallKind.READ or attempts >= self._limits.attempts_max:
                    raise
                if waited_s + delay_s > self._limits.retry_wait_s_max:
                    raise
            waited_s += delay_s
            self._limits.pause(delay_s)

    def _retry_delay_s(self, error: TransientError, attempts: int) -> float:
        """Return how long the service asks to wait, else 1, 2, 4 … seconds."""
        if error.retry_at is None:
            return float(2 ** (attempts - 1))
        return max(0.0, (error.retry_at - self._limits.now()).total_seconds())

    def _check_host(self, request: requests.PreparedRequest) -> None:
        url = urlsplit(str(request.url))
        host = url.hostname or ""
        if host not in self._service.hosts or not (url.scheme == "https" or _is_loopback(host)):
            message = f"{url.scheme}://{host} is not an allowed address of {self._service.title}; nothing was sent"
            raise PermanentError(message, code="host")

    def _send_once(self, request: requests.PreparedRequest, kind: CallKind) -> requests.Response:
        limits = self._limits
        current_call.begin(limits.call_timeout_s, limits.read_timeout_s)
        try:
            response = super().send(request, stream=True, timeout=(limits.connect_timeout_s, limits.read_timeout_s))
            is_complete = self._read_body(response)
        except (requests.RequestException, HTTPError, OSError) as error:
            self._calls.after(kind, 0, {})
            raise self._classify_failure(error, kind) from None  # the cause's text may hold the URL and header values
        self._calls.after(kind, response.status_code, response.headers)
        if not is_complete:
            size = f"{limits.body_bytes_max // 2**20} MiB"
            message = f"{self._service.title} sent more than {size}; the rest was not read"
            if kind == CallKind.READ:
                retry_at = limits.now() + _LONG_RETRY_DELAY
                raise ReplyTooLarge(message, retry_at=retry_at, trace_id=self._trace_id(response))
            raise self._ambiguous_reply_error(kind, message, response, None)
        self._raise_for_status(response, kind)
        return response

    def _read_body(self, response: requests.Response) -> bool:
        """Read the body; return False if it is too big. Chunks of 10 kB, as in requests, cost more than the network."""
        raw, bytes_left = response.raw, self._limits.body_bytes_max + 1
        compressed = bool(response.headers.get("Content-Encoding"))
        chunks: list[bytes] = []
        # a decoder gets a little at a time, so that a decompression bomb cannot expand; plain bytes need one read
        while bytes_left > 0:
            size = min(bytes_left, _DECOMPRESSED_CHUNK_BYTES) if compressed else bytes_left
            chunk = raw.read(size, decode_content=compressed)
            if not chunk:
                break
            chunks.append(chunk)
            bytes_left -= len(chunk)
        if bytes_left <= 0:
            response.close()
            chunks.clear()
        response._content = chunks[0] if len(chunks) == 1 else b"".join(chunks)  # noqa: SLF001 - as Session.send does
        response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
        return bytes_left > 0

    def _classify_failure(self, error: Exception, kind: CallKind) -> ProviderError:
        """Return the error for a failed call: transient if nothing was sent, else it may have been carried out."""
        not_sent = isinstance(error, requests.ConnectTimeout) or (
            current_call.reached_socket and not current_call.request_started
        )
        reason = describe_failure(error)
        if not_sent:
            return TransientError(f"{self._service.title} could not be reached ({reason}); nothing was sent")
        if kind == CallKind.READ:
            return TransientError(f"the connection to {self._service.title} failed ({reason})")
        message = f"the connection to {self._service.title} failed after the request was sent ({reason})"
        return OutcomeUnknown(f"{message}; it may have been carried out")

    def _raise_for_status(self, response: requests.Response, kind: CallKind) -> None:
        """Raise for statuses that mean the same at every service; the provider interprets all others."""
        status, title = response.status_code, self._service.title
        now = self._limits.now()
        retry_at = parse_retry_after(response.headers.get("Retry-After"), now)
        if status == requests.codes.too_many_requests:
            raise self._rate_limit_error(response, retry_at)
        server_error = status >= _FIRST_SERVER_ERROR and status != requests.codes.not_implemented
        if server_error and kind == CallKind.READ and self._service.is_definite is not None:
            server_error = not self._service.is_definite(response.content)
        if status in _RETRYABLE_STATUSES or server_error:
            words = self._service.own_words(response.content) if self._service.own_words is not None else ""
            what = f": {words}" if words else _describe_unexpected_body(response.content)
            message = f"{title} answered {describe_status(status)}{what}"
            raise self._ambiguous_reply_error(kind, message, response, retry_at)
        if _FIRST_REDIRECT <= status < _FIRST_CLIENT_ERROR and status != requests.codes.not_modified:
            message = f"{title} answered {status}, a redirect, and redirects are never followed"
            raise self._ambiguous_reply_error(kind, message, response, now + _LONG_RETRY_DELAY)

    def _rate_limit_error(self, response: requests.Response, retry_at: datetime | None) -> RateLimited:
        service, now = self._service, self._limits.now()
        from_body = service.limit_from_body(response.content) if service.limit_from_body else LimitWindow.MINUTE
        limit = _parse_limit(response.headers.get(service.limit_header, ""), from_body)
        retry_at = retry_at or parse_reset_at(response.headers.get(service.reset_header), now)
        if retry_at is None and service.retry_at_from_body is not None:
            retry_at = service.retry_at_from_body(response.content)
        delay = _LONG_RETRY_DELAY if limit in _LONG_WINDOWS else service.default_retry_after
        if retry_at is None and delay is not None:
            retry_at = now + delay
        message = f"{service.title}'s call limit ({limit}) is reached"
        return RateLimited(message, limit=limit, retry_at=retry_at, trace_id=self._trace_id(response))

    def _ambiguous_reply_error(
        self, kind: CallKind, message: str, response: requests.Response, retry_at: datetime | None
    ) -> ProviderError:
        trace_id = self._trace_id(response)
        if kind == CallKind.READ:
            return TransientError(message, retry_at=retry_at, trace_id=trace_id)
        return OutcomeUnknown(f"{message}; it may have been carried out", trace_id=trace_id)

    def _trace_id(self, response: requests.Response) -> str:
        return response.headers.get(self._service.trace_header, "")


def _describe_unexpected_body(body: bytes) -> str:
    """Describe a body that is not an API's error, such as the page of a proxy or of maintenance."""
    description = describe_body(body)
    return "" if description == "JSON" else f" with {description}"


def _parse_limit(value: str, default: LimitWindow) -> LimitWindow:
    """Return the limit that a header names; Xero says "appminute" for that of the whole app."""
    name = value.strip().lower()
    if name.startswith(LimitWindow.APP):
        return LimitWindow.APP
    return LimitWindow(name) if name in set(LimitWindow) else default


def ambiguous_reply_error(kind: CallKind, message: str, *, trace_id: str = "") -> ProviderError:
    """Return the error for a reply that cannot be trusted: a read may be retried, any other outcome is unknown."""
    if kind == CallKind.READ:
        return TransientError(message, trace_id=trace_id)
    return OutcomeUnknown(message, trace_id=trace_id)


def require_json(response: requests.Response, service: Service, kind: CallKind) -> bytes:
    """Return the body of a reply that must be JSON. Raises for anything else, such as an HTML page under status 200."""
    body = response.content
    if body[:64].lstrip()[:1] in {b"{", b"["}:
        return body
    message = f"{service.title} answered {response.status_code} with {describe_body(body)} instead of JSON"
    raise ambiguous_reply_error(kind, message, trace_id=response.headers.get(service.trace_header, ""))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
