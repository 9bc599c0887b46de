"""The simulated services within this process: without sockets and threads, so that it can fork anywhere.

A request goes through duewell's own transport up to the socket, and through the sandbox's whole application behind
it. What a real network adds is tested over real HTTP in ``tests/faults``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from providers.deadline import current_call
from sandbox import Sandbox
from sandbox.request_gate import classify_request

IN_2035 = "Mon, 01 Jan 2035 00:00:00 GMT"
ERROR_PAGE = b"<!DOCTYPE html><html><body><h1>We will be right back</h1></body></html>"


class Sent(NamedTuple):
    """A request as it reaches a service; ``kind`` is read, write, token or email."""

    n: int
    service: str
    kind: str
    method: str
    path: str
    query: str
    body: bytes


class Reply(NamedTuple):
    """The reply of a service."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one call: before the service has processed it, or after (``applied``)."""

    name: str
    applied: bool = False
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b'{"Title": "refused on purpose"}'
    error: Callable[[], Exception] | None = None
    reached: bool = True


FAULTS = (
    Fault("no connection", error=lambda: requests.ConnectTimeout("connect"), reached=False),
    Fault("name not found", error=lambda: requests.ConnectionError("dns"), reached=False),
    Fault("cut off before", error=lambda: requests.ConnectionError("reset")),
    Fault("cut off after", applied=True, error=lambda: requests.ConnectionError("reset")),
    Fault("silence before", error=lambda: requests.ReadTimeout("silence")),
    Fault("silence after", applied=True, error=lambda: requests.ReadTimeout("silence")),
    Fault("half a reply", applied=True),
    Fault("a reply that is not JSON", applied=True, status=200, body=b'{"broken": '),
    Fault("a page instead of a reply", status=200, headers=(("Content-Type", "text/html"),), body=ERROR_PAGE),
    Fault(
        "a page, and it was applied",
        applied=True,
        status=200,
        headers=(("Content-Type", "text/html"),),
        body=ERROR_PAGE,
    ),
    *(Fault(f"rejected with {status}", status=status) for status in (400, 401, 403, 404, 409, 413)),
    Fault("a limit", status=429),
    Fault("a limit for a second", status=429, headers=(("Retry-After", "1"),)),
    Fault("a limit for a very long time", status=429, headers=(("Retry-After", "99999999999"),)),
    Fault("a limit until 2035", status=429, headers=(("Retry-After", IN_2035),)),
    Fault("server error", status=500),
    Fault("server error, and it was applied", applied=True, status=500),
    Fault("busy", status=503, body=ERROR_PAGE),
    Fault("redirected elsewhere", status=302, headers=(("Location", "http://elsewhere.invalid/"),)),
)


class InProcessServices:
    """Replaces the sockets under every HTTP session; ``before`` and ``after`` are called for each request."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Reply from this sandbox."""
        self.sandbox = sandbox
        self.before: list[Callable[[Sent], None]] = []
        self.after: list[Callable[[Sent], None]] = []
        self.faults: list[tuple[Callable[[Sent], bool], Fault]] = []
        self.count = 0
        self.fired = 0

    def install(self) -> None:
        """Replace the sockets of ``requests`` in this process."""
        adapter: Any = HTTPAdapter
        adapter.send = lambda adapter, request, **_how: self._send(adapter, request)

    def begin_call(self, sent: Sent) -> Fault | None:
        """Show a call to the observers, and return what goes wrong with it."""
        for observe in list(self.before):
            observe(sent)
        return next((fault for matches, fault in self.faults if matches(sent)), None)

    def end_call(self, sent: Sent, fault: Fault | None) -> None:
        """Show a call that was processed, or not, to the observers."""
        for observe in list(self.after):
            observe(sent)
        self.fired += fault is not None

    def _send(self, adapter: HTTPAdapter, request: requests.PreparedRequest) -> requests.Response:
        sent = self._parse(request)
        fault = self.begin_call(sent)
        current_call.reached_socket, current_call.request_started = True, fault is None or fault.reached
        reply = self._process(request, sent) if fault is None or fault.applied else None
        self.end_call(sent, fault)
        if fault is not None:
            return adapter.build_response(request, _faulty_reply(fault, reply, request))
        assert reply is not None
        return adapter.build_response(request, _response(reply, request))

    def _parse(self, request: requests.PreparedRequest) -> Sent:
        self.count += 1
        url = urlsplit(str(request.url))
        path = unquote(url.path)
        body = request.body or b""
        method = str(request.method)
        return Sent(self.count, *classify_request(method, path), method, path, url.query, _bytes(body))

    def _process(self, request: requests.PreparedRequest, sent: Sent) -> Reply:
        headers = [(name.lower().encode(), _bytes(value)) for name, value in request.headers.items()]
        url = urlsplit(str(request.url))
        scope = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": sent.method,
            "path": sent.path,
            "raw_path": sent.path.encode(),
            "root_path": "",
            "query_string": sent.query.encode(),
            "headers": [*headers, (b"host", url.netloc.encode())],  # links in replies are built from it
            "client": ("127.0.0.1", 1),
            "server": (url.hostname, url.port or 80),
            "state": {},
        }
        start: dict[str, Any] = {}
        pieces: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": sent.body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                pieces.append(message.get("body", b""))

        _drive(self.sandbox.app(scope, receive, send))
        names = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        return Reply(start["status"], names, b"".join(pieces))


def is_effect(sent: Sent) -> bool:
    """Return whether a request changes something at a service: an email, a note, a fee, a waiver."""
    return sent.kind in {"email", "write"} and not re.search(r"/v3/logs", sent.path)


def _drive(endpoint: Coroutine[Any, Any, None]) -> None:
    """Run an endpoint of the sandbox to its end: none of them awaits anything."""
    try:
        endpoint.send(None)
    except StopIteration:
        return
    message = "an endpoint of the sandbox awaited something"
    raise RuntimeError(message)


def _faulty_reply(fault: Fault, reply: Reply | None, request: requests.PreparedRequest) -> HTTPResponse:
    if fault.error is not None:
        raise fault.error()
    if fault.status:
        return _response(Reply(fault.status, list(fault.headers), fault.body), request)
    assert reply is not None
    half = reply._replace(body=reply.body[: len(reply.body) // 2])
    kept = [(name, value) for name, value in half.headers if name.lower() != "content-length"]
    return _response(half._replace(headers=[*kept, ("Content-Length", str(len(reply.body) + 1))]), request)


def _response(reply: Reply, request: requests.PreparedRequest) -> HTTPResponse:
    return HTTPResponse(
        body=io.BytesIO(reply.body),
        headers=dict(reply.headers),
        status=reply.status,
        preload_content=False,
        request_method=request.method,
        enforce_content_length=True,
    )


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
