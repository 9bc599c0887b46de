"""Limits on the time of each request: how slowly its body may arrive, and how long its own work may take.

A request that is given up is answered at once. Its thread cannot be ended, so it keeps its place among the threads
until it ends on its own; what strangers write is therefore read in a process (``connector.bounded_work``). An error
that nothing else handles becomes a plain response here, inside the layer that adds the security headers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector.quiet_log import QuietLog

BODY_GRACE_S: Final = 10.0  # before the speed of a body counts
BODY_BYTES_PER_S_MIN: Final = 8 * 1024
WORK_S: Final = 60.0
_POLL_S: Final = 1.0
log = logging.getLogger("duewell.web")
_quiet = QuietLog(logging.getLogger("duewell.web.limits"))


class RequestLimits:
    """Runs each request as a task that can be given up."""

    def __init__(self, app: ASGIApp, *, work_s: float = WORK_S, poll_s: float = _POLL_S) -> None:
        self._app = app
        self._work_s = work_s
        self._poll_s = poll_s
        self._given_up: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        now = asyncio.get_running_loop().time
        body, reply = _Body(receive, now), _Reply(send, now)
        task = asyncio.ensure_future(self._app(scope, body.receive, reply.send))
        try:
            refusal = await self._wait(task, body, reply)
        except asyncio.CancelledError:  # the server stops, and has waited long enough
            task.cancel()
            refusal = _refuse(503, "The server is being stopped.\n")
        if refusal is None:
            await self._finish(task, scope, receive, reply, send)
            return
        reply.closed = True
        self._given_up.add(task)
        task.add_done_callback(self._forget)
        _quiet.note("gave up requests", bytes(refusal.body).decode().strip(), scope["path"][:80])
        if body.is_late():
            task.cancel()  # it waits for the body, not for a thread
        if not reply.started:
            await refusal(scope, receive, send)

    async def _wait(self, task: asyncio.Task[None], body: _Body, reply: _Reply) -> PlainTextResponse | None:
        """Wait for the end of a request; return the response for one that is given up."""
        while not (await asyncio.wait({task}, timeout=self._poll_s))[0]:
            if body.is_late():
                return _refuse(408, "The request did not arrive in time.\n")
            if min(body.worked_s(), reply.worked_s()) > self._work_s:
                return _refuse(503, "This took too long and was given up. Try again later.\n")
        return None

    async def _finish(
        self, task: asyncio.Task[None], scope: Scope, receive: Receive, reply: _Reply, send: Send
    ) -> None:
        error = task.exception() if not task.cancelled() else None
        if error is None:
            return
        if not isinstance(error, Exception):
            raise error
        if isinstance(error, ClientDisconnect):
            _quiet.note("requests ended early", "the client went away", scope["path"][:80])
            return
        log.error("%s %s failed", scope["method"], scope["path"][:80], exc_info=error)
        if not reply.started:
            response = PlainTextResponse("This is a fault of duewell. Its log contains the details.\n", status_code=500)
            await response(scope, receive, send)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._given_up.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a request that was given up failed later: %s", type(error).__name__)


class _Body:
    """The body of a request, and how long it takes to arrive."""

    def __init__(self, receive: Receive, now: Callable[[], float]) -> None:
        self._receive = receive
        self._now = now
        self._began_at = now()
        self._bytes = 0
        self._is_waiting = self._is_complete = False
        self._arrived_at = self._began_at

    async def receive(self) -> Message:
        """Return the next part of the body."""
        self._is_waiting = True  # after the end of the body, it is the end of the connection that is waited for
        message = await self._receive()
        self._is_waiting = False
        self._bytes += len(message.get("body", b""))
        self._is_complete = not message.get("more_body")
        self._arrived_at = self._now()
        return message

    def is_late(self) -> bool:
        """Whether more of the body should have arrived by now."""
        allowed_s = BODY_GRACE_S + self._bytes / BODY_BYTES_PER_S_MIN
        return self._is_waiting and not self._is_complete and self._now() - self._began_at > allowed_s

    def worked_s(self) -> float:
        """Return for how long the request has been working since the last part of its body arrived."""
        return 0.0 if self._is_waiting and not self._is_complete else self._now() - self._arrived_at


class _Reply:
    """The response: whether it has begun, and whether anybody still wants it."""

    def __init__(self, send: Send, now: Callable[[], float]) -> None:
        self._send = send
        self._now = now
        self._sent_at = now()
        self._is_sending = False
        self.started = self.closed = False

    async def send(self, message: Message) -> None:
        """Send a part of the response, unless the request was given up."""
        if not self.closed:
            self.started = self._is_sending = True
            await self._send(message)
            self._is_sending, self._sent_at = False, self._now()

    def worked_s(self) -> float:
        """Return for how long nothing was sent; a client that reads slowly is the connection's affair."""
        return 0.0 if self._is_sending else self._now() - self._sent_at


def _refuse(code: int, text: str) -> PlainTextResponse:
    return PlainTextResponse(text, status_code=code, headers={"Connection": "close", "Retry-After": "60"})
