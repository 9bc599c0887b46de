"""The sandbox's vendors answering in this very process: no sockets, no threads, so that a process may fork anywhere.

The request goes through duewell's own transport up to the socket, and through the sandbox's whole application behind
it. What a real network adds is tried by the tests over real HTTP in ``tests/faults``.
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

LONG_AGO = "Mon, 01 Jan 2035 00:00:00 GMT"
ERROR_PAGE = b"<!DOCTYPE html><html><body><h1>We will be right back</h1></body></html>"


class Sent(NamedTuple):
    """A request as it reaches a vendor; ``kind`` is read, write, token or mail."""

    n: int
    vendor: str
    kind: str
    method: str
    path: str
    query: str
    body: bytes


class Reply(NamedTuple):
    """What a vendor answers."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one call: before the vendor has done the work, or after (``applied``)."""

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
    Fault("half an answer", applied=True),
    Fault("an answer that is no JSON", applied=True, status=200, body=b'{"broken": '),
    Fault("a page instead of an answer", status=200, headers=(("Content-Type", "text/html"),), body=ERROR_PAGE),
    Fault(
        "a page, and it was done", applied=True, status=200, headers=(("Content-Type", "text/html"),), body=ERROR_PAGE
    ),
    *(Fault(f"refused with {status}", status=status) for status in (400, 401, 403, 404, 409, 413)),
    Fault("a limit", status=429),
    Fault("a limit for a second", status=429, headers=(("Retry-After", "1"),)),
    Fault("a limit for ever", status=429, headers=(("Retry-After", "99999999999"),)),
    Fault("a limit until 2035", status=429, headers=(("Retry-After", LONG_AGO),)),
    Fault("broken", status=500),
    Fault("broken, and it was done", applied=True, status=500),
    Fault("busy", status=503, body=ERROR_PAGE),
    Fault("sent elsewhere", status=302, headers=(("Location", "http://elsewhere.invalid/"),)),
)


class InProcessServices:
    """Takes the place of the sockets under every session. ``before`` and ``after`` hear of each call."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Answer from this sandbox."""
        self.sandbox = sandbox
        self.before: list[Callable[[Sent], None]] = []
        self.after: list[Callable[[Sent], None]] = []
        self.faults: list[tuple[Callable[[Sent], bool], Fault]] = []
        self.count = 0
        self.fired = 0

    def install(self) -> None:
        """Put it under ``requests``, for this process."""
        adapter: Any = HTTPAdapter
        adapter.send = lambda adapter, request, **_how: self._send(adapter, request)

    def _send(self, adapter: HTTPAdapter, request: requests.PreparedRequest) -> requests.Response:
        sent = self._sent(request)
        for hear in list(self.before):
            hear(sent)
        fault = next((fault for matches, fault in self.faults if matches(sent)), None)
        current_call.reached_socket, current_call.request_started = True, fault is None or fault.reached
        reply = self._answer(request, sent) if fault is None or fault.applied else None
        for hear in list(self.after):
            hear(sent)
        if fault is not None:
            self.fired += 1
            return adapter.build_response(request, _faulty_reply(fault, reply, request))
        assert reply is not None
        return adapter.build_response(request, _response(reply, request))

    def _sent(self, request: requests.PreparedRequest) -> Sent:
        self.count += 1
        url = urlsplit(str(request.url))
        path = unquote(url.path)
        body = request.body or b""
        method = str(request.method)
        return Sent(self.count, *classify_request(method, path), method, path, url.query, _bytes(body))

    def _answer(self, request: requests.PreparedRequest, sent: Sent) -> Reply:
        headers = [(name.lower().encode(), _bytes(value)) for name, value in request.headers.items()]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": sent.method,
            "path": sent.path,
            "raw_path": sent.path.encode(),
            "root_path": "",
            "query_string": sent.query.encode(),
            "headers": [*headers, (b"host", b"127.0.0.1")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
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
    """Tell whether a request changes something at a vendor: a mail, a note, a fee, a waiver."""
    return sent.kind in {"email", "write"} and not re.search(r"/v3/logs", sent.path)


def _drive(work: Coroutine[Any, Any, None]) -> None:
    """Run a vendor's answer to its end: the sandbox's endpoints never wait for anything."""
    try:
        work.send(None)
    except StopIteration:
        return
    message = "an endpoint of the sandbox waited for something"
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
