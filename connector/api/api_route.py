"""What precedes every operation: authentication, scopes, rate limits, size limits and idempotency."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Container, Coroutine
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from connector.api import idempotency, problems
from connector.api.call import Call
from connector.api.problems import ApiError
from connector.app_context import AppContext
from connector.auth import api_tokens
from connector.client_network import network_of
from connector.rate_limit import RateLimiter
from connector.vocabulary import TokenScope

BODY_BYTES_MAX = 6 * 2**20  # two pictures of a brand, as large as the web app takes them, in base64
CALLS_PER_MINUTE = 300
_ANONYMOUS_CALLS_PER_MINUTE = 120
_MINUTE = timedelta(minutes=1)
log = logging.getLogger("duewell.api")
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="Created by an owner under Settings, or with: duewell tokens create",
)


class CallLimits:
    """How often one token may call, and one address without a token."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.by_token = RateLimiter(CALLS_PER_MINUTE, _MINUTE, now)
        self.by_address = RateLimiter(_ANONYMOUS_CALLS_PER_MINUTE, _MINUTE, now)


class ApiRoute(APIRoute):
    """An operation that only authenticated clients within their limits reach."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's own handler."""
        handle = super().get_route_handler()

        async def gated(request: Request) -> Response:
            app: AppContext = request.app.state.app
            program = await run_in_threadpool(_authenticate, app, request)
            body = await _read_body(request)
            if "\x00" in request.url.path or "%00" in request.url.query or b"\\u0000" in body:
                raise ApiError(problems.INVALID, "A text must not contain NUL: no database stores it.")
            request.state.call = Call(app, program)
            again = _request_with_body(request, body)
            key = request.headers.get("idempotency-key", "")
            if not key or request.method == "GET":
                return await handle(again)
            print_of = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).hexdigest()
            known = await run_in_threadpool(idempotency.begin, app, program, key, print_of)
            if known is not None:
                return known
            try:
                reply = await handle(again)
            except BaseException:
                await run_in_threadpool(idempotency.discard, app, program, key)
                raise
            await run_in_threadpool(idempotency.store_response, app, program, key, reply)
            return reply

        async def answered(request: Request) -> Response:
            try:
                return await gated(request)
            except ClientDisconnect:
                raise
            except Exception as problem:  # an internal error: the details are logged, not returned
                if _is_handled(request.app.exception_handlers, problem):
                    raise
                log.exception("the operation %s %s failed", request.method, self.path)
                return problems.problem_response(problems.INTERNAL_ERROR, "The operation failed.")

        return answered


def _is_handled(handlers: Container[object], problem: Exception) -> bool:
    """Return whether a handler is there for an error, or for what it is a kind of."""
    kinds = [kind for kind in type(problem).__mro__ if kind not in {Exception, BaseException}]
    return any(kind in handlers for kind in kinds)


def _authorize_call(
    request: Request, scopes: SecurityScopes, _token: Annotated[Any, Security(_bearer)] = None
) -> Call:  # already authenticated; the parameter puts the token into the OpenAPI document
    call: Call = request.state.call
    if not all(call.client.has_scope(TokenScope(scope)) for scope in scopes.scopes):
        raise ApiError(
            problems.FORBIDDEN, f"The token {call.client.name} does not have the scope {' '.join(scopes.scopes)}."
        )
    return call


ReadCall = Annotated[Call, Security(_authorize_call, scopes=["read"])]
WriteCall = Annotated[Call, Security(_authorize_call, scopes=["write"])]
AdminCall = Annotated[Call, Security(_authorize_call, scopes=["admin"])]


def _authenticate(app: AppContext, request: Request) -> api_tokens.ApiClient:
    limits: CallLimits = request.app.state.call_limits
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    program = api_tokens.authenticate(app, token.strip()) if kind.lower() == "bearer" else None
    if program is None:
        _count_call(
            limits.by_address, network_of(request.client.host if request.client else ""), _ANONYMOUS_CALLS_PER_MINUTE
        )
        detail = "The token is unknown, expired or revoked." if token else "The request has no bearer token."
        raise ApiError(problems.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="duewell"'})
    _count_call(limits.by_token, str(program.id), CALLS_PER_MINUTE)
    return program


def _count_call(limiter: RateLimiter, key: str, per_minute: int) -> None:
    if not limiter.try_acquire(key):
        wait = {"Retry-After": str(limiter.wait_s(key))}
        raise ApiError(problems.TOO_MANY_REQUESTS, f"More than {per_minute} requests per minute.", headers=wait)


async def _read_body(request: Request) -> bytes:
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise ApiError(problems.TOO_LARGE, f"The body is larger than {BODY_BYTES_MAX // 1024} KiB.")
        parts.append(chunk)
    return b"".join(parts)


def _request_with_body(request: Request, body: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)
