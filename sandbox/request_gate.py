"""The middleware around all services: keeps the request log and applies the fault script."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from email.utils import format_datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.clock import SandboxClock
from sandbox.core import JsonObject
from sandbox.faults import Action, FaultScript, RequestRecord, Rule

_MAINTENANCE_PAGE = (
    b"<!DOCTYPE html><html><head><title>One moment</title></head><body><h1>We will be right back</h1></body></html>"
)
# Which service and kind a path belongs to: (expression, service, kind); kind "" means read for GET, else write.
_ROUTE_KINDS = tuple(
    (re.compile(expression), service, kind)
    for expression, service, kind in (
        (r"^/identity/connect/", "xero", "consent"),
        (r"^/connect/oauth2$", "quickbooks", "consent"),  # before Xero's token endpoints
        (r"^/connect/|^/[Cc]onnections", "xero", "token"),
        (r"^/api\.xro/", "xero", ""),
        (r"^/v3/company/[^/]+/query", "quickbooks", "read"),
        (r"^/v3/company/", "quickbooks", ""),
        (r"^/oauth2/v1/|^/v2/oauth2/|^/op/v1/|^/v1/openid_connect/|^/\.well-known/", "quickbooks", "token"),
        (r"^/[^/]+/oauth2/v2\.0/authorize$", "microsoft365", "consent"),
        (r"^/[^/]+/oauth2/v2\.0/token$", "microsoft365", "token"),
        (r"^/v1\.0/me/sendMail$", "microsoft365", "email"),
        (r"^/v1\.0/", "microsoft365", ""),
        (r"^/v3/mail/send$", "sendgrid", "email"),
        (r"^/v3/logs", "sendgrid", "read"),
        (r"^/v3/", "sendgrid", ""),
        (r"^/o/oauth2/", "gmail", "consent"),
        (r"^/(?:token|revoke)$", "gmail", "token"),
        (r"^(?:/upload)?/gmail/v1/users/[^/]+/messages/send$", "gmail", "email"),
        (r"^/gmail/v1/", "gmail", ""),
    )
)


def classify_request(method: str, path: str) -> tuple[str, str]:
    """Return service and kind of a request, ("", "") for the sandbox's own pages."""
    for expression, service, kind in _ROUTE_KINDS:
        if expression.search(path):
            return service, kind or ("read" if method in {"GET", "HEAD"} else "write")
    return "", ""


class RequestLog(list[RequestRecord]):
    """All requests to the services, in order of arrival."""

    def count_of(self, service: str = "", *kinds: str) -> int:
        """Return the number of requests to a service ("" for all), of these kinds or of all."""
        return len(self.filter_by(service, *kinds))

    def filter_by(self, service: str = "", *kinds: str) -> list[RequestRecord]:
        """Return the requests to a service ("" for all), of these kinds or of all."""
        return [one for one in tuple(self) if service in {"", one.service} and (not kinds or one.kind in kinds)]


class RequestGate:
    """ASGI middleware that records each request and applies the faults that are due."""

    def __init__(self, app: ASGIApp, clock: SandboxClock, requests: RequestLog, faults: FaultScript) -> None:
        """Record in ``requests`` and apply ``faults``."""
        self.app = app
        self._clock = clock
        self._requests = requests
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record the request, then answer it by the fault script or by the service."""
        service, kind = classify_request(scope.get("method", ""), scope.get("path", ""))
        send = self._with_date_header(send)
        if not service:
            await self.app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        record = RequestRecord(
            len(self._requests) + 1, self._clock.now(), service, kind, scope["method"], scope["path"], query
        )
        self._requests.append(record)

        async def logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        fault = None
        for rule in self._faults.rules_due(record) if self._faults.rules else ():
            if rule.action is Action.CALL and rule.callback is not None:
                await asyncio.to_thread(rule.callback, record)  # it may call a service itself
            elif rule.action is Action.DELAY:
                await asyncio.sleep(rule.seconds)
            else:
                fault = rule
        if fault is None:
            await self.app(scope, receive, logged)
        else:
            await _FaultInjector(self.app, scope, receive, logged, self._faults).inject(fault)

    def _with_date_header(self, send: Send) -> Send:
        """Add a ``Date`` header with the sandbox's time to every reply, as the real services do."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (b"date", format_datetime(self._clock.now(), usegmt=True).encode())
                message = {**message, "headers": [*message.get("headers", []), header]}
            await send(message)

        return dated


