"""The simulated SendGrid over HTTP: mail/send, email logs, suppressions, and the pages that show the emails."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.core import JsonObject
from sandbox.sendgrid.logs import LIMIT_DEFAULT, LIMIT_MAX, build_detail, search
from sandbox.sendgrid.message_store import Suppression, is_in_logs
from sandbox.sendgrid.pages import email_page, list_page, missing_page
from sandbox.sendgrid.service import SendGrid
from sandbox.sendgrid.validation import RequestError, find_errors

Endpoint = Callable[[Request], Awaitable[Response]]
EMAIL_BYTES_MAX = 30_000_000
PAGE_MAX = 500
_ENTRY_FIELDS = {
    "bounces": ("created", "email", "reason", "status"), "blocks": ("created", "email", "reason", "status"),
    "invalid_emails": ("created", "email", "reason"), "spam_reports": ("created", "email"),
    "unsubscribes": ("created", "email"),
}  # fmt: skip
_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data: https: http:"
}


def routes(service: SendGrid) -> list[BaseRoute]:
    """Return all routes."""
    api, pages = _Api(service), _Pages(service)
    kind = "bounces|blocks|invalid_emails|spam_reports|unsubscribes"
    suppression = [
        Route(f"/v3/suppression/{name}{tail}", api.guarded(handler), methods=["GET", "DELETE"])
        for name in kind.split("|")
        for tail, handler in (("", api.suppressions), ("/{email}", api.suppression))
    ]
    return [
        Route("/v3/mail/send", api.guarded(api.send, limited=False), methods=["POST"]),
        Route("/v3/mail/batch", api.guarded(api.batch), methods=["POST"]),
        Route("/v3/logs", api.guarded(api.logs), methods=["POST"]),
        Route("/v3/logs/{sg_message_id}", api.guarded(api.log)),
        Route("/v3/asm/suppressions/global", api.guarded(api.unsubscribe), methods=["POST"]),
        Route("/v3/asm/suppressions/global/{email}", api.guarded(api.unsubscribed), methods=["GET", "DELETE"]),
        Route("/v3/scopes", api.guarded(api.scopes)),
        Route("/v3/verified_senders", api.guarded(api.senders)),
        *suppression,
        Route("/emails", pages.list_emails),
        Route("/emails/{number:int}", pages.show_email),
        Route("/emails/{number:int}/attachments/{n:int}", pages.attachment),
        Route("/sandbox/emails", pages.not_found),
    ]


def error_response(status: int, *problems: RequestError) -> Response:
    """Return an error in SendGrid's form."""
    body = {"errors": [{"message": error.message, "field": error.field} for error in problems]}
    return JSONResponse(body, status)


