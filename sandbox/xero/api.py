"""What every call of the Accounting API passes: token, organisation, scope, limits, idempotency key, and handler."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sandbox.core import JsonObject, SandboxCore, stable_uuid
from sandbox.xero.grants import BadToken, Grant
from sandbox.xero.history import HistoryReplay
from sandbox.xero.limits import Limits, UsageMeter, app_window
from sandbox.xero.organisation import Organisation
from sandbox.xero.serialisation import encode
from sandbox.xero.signin import SignIn, unauthorized

IDEMPOTENCY_LIFETIME = timedelta(hours=6)
_KEY_LENGTH_MAX = 128


class ApiError(Exception):
    """A call that ends in an error reply."""

    def __init__(self, response: Response) -> None:
        """Store the reply."""
        super().__init__(response.status_code)
        self.response = response


@dataclass(slots=True)
class Call:
    """A call on its way to its handler."""

    request: Request
    organisation: Organisation
    body: bytes
    grant: Grant

    @property
    def query(self) -> Any:
        """The parameters of the query."""
        return self.request.query_params


@dataclass(slots=True)
class Tenant:
    """An organisation with its history, its usage meter, and the replies to earlier writes by idempotency key."""

    organisation: Organisation
    meter: UsageMeter
    history: HistoryReplay | None = None
    replies: dict[str, tuple[datetime, str, Response]] = field(default_factory=dict)

    def apply_due_events(self, now: datetime) -> None:
        """Apply all events that are due by ``now``."""
        if self.history is not None:
            self.history.apply_due_events(now)


class Tenants(Protocol):
    """Finds the organisation of a call."""

    def tenant(self, tenant_id: str) -> Tenant | None:
        """Return the organisation of that id."""
        ...


Handler = Callable[[Call], Response]


class Api:
    """Wraps handlers into endpoints. While ``released`` is cleared, authorised calls wait, so that they overlap."""

    def __init__(self, core: SandboxCore, sign_in: SignIn, tenants: Tenants) -> None:
        """Start without calls."""
        self.released = threading.Event()
        self.released.set()
        self.replays_requests = True  # off: an ``Idempotency-Key`` is ignored, as it is after six hours anyway
        self._core = core
        self._sign_in = sign_in
        self._tenants = tenants

    def endpoint(self, scopes: tuple[str, ...], handler: Handler) -> Callable[[Request], Any]:
        """Return an endpoint for calls with one of ``scopes`` or, for reads, its ``.read`` variant."""

        async def answered(request: Request) -> Response:
            body = await request.body() if request.method in {"PUT", "POST"} else b""
            with self._core.lock:
                try:
                    tenant, grant = self._authorise(request, scopes)
                except ApiError as error:
                    return error.response
                tenant.meter.running += 1
            try:
                if not self.released.is_set():
                    await run_in_threadpool(self.released.wait)
                with self._core.lock:
                    tenant.apply_due_events(self._core.clock.now())
                    response = self._once(tenant, Call(request, tenant.organisation, body, grant), handler)
            finally:
                tenant.meter.running -= 1
            response.headers.update(tenant.meter.remaining() | {"Xero-Correlation-Id": self._correlation(request)})
            return response

        return answered

    def _correlation(self, request: Request) -> str:
        return stable_uuid("correlation", id(request), self._core.clock.now())

    def _authorise(self, request: Request, scopes: tuple[str, ...]) -> tuple[Tenant, Grant]:
        try:
            grant = self._sign_in.grant_of(request)
        except BadToken as error:
            raise ApiError(unauthorized(str(error))) from None
        tenant_id = request.headers.get("xero-tenant-id", "").lower()
        tenant = self._tenants.tenant(tenant_id)
        if tenant is None or not self._sign_in.has_connection(tenant_id):
            raise ApiError(_forbidden_error())
        sufficient = set(scopes) | ({f"{scope}.read" for scope in scopes} if request.method == "GET" else set())
        if not sufficient & set(grant.scopes):
            refusal = unauthorized("AuthorizationUnsuccessful")
            refusal.headers["WWW-Authenticate"] = "insufficient_scope"
            raise ApiError(refusal)
        refused = tenant.meter.count_call(self._core.clock.now())
        if refused:
            raise ApiError(PlainTextResponse("", status_code=429, headers=refused))
        return tenant, grant

    def _once(self, tenant: Tenant, call: Call, handler: Handler) -> Response:
        key = call.request.headers.get("idempotency-key", "")
        if not key or not self.replays_requests or call.request.method not in {"PUT", "POST"}:
            return _call_handler(call, handler)
        if len(key) > _KEY_LENGTH_MAX:
            return validation_error([{}], [["The idempotency key must be 128 characters or less"]])
        now = self._core.clock.now()
        seen = f"{call.request.method} {call.request.url.path} {hashlib.sha256(call.body).hexdigest()}"
        at, first, reply = tenant.replies.get(key, (now, seen, None))
        if reply is not None and now - at < IDEMPOTENCY_LIFETIME:
            if first != seen:
                return validation_error([{}], [["Idempotency key has been used with a different request"]])
            return Response(reply.body, reply.status_code, media_type=reply.media_type)
        reply = _call_handler(call, handler)
        tenant.replies[key] = (now, seen, reply)
        return reply


def _call_handler(call: Call, handler: Handler) -> Response:
    accepts = call.request.headers.get("accept", "")
    if "json" not in accepts and "pdf" not in accepts:
        # Xero replies in XML unless JSON is requested: a client that forgets the header must notice it here too.
        return Response('<?xml version="1.0"?><Response><Status>OK</Status></Response>', media_type="text/xml")
    try:
        return handler(call)
    except ApiError as error:
        return error.response


def json_reply(body: bytes) -> Response:
    """Return a 200 with JSON."""
    return Response(body, media_type="application/json")


def not_found_error() -> Response:
    """Return a 404 in plain text, as Xero does."""
    return PlainTextResponse("The resource you're looking for cannot be found", status_code=404)


def bad_query_error(text: str) -> ApiError:
    """Return the error for an unreadable query."""
    return ApiError(JSONResponse({"ErrorNumber": 16, "Type": "QueryParseException", "Message": text}, status_code=400))


def validation_error(elements: list[JsonObject], errors: list[list[str]]) -> Response:
    """Return a 400 in Xero's form: each element with its messages."""
    shaped = [
        {**element, "ValidationErrors": [{"Message": message} for message in messages]}
        for element, messages in zip(elements, errors, strict=True)
    ]
    head = {"ErrorNumber": 10, "Type": "ValidationException", "Message": "A validation exception occurred"}
    return Response(encode({**head, "Elements": shaped}), status_code=400, media_type="application/json")


def _forbidden_error() -> Response:
    body = {"type": None, "title": "Forbidden", "status": 403, "detail": "AuthenticationUnsuccessful"}
    return JSONResponse({**body, "instance": stable_uuid("forbidden")}, status_code=403)


def new_meter(limits: Limits, app: Any, number: int) -> UsageMeter:
    """Return the usage meter of the ``number``-th organisation; each resets at a different time."""
    return UsageMeter(limits, app, offset_seconds=7 * 3600 + 4321 * number)


__all__ = [
    "Api",
    "ApiError",
    "Call",
    "Tenant",
    "app_window",
    "bad_query_error",
    "json_reply",
    "new_meter",
    "not_found_error",
]
