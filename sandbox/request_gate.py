"""The gate every request passes: it keeps the request log and carries out the fault script."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from email.utils import format_datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.clock import SandboxClock
from sandbox.faults import Action, FaultScript, RequestRecord, Rule

_MAINTENANCE_PAGE = (
    b"<!DOCTYPE html><html><head><title>One moment</title></head><body><h1>We will be right back</h1></body></html>"
)
# Whose request it is, told by the path alone: (expression, vendor, kind); kind "" means read for GET, else write.
_ROUTE_KINDS = tuple(
    (re.compile(expression), vendor, kind)
    for expression, vendor, kind in (
        (r"^/identity/connect/", "xero", "consent"),
        (r"^/connect/oauth2$", "quickbooks", "consent"),  # before Xero's token endpoints beside it
        (r"^/connect/|^/[Cc]onnections", "xero", "token"),
        (r"^/api\.xro/", "xero", ""),
        (r"^/v3/company/[^/]+/query", "quickbooks", "read"),
        (r"^/v3/company/", "quickbooks", ""),
        (r"^/oauth2/v1/|^/v2/oauth2/|^/op/v1/|^/v1/openid_connect/|^/\.well-known/", "quickbooks", "token"),
        (r"^/v3/mail/send$", "sendgrid", "email"),
        (r"^/v3/logs", "sendgrid", "read"),
        (r"^/v3/", "sendgrid", ""),
    )
)


def classify_request(method: str, path: str) -> tuple[str, str]:
    """Tell vendor and kind of a request; ("", "") for the sandbox's own pages."""
    for expression, vendor, kind in _ROUTE_KINDS:
        if expression.search(path):
            return vendor, kind or ("read" if method in {"GET", "HEAD"} else "write")
    return "", ""


class RequestLog(list[RequestRecord]):
    """Every request the vendors got, in order of arrival."""

    def count_of(self, vendor: str = "", *kinds: str) -> int:
        """Count the requests of a vendor, of the named kinds or of all."""
        return len(self.filter_by(vendor, *kinds))

    def filter_by(self, vendor: str = "", *kinds: str) -> list[RequestRecord]:
        """Return the requests of a vendor, of the named kinds or of all."""
        return [r for r in tuple(self) if vendor in {"", r.vendor} and (not kinds or r.kind in kinds)]


class RequestGate:
    """ASGI middleware around the whole sandbox."""

    def __init__(self, app: ASGIApp, clock: SandboxClock, requests: RequestLog, faults: FaultScript) -> None:
        """Log to ``requests`` and obey ``faults``."""
        self.app = app
        self._clock = clock
        self._requests = requests
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Log the request, then answer it as the script or the vendor says."""
        vendor, kind = classify_request(scope.get("method", ""), scope.get("path", ""))
        send = self._with_date_header(send)
        if not vendor:
            await self.app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        record = RequestRecord(
            len(self._requests) + 1, self._clock.now(), vendor, kind, scope["method"], scope["path"], query
        )
        self._requests.append(record)

        async def logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        spoiling = None
        for rule in self._faults.rules_due(record) if self._faults.rules else ():
            if rule.action is Action.CALL and rule.callback is not None:
                await asyncio.to_thread(rule.callback, record)  # it may call a vendor itself
            elif rule.action is Action.DELAY:
                await asyncio.sleep(rule.seconds)
            else:
                spoiling = rule
        if spoiling is None:
            await self.app(scope, receive, logged)
        else:
            await _FaultInjector(self.app, scope, receive, logged, self._faults).inject(spoiling)

    def _with_date_header(self, send: Send) -> Send:
        """Let every answer tell the sandbox's time, as every vendor's tells its own."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = (b"date", format_datetime(self._clock.now(), usegmt=True).encode())
                message = {**message, "headers": [*message.get("headers", []), told]}
            await send(message)

        return dated


class _FaultInjector:
    """Answers one request wrongly."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, faults: FaultScript) -> None:
        self._app, self._scope, self._receive, self._send, self._faults = app, scope, receive, send, faults

    async def inject(self, rule: Rule) -> None:
        """Do what the rule says."""
        before = {Action.DROP_BEFORE, Action.HANG_BEFORE}
        applies = rule.action not in before and (rule.applied or rule.action not in {Action.REFUSE, Action.HTML})
        start, body = await self._vendor_reply() if applies else ({}, b"")
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
            # Not the vendor's headers: a length or an encoding of the good body would not fit the bad one.
            await self._answer(start["status"], [(b"content-type", b"application/json")], b'{"broken": ' + body[:20])
        elif rule.action is Action.TRUNCATE:
            await self._truncate(start, body)
        else:
            await self._drip(rule, start, body)

    async def _vendor_reply(self) -> tuple[dict[str, Any], bytes]:
        start: dict[str, Any] = {}
        pieces: list[bytes] = []

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                pieces.append(message.get("body", b""))

        await self._app(self._scope, self._receive, keep)
        return start, b"".join(pieces)

    async def _refuse(self, rule: Rule) -> None:
        words = {"Title": "The sandbox was told to refuse this", "Status": rule.status}
        body = rule.body.encode() or json.dumps(words).encode()
        kind = {"<h": "text/html", "<!": "text/html", "<?": "application/xml"}.get(rule.body[:2].lower(), "")
        headers = {"content-type": kind or "application/json"} | {k.lower(): v for k, v in rule.headers.items()}
        await self._answer(rule.status, [(k.encode(), v.encode()) for k, v in headers.items()], body)

    async def _answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        sized = [*headers, (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": sized})
        await self._send({"type": "http.response.body", "body": body})

    async def _truncate(self, start: dict[str, Any], body: bytes) -> None:
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        self._transport().close()
        await asyncio.sleep(0)

    async def _drip(self, rule: Rule, start: dict[str, Any], body: bytes) -> None:
        await self._send(start)
        size = max(1, len(body) // 20)
        for n in range(0, len(body), size):
            await self._send({"type": "http.response.body", "body": body[n : n + size], "more_body": True})
            await asyncio.sleep(rule.seconds)
        await self._send({"type": "http.response.body", "body": b""})

    async def _hang(self) -> None:
        released = asyncio.ensure_future(self._faults.new_hang_event().wait())
        gone = asyncio.ensure_future(self._wait_for_disconnect())
        await asyncio.wait({released, gone}, return_when=asyncio.FIRST_COMPLETED)
        released.cancel()
        gone.cancel()

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
