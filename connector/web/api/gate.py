"""Stands before every operation: who asks and what it may, how often and how much, and that a change happens once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any

from fastapi import Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from connector.access import api_tokens
from connector.installation import Installation
from connector.web.api import problems, repeats
from connector.web.api.call import Call
from connector.web.api.problems import Refused

BODY_BYTES_MAX = 1024 * 1024
CALLS_A_MINUTE = 300
_STRANGERS_A_MINUTE = 120
_CALLERS_MAX = 10_000
log = logging.getLogger("duewell.api")
_bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="Made by an owner under Settings, or: duewell tokens create"
)


class Rates:
    """Buckets of calls that fill up again with time: one per token, and one per address that has none."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._left: dict[str, tuple[float, datetime]] = {}

    def take(self, who: str, most: int) -> None:
        """Take a call from somebody's bucket of ``most`` a minute; raises ``Refused`` where it is empty."""
        now = self._now()
        left, at = self._left.get(who, (float(most), now))
        left = min(float(most), left + (now - at).total_seconds() * most / 60)
        if left < 1:
            wait_s = max(1, round((1 - left) * 60 / most))
            raise Refused(
                problems.TOO_OFTEN, f"More than {most} calls in a minute.", headers={"Retry-After": str(wait_s)}
            )
        if len(self._left) > _CALLERS_MAX:
            self._left.clear()
        self._left[who] = (left - 1, now)


class Gate(APIRoute):
    """An operation behind the gate."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's own handler."""
        handle = super().get_route_handler()

        async def gated(request: Request) -> Response:
            installation: Installation = request.app.state.installation
            program = await run_in_threadpool(_who, installation, request)
            body = await _body(request)
            request.state.call = Call(installation, program)
            again = _with_body(request, body)
            key = request.headers.get("idempotency-key", "")
            if not key or request.method == "GET":
                return await handle(again)
            print_of = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).hexdigest()
            known = await run_in_threadpool(repeats.begin, installation, program, key, print_of)
            if known is not None:
                return known
            try:
                reply = await handle(again)
            except BaseException:
                await run_in_threadpool(repeats.forget, installation, program, key)
                raise
            await run_in_threadpool(repeats.keep, installation, program, key, reply)
            return reply

        async def answered(request: Request) -> Response:
            try:
                return await gated(request)
            except Exception as problem:  # what is none of ours is a fault: no details leave, and the log has them
                if type(problem) in request.app.exception_handlers or isinstance(problem, HTTPException):
                    raise
                log.exception("the operation %s %s broke", request.method, self.path)
                return problems.answer(problems.BROKEN, "The operation could not be done.")

        return answered


def _call(
    request: Request, scopes: SecurityScopes, _token: Annotated[Any, Security(_bearer)] = None
) -> Call:  # the token was looked at before; it is asked for here so that the description names it
    call: Call = request.state.call
    if not all(call.program.may(scope) for scope in scopes.scopes):
        raise Refused(problems.NO_SCOPE, f"The token {call.program.name} has no scope {' '.join(scopes.scopes)}.")
    return call


Read = Annotated[Call, Security(_call, scopes=["read"])]
Act = Annotated[Call, Security(_call, scopes=["act"])]
Admin = Annotated[Call, Security(_call, scopes=["admin"])]


def _who(installation: Installation, request: Request) -> api_tokens.Program:
    rates: Rates = request.app.state.rates
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    program = api_tokens.find(installation, token.strip()) if kind.lower() == "bearer" else None
    if program is None:
        rates.take(f"address {request.client.host if request.client else ''}", _STRANGERS_A_MINUTE)
        happened = "The token is unknown, expired or revoked." if token else "There is no bearer token."
        raise Refused(problems.NO_TOKEN, happened, headers={"WWW-Authenticate": 'Bearer realm="duewell"'})
    rates.take(f"token {program.id}", CALLS_A_MINUTE)
    return program


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise Refused(problems.TOO_MUCH, f"The body is larger than {BODY_BYTES_MAX // 1024} KiB.")
        parts.append(chunk)
    return b"".join(parts)


def _with_body(request: Request, body: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)