class _FaultInjector:
    """Answers one request with a fault."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, faults: FaultScript) -> None:
        self._app, self._scope, self._receive, self._send, self._faults = app, scope, receive, send, faults

    async def inject(self, rule: Rule) -> None:
        """Answer as the rule specifies."""
        before = {Action.DROP_BEFORE, Action.HANG_BEFORE}
        applies = rule.action not in before and (rule.applied or rule.action not in {Action.REFUSE, Action.HTML})
        start, body = await self._service_reply() if applies else ({}, b"")
        if rule.action in {Action.HANG_BEFORE, Action.HANG_AFTER}:
            await self._hang()
            await self._drop(rule)
        elif rule.action in {Action.DROP_BEFORE, Action.DROP_AFTER}:
            await self._drop(rule)
        elif rule.action is Action.REFUSE:
            await self._refuse(rule)
        elif rule.action is Action.HTML:
            await self._answer(
                200, [(b"content-type", b"text/html; charset=utf-8")], rule.body.encode() or _MAINTENANCE_PAGE
            )
        elif rule.action is Action.MALFORMED:
            # Not the service's headers: length or encoding of the good body would not match the broken one.
            await self._answer(start["status"], [(b"content-type", b"application/json")], b'{"broken": ' + body[:20])
        elif rule.action is Action.TRUNCATE:
            await self._truncate(start, body)
        else:
            await self._drip(rule, start, body)

    async def _service_reply(self) -> tuple[JsonObject, bytes]:
        start: JsonObject = {}
        chunks: list[bytes] = []

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                chunks.append(message.get("body", b""))

        await self._app(self._scope, self._receive, keep)
        return start, b"".join(chunks)

    async def _refuse(self, rule: Rule) -> None:
        default_body = {"Title": "Refused by the sandbox's fault script", "Status": rule.status}
        body = rule.body.encode() or json.dumps(default_body).encode()
        kind = {"<h": "text/html", "<!": "text/html", "<?": "application/xml"}.get(rule.body[:2].lower(), "")
        headers = {"content-type": kind or "application/json"} | {k.lower(): v for k, v in rule.headers.items()}
        await self._answer(rule.status, [(k.encode(), v.encode()) for k, v in headers.items()], body)

    async def _answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        sized = [*headers, (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": sized})
        await self._send({"type": "http.response.body", "body": body})

    async def _truncate(self, start: JsonObject, body: bytes) -> None:
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        self._transport().close()
        await asyncio.sleep(0)

    async def _drip(self, rule: Rule, start: JsonObject, body: bytes) -> None:
        await self._send(start)
        size = max(1, len(body) // 20)
        for n in range(0, len(body), size):
            await self._send({"type": "http.response.body", "body": body[n : n + size], "more_body": True})
            await asyncio.sleep(rule.seconds)
        await self._send({"type": "http.response.body", "body": b""})

    async def _hang(self) -> None:
        released = asyncio.ensure_future(self._faults.new_hang_event().wait())
        disconnected = asyncio.ensure_future(self._wait_for_disconnect())
        await asyncio.wait({released, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        released.cancel()
        disconnected.cancel()

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _drop(self, rule: Rule) -> None:
        transport = self._transport()
        if rule.reset and (connection := transport.get_extra_info("socket")) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await asyncio.sleep(0)

    def _transport(self) -> asyncio.Transport:
        transport: asyncio.Transport = self._scope["state"]["transport"]
        return transport