class _Api:
    def __init__(self, service: SendGrid) -> None:
        self._service = service

    def guarded(self, handler: Endpoint, *, limited: bool = True) -> Endpoint:
        """Check the key first and, except for mail/send, count the request against the rate limit."""

        async def endpoint(request: Request) -> Response:
            service = self._service
            key = request.headers.get("authorization", "").removeprefix("Bearer ")
            with service.core.lock:
                scopes = service.keys.get(key)
                left = service.limit.count_request(service.core.clock.now()) if limited else {}
            if scopes is None:
                message = "The provided authorization grant is invalid, expired, or revoked"
                return error_response(401, RequestError(message))
            if "*" not in scopes and request.url.path.split("/")[2] not in scopes:
                return error_response(403, RequestError("access forbidden"))
            if left and int(left["X-RateLimit-Remaining"]) < 0:
                reply = error_response(429, RequestError("too many requests"))
                left["X-RateLimit-Remaining"] = "0"
            else:
                reply = await handler(request)
            reply.headers.update(left)
            return reply

        return endpoint

    async def send(self, request: Request) -> Response:
        """Accept or reject an email; sandbox mode replies 200 and does nothing."""
        if not request.headers.get("content-type", "").startswith("application/json"):
            return error_response(415, RequestError("Content-Type should be application/json."))
        raw = await request.body()
        if len(raw) > EMAIL_BYTES_MAX:
            return error_response(413, RequestError("Payload Too Large"))
        try:
            body = json.loads(gzip.decompress(raw) if request.headers.get("content-encoding") == "gzip" else raw)
        except (ValueError, RecursionError, OSError, EOFError, zlib.error):
            return error_response(400, RequestError("Bad Request"))
        service = self._service
        with service.core.lock:
            found = find_errors(body, service.core.clock.now())
            if found:
                return error_response(400, *found)
            if service.senders and body["from"]["email"].lower() not in service.senders:
                message = "The from address does not match a verified Sender Identity."
                return error_response(403, RequestError(message, "from"))
            settings = body.get("mail_settings") or {}
            if (settings.get("sandbox_mode") or {}).get("enable"):
                return Response(status_code=200)
            message_id = service.store.accept(body)
        return Response(status_code=202, headers={"X-Message-Id": message_id})

    async def batch(self, _request: Request) -> Response:
        """Return a new batch id."""
        return JSONResponse({"batch_id": self._service.new_batch()}, 201)

    async def logs(self, request: Request) -> Response:
        """Search the logs."""
        service = self._service
        try:
            data = json.loads(await request.body() or b"{}")
            limit = int(data.get("limit", LIMIT_DEFAULT))
            if not 1 <= limit <= LIMIT_MAX:
                return error_response(400, RequestError(f"limit must be between 1 and {LIMIT_MAX}", "limit"))
            with service.core.lock:
                now = service.core.clock.now()
                known = lambda message: is_in_logs(message, service.logs_lag, now)  # noqa: E731 - one line, used once
                return JSONResponse({"messages": search(service.store, data.get("query", ""), limit, known)})
        except (ValueError, AttributeError, TypeError) as error:
            return error_response(400, RequestError(str(error), "query"))

    async def log(self, request: Request) -> Response:
        """Return one message with its events."""
        service = self._service
        with service.core.lock:
            message = service.store.messages.get(request.path_params["sg_message_id"])
            if message is None or not is_in_logs(message, service.logs_lag, service.core.clock.now()):
                return error_response(404, RequestError("message not found"))
            return JSONResponse(build_detail(message, service.store.email_of(message.sg_message_id)))

    async def suppressions(self, request: Request) -> Response:
        """Return a suppression list, or delete from it."""
        name = request.url.path.split("/")[3]
        listed = self._service.store.lists[name]
        if request.method == "GET":
            return _list_response(request, name, listed)
        try:
            data = json.loads(await request.body() or b"{}")
            emails = [*listed] if data.get("delete_all") else [str(email).lower() for email in data["emails"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            return error_response(400, RequestError("emails or delete_all is required"))
        with self._service.core.lock:
            for email in emails:
                listed.pop(email, None)
        return Response(status_code=204)

    async def suppression(self, request: Request) -> Response:
        """Return the entry of an address on a list (an empty list if there is none), or delete it."""
        name = request.url.path.split("/")[3]
        email = request.path_params["email"].lower()
        with self._service.core.lock:
            entry = self._service.store.lists[name].get(email)
            if request.method == "GET":
                return JSONResponse([_entry_json(name, entry)] if entry else [])
            self._service.store.lists[name].pop(email, None)
        return Response(status_code=204) if entry else error_response(404, RequestError("email not found"))

    async def unsubscribe(self, request: Request) -> Response:
        """Add addresses to the global unsubscribe list."""
        try:
            emails = [str(email) for email in json.loads(await request.body())["recipient_emails"]]
        except (ValueError, KeyError, TypeError):
            return error_response(400, RequestError("recipient_emails is required", "recipient_emails"))
        with self._service.core.lock:
            for email in emails:
                self._service.store.suppress("unsubscribes", email)
        return JSONResponse({"recipient_emails": emails}, 201)

    async def unsubscribed(self, request: Request) -> Response:
        """Return the entry of an address on it (an empty object if there is none), or delete it."""
        email = request.path_params["email"].lower()
        listed = self._service.store.lists["unsubscribes"]
        with self._service.core.lock:
            if request.method == "GET":
                return JSONResponse({"recipient_email": email} if email in listed else {})
            listed.pop(email, None)
        return Response(status_code=204)

    async def scopes(self, request: Request) -> Response:
        """Return the scopes of the API key."""
        key = request.headers["authorization"].removeprefix("Bearer ")
        scopes = self._service.keys[key]
        every = ["mail.send", "email_activity.read", "suppression.read", "suppression.delete", "verified_senders.read"]
        return JSONResponse({"scopes": every if "*" in scopes else [f"{scope}.send" for scope in sorted(scopes)]})

    async def senders(self, _request: Request) -> Response:
        """Return the verified senders."""
        found = [
            {"id": n, "nickname": email, "from_email": email, "verified": True, "locked": False}
            for n, email in enumerate(sorted(self._service.senders), 1)
        ]
        return JSONResponse({"results": found})


class _Pages:
    def __init__(self, service: SendGrid) -> None:
        self._service = service

    async def list_emails(self, _request: Request) -> Response:
        return HTMLResponse(list_page(self._service.emails()), headers=_SECURITY_HEADERS)

    async def show_email(self, request: Request) -> Response:
        emails, number = self._service.emails(), request.path_params["number"]
        if not 1 <= number <= len(emails):
            return HTMLResponse(missing_page(), 404)
        return HTMLResponse(email_page(emails[number - 1], len(emails)), headers=_SECURITY_HEADERS)

    async def attachment(self, request: Request) -> Response:
        emails, number, n = self._service.emails(), request.path_params["number"], request.path_params["n"]
        if not 1 <= number <= len(emails) or n >= len(emails[number - 1].attachments):
            return HTMLResponse(missing_page(), 404)
        part = emails[number - 1].attachments[n]
        name = "".join(
            letter for letter in part.filename if letter.isascii() and letter.isprintable() and letter not in '"\\'
        )
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
        return Response(part.content, headers=headers, media_type=part.content_type)

    async def not_found(self, _request: Request) -> Response:
        return RedirectResponse("/emails", 307)


def _list_response(request: Request, name: str, listed: dict[str, Suppression]) -> Response:
    query = request.query_params
    try:
        first, last = int(query.get("start_time", 0)), int(query.get("end_time", 2**40))
        limit, offset = min(int(query.get("limit", PAGE_MAX)), PAGE_MAX), int(query.get("offset", 0))
    except ValueError:
        return error_response(400, RequestError("start_time, end_time, limit and offset are integers"))
    part = query.get("email", "").lower()
    found = [entry for entry in listed.values() if first <= entry.created <= last and part in entry.email]
    return JSONResponse([_entry_json(name, entry) for entry in found[offset : offset + limit]])


def _entry_json(name: str, entry: Suppression) -> JsonObject:
    body = {key: value for key, value in asdict(entry).items() if key in _ENTRY_FIELDS[name]}
    return body | ({"ip": "192.0.2.77"} if name == "spam_reports" else {})
