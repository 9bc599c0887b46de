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

from providers.deadline import call, keep_deadlines
from providers.errors import ProviderError, RateLimited, Rejected, TryLater, Unknown
from providers.ledger import Calls
from providers.replies import body_in_words, failure_in_words, reset_at, retry_after, status_in_words

READ: Final = "read"
WRITE: Final = "write"
TOKEN: Final = "token"  # noqa: S105 - the kind of a call, not a secret
MAIL: Final = "mail"

# Its DEBUG lines hold every path with its query, and mail systems are asked for addresses in queries.
logging.getLogger("urllib3").setLevel(logging.INFO)

_BUSY = frozenset({408, 425, 429})  # besides every 5xx except 501
_LONG_LIMITS = frozenset({"day", "month"})  # where the vendor doesn't say until when, an hour is assumed
_LATER = timedelta(hours=1)  # what another try within seconds would not mend
_REDIRECTS, _CLIENT_ERRS, _SERVER_FAILS = 300, 400, 500
_UNPACK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Vendor:
    """What the transport must know of a vendor: title for sentences, hosts, and which reply headers mean what."""

    title: str
    hosts: frozenset[str]
    trace_header: str = ""
    limit_header: str = ""
    limit_in: Callable[[bytes], str] | None = None  # names the limit by the body, where no header does
    limit_wait: timedelta | None = None  # the vendor's own rule, where its 429 names no time
    reset_header: str = ""  # where a 429 names its end in Unix seconds instead of Retry-After


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much; the clock and the sleep are here so that tests need neither."""

    connect_s_max: float = 10
    silence_s_max: float = 60
    call_s_max: float = 120
    wait_s_max: float = 60
    tries_max: int = 4
    body_bytes_max: int = 64 * 2**20
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def hosts_of(*urls: str) -> frozenset[str]:
    """The host names of these URLs: an allowlist made of the settings."""
    return frozenset(host for url in urls if (host := urlsplit(url).hostname))


def by_method(request: requests.PreparedRequest) -> str:
    """Tell reads from writes by the HTTP method."""
    return READ if request.method in {"GET", "HEAD"} else WRITE


def guard(
    session: requests.Session,
    vendor: Vendor,
    calls: Calls,
    kind: str | Callable[[requests.PreparedRequest], str] = by_method,
    limits: Limits | None = None,
) -> None:
    """Put the guard under a session. ``kind`` names its calls, or tells them apart request by request."""
    adapter = Guard(vendor, calls, (lambda _: kind) if isinstance(kind, str) else kind, limits or Limits())
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.trust_env = False
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.headers["Accept-Encoding"] = "gzip"
    session.headers["User-Agent"] = "duewell"


class Guard(HTTPAdapter):
    """The adapter itself. Several threads may use its connections; what belongs to one call is the thread's own."""

    def __init__(
        self, vendor: Vendor, calls: Calls, kind: Callable[[requests.PreparedRequest], str], limits: Limits
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
        keep_deadlines(self.poolmanager)

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        """Return the whole reply; what an SDK says of timeouts, proxies and certificates is not heard."""
        self._refuse_strange_host(request)
        kind = self._kind(request)
        waited_s, tried = 0.0, 0
        while True:
            tried += 1
            self._calls.before(kind)
            try:
                return self._once(request, kind)
            except TryLater as error:
                wait_s = self._wait_s(error, tried)
                if kind != READ or tried >= self._limits.tries_max or waited_s + wait_s > self._limits.wait_s_max:
                    raise
            waited_s += wait_s
            self._limits.sleep(wait_s)

    def _wait_s(self, error: TryLater, tried: int) -> float:
        """How long to wait before the next try: as long as the vendor asks, else 1, 2, 4 … seconds."""
        if error.not_before_at is None:
            return float(2 ** (tried - 1))
        return max(0.0, (error.not_before_at - self._limits.now()).total_seconds())

    def _refuse_strange_host(self, request: requests.PreparedRequest) -> None:
        url = urlsplit(str(request.url))
        host = url.hostname or ""
        if host not in self._vendor.hosts or not (url.scheme == "https" or _is_loopback(host)):
            message = (
                f"{url.scheme}://{host} is not an address of {self._vendor.title} that may be called; nothing was sent"
            )
            raise Rejected(message, code="host")

    def _once(self, request: requests.PreparedRequest, kind: str) -> requests.Response:
        limits = self._limits
        call.begin(limits.call_s_max, limits.silence_s_max)
        try:
            response = super().send(request, stream=True, timeout=(limits.connect_s_max, limits.silence_s_max))
            whole = self._read(response)
        except (requests.RequestException, HTTPError, OSError) as error:
            self._calls.after(kind, 0, {})
            raise self._failure(error, kind) from None  # the cause's text may hold the URL and header values
        self._calls.after(kind, response.status_code, response.headers)
        if not whole:
            message = (
                f"{self._vendor.title} sent more than {limits.body_bytes_max // 2**20} MiB; it was not read to the end"
            )
            raise self._unclear(kind, message, response, limits.now() + _LATER)
        self._judge(response, kind)
        return response

    def _read(self, response: requests.Response) -> bool:
        """Read the whole body in big pieces (requests' own 10 kB cost more than the network); False if too big."""
        raw, left = response.raw, self._limits.body_bytes_max + 1
        packed = bool(response.headers.get("Content-Encoding"))
        pieces: list[bytes] = []
        # a decoder is asked for a little at a time, so that a bomb cannot unfold; plain bytes come as one read
        while left > 0 and (piece := raw.read(min(left, _UNPACK_BYTES) if packed else left, decode_content=packed)):
            pieces.append(piece)
            left -= len(piece)
        if left <= 0:
            response.close()
            pieces.clear()
        response._content = pieces[0] if len(pieces) == 1 else b"".join(pieces)  # noqa: SLF001 - as Session.send does
        response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
        return left > 0

    def _failure(self, error: Exception, kind: str) -> ProviderError:
        """Tell what surely did not leave from what may have happened."""
        stayed = isinstance(error, requests.ConnectTimeout) or (call.reached_socket and not call.left)
        why = failure_in_words(error)
        if stayed:
            return TryLater(f"{self._vendor.title} could not be reached ({why}); nothing was sent")
        if kind == READ:
            return TryLater(f"the connection to {self._vendor.title} failed ({why})")
        message = f"the connection to {self._vendor.title} failed after the request had left ({why})"
        return Unknown(f"{message}; it may have been carried out")

    def _judge(self, response: requests.Response, kind: str) -> None:
        """Raise for the statuses that mean the same at every vendor; the others are the provider's to read."""
        status, title = response.status_code, self._vendor.title
        now = self._limits.now()
        asked_at = retry_after(response.headers.get("Retry-After"), now)
        if status == requests.codes.too_many_requests:
            named = self._vendor.limit_in(response.content) if self._vendor.limit_in else "minute"
            limit = _limit_name(response.headers.get(self._vendor.limit_header, "") or named)
            wait = _LATER if limit in _LONG_LIMITS else self._vendor.limit_wait
            asked_at = asked_at or reset_at(response.headers.get(self._vendor.reset_header), now)
            if asked_at is None and wait is not None:
                asked_at = now + wait
            message = f"{title}'s limit of calls ({limit}) is reached"
            raise RateLimited(message, limit=limit, not_before_at=asked_at, reference=self._reference(response))
        if status in _BUSY or (status >= _SERVER_FAILS and status != requests.codes.not_implemented):
            message = f"{title} answered {status_in_words(status)}{_odd_body(response.content)}"
            raise self._unclear(kind, message, response, asked_at)
        if _REDIRECTS <= status < _CLIENT_ERRS and status != requests.codes.not_modified:
            message = f"{title} answered {status}, a redirect, and redirects are never followed"
            raise self._unclear(kind, message, response, now + _LATER)

    def _unclear(
        self, kind: str, message: str, response: requests.Response, later_at: datetime | None
    ) -> ProviderError:
        reference = self._reference(response)
        if kind == READ:
            return TryLater(message, not_before_at=later_at, reference=reference)
        return Unknown(f"{message}; it may have been carried out", reference=reference)

    def _reference(self, response: requests.Response) -> str:
        return response.headers.get(self._vendor.trace_header, "")


def _odd_body(body: bytes) -> str:
    """Name a body that is not what an API's error should be: the page of a proxy or of maintenance."""
    words = body_in_words(body)
    return "" if words == "JSON" else f" with {words}"


def _limit_name(said: str) -> str:
    """The port's name of a limit: Xero says "appminute" for the whole app's."""
    name = said.strip().lower()
    return "app" if name.startswith("app") else name


def unclear(kind: str, message: str, *, reference: str = "") -> ProviderError:
    """The error for an answer not to be trusted: a read is tried later, of anything else the outcome is not known."""
    if kind == READ:
        return TryLater(message, reference=reference)
    return Unknown(message, reference=reference)


def json_body(response: requests.Response, vendor: Vendor, kind: str) -> bytes:
    """The body of a reply that must be JSON; an HTML page under status 200 is named as such, never parsed."""
    body = response.content
    if body[:64].lstrip()[:1] in {b"{", b"["}:
        return body
    message = f"{vendor.title} answered {response.status_code} with {body_in_words(body)} where JSON was due"
    raise unclear(kind, message, reference=response.headers.get(vendor.trace_header, ""))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
