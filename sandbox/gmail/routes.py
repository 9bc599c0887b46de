"""The simulated Gmail API over HTTP: the profile, sending, reading, searching and the history of changes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.core import JsonObject
from sandbox.gmail.api_errors import ApiError, missing_scope
from sandbox.gmail.mail import StoredMail
from sandbox.gmail.mailbox import Mailbox, parse_start
from sandbox.gmail.search import matches
from sandbox.gmail.service import Gmail
from sandbox.gmail.signin import PREFIX, Grant

RAW_BYTES_MAX = 36_700_160  # of an upload
JSON_BYTES_MAX = 5 * 2**20
PAGE_DEFAULT, PAGE_MAX = 100, 500
_READ = {"gmail.readonly", "gmail.modify"}
_SEND = {"gmail.send", "gmail.compose", "gmail.modify"}
_BASE = "/gmail/v1/users/{user}"
_KINDS = {"messageAdded": "messagesAdded", "messageDeleted": "messagesDeleted"}
Handler = Callable[[Request, Mailbox, Grant, bytes], JsonObject]


def routes(service: Gmail) -> list[BaseRoute]:
    """Return all routes."""
    api = _Api(service)
    metadata = _READ | {"gmail.metadata"}
    send = api.guarded(api.send, 100, _SEND)
    return [
        *service.sign_in.routes(),
        Route(f"{_BASE}/profile", api.guarded(api.profile, 1, metadata | {"gmail.compose"})),
        Route(f"{_BASE}/messages/send", send, methods=["POST"]),
        Route(f"/upload{_BASE}/messages/send", send, methods=["POST"]),
        Route(f"{_BASE}/messages", api.guarded(api.list_messages, 5, metadata)),
        Route(f"{_BASE}/messages/{{id}}", api.guarded(api.get_message, 5, metadata)),
        Route(f"{_BASE}/threads/{{id}}", api.guarded(api.get_thread, 10, metadata)),
        Route(f"{_BASE}/history", api.guarded(api.list_history, 2, metadata)),
        Route(f"{_BASE}/labels", api.guarded(api.list_labels, 1, metadata)),
        Route(f"{_BASE}/settings/sendAs", api.guarded(api.list_aliases, 1, _READ)),
    ]


class _Api:
    def __init__(self, service: Gmail) -> None:
        self._service = service

    def guarded(self, handler: Handler, units: int, scopes: set[str]) -> Callable[[Request], object]:
        """Check token, scopes, account and quota before a call."""
        allowed = {PREFIX + name for name in scopes} | {"https://mail.google.com/"}

        async def endpoint(request: Request) -> Response:
            body = await request.body()
            service = self._service
            with service.core.lock:
                try:
                    grant = service.sign_in.grant_of(request)
                    if not allowed & set(grant.scopes):
                        raise missing_scope()
                    if request.path_params["user"] not in {"me", grant.address}:
                        raise ApiError(403, "forbidden", f"Delegation denied for {grant.address}")
                    service.count_units(grant.address, units)
                    return JSONResponse(handler(request, service.mailboxes[grant.address], grant, body))
                except ApiError as error:
                    return error.response()

        return endpoint

    def profile(self, _request: Request, box: Mailbox, _grant: Grant, _body: bytes) -> JsonObject:
        threads = {email.thread_id for email in box.emails.values()}
        return {
            "emailAddress": box.address,
            "messagesTotal": len(box.emails),
            "threadsTotal": len(threads),
            "historyId": str(box.history_id),
        }

    def send(self, request: Request, box: Mailbox, _grant: Grant, body: bytes) -> JsonObject:
        raw, thread_id = _uploaded(request, body) if request.url.path.startswith("/upload") else _posted(body)
        if thread_id and thread_id not in {email.thread_id for email in box.emails.values()}:
            raise ApiError(404, "notFound", "Requested entity was not found.")
        sent = self._service.send(box.address, raw, thread_id)
        return {**sent.short(), "labelIds": list(sent.labels)}

    def list_messages(self, request: Request, box: Mailbox, grant: Grant, _body: bytes) -> JsonObject:
        query = request.query_params
        if query.get("q") and not _may_read(grant):
            raise ApiError(403, "forbidden", "Metadata scope does not support 'q' parameter")
        indexed_until = self._service.core.clock.now() - self._service.behaviour.search_lag
        hidden = query.get("includeSpamTrash") == "true"
        found = [
            email
            for email in reversed(box.emails.values())
            if (not query.get("q") or email.at <= indexed_until)
            and set(query.getlist("labelIds")) <= set(email.labels)
            and matches(email, query.get("q", ""), include_hidden=hidden)
        ]
        size, start = _page(request)
        page: JsonObject = {"resultSizeEstimate": len(found)}
        if shown := found[start : start + size]:
            page["messages"] = [email.short() for email in shown]
        return page | _next_page(start + size, len(found))

    def get_message(self, request: Request, box: Mailbox, grant: Grant, _body: bytes) -> JsonObject:
        return _show(request, box.get(request.path_params["id"]), grant)

    def get_thread(self, request: Request, box: Mailbox, grant: Grant, _body: bytes) -> JsonObject:
        if request.query_params.get("format") == "raw":
            raise ApiError(400, "invalidArgument", "Invalid value at 'format'")
        emails = box.thread(request.path_params["id"])
        shown = [_show(request, email, grant) for email in emails]
        return {"id": emails[0].thread_id, "historyId": str(emails[-1].history_id), "messages": shown}

    def list_history(self, request: Request, box: Mailbox, _grant: Grant, _body: bytes) -> JsonObject:
        query = request.query_params
        kinds = {_KINDS[kind] for kind in query.getlist("historyTypes") if kind in _KINDS}
        changes = box.changes_since(parse_start(query.get("startHistoryId", "")), kinds)
        size, start = _page(request)
        page: JsonObject = {"historyId": str(box.history_id)}
        if self._service.behaviour.empty_pages and "pageToken" not in query:
            return page | {"nextPageToken": "0"}
        if shown := changes[start : start + size]:
            page["history"] = [
                {
                    "id": str(change.history_id),
                    "messages": [{name: change.email[name] for name in ("id", "threadId")}],
                    change.kind: [{"message": change.email}],
                }
                for change in shown
            ]
        return page | _next_page(start + size, len(changes))

    def list_labels(self, _request: Request, _box: Mailbox, _grant: Grant, _body: bytes) -> JsonObject:
        names = ("INBOX", "SENT", "SPAM", "TRASH", "UNREAD", "DRAFT")
        return {"labels": [{"id": name, "name": name, "type": "system"} for name in names]}

    def list_aliases(self, _request: Request, box: Mailbox, _grant: Grant, _body: bytes) -> JsonObject:
        primary = {"sendAsEmail": box.address, "isPrimary": True, "isDefault": True}
        others = [
            {"sendAsEmail": alias.address, "treatAsAlias": True}
            | ({"verificationStatus": alias.status} if alias.status else {})
            for alias in box.aliases
        ]
        return {"sendAs": [primary, *others]}


def _posted(body: bytes) -> tuple[bytes, str]:
    if len(body) > JSON_BYTES_MAX:
        raise ApiError(413, "uploadTooLarge", "Request Entity Too Large")
    try:
        fields = json.loads(body)
        raw = base64.urlsafe_b64decode(fields["raw"] + "=" * (-len(fields["raw"]) % 4))
    except (ValueError, KeyError, TypeError, binascii.Error):
        message = "'raw' RFC822 payload message string or uploading message via /upload/* URL required"
        raise ApiError(400, "invalidArgument", message) from None
    return raw, str(fields.get("threadId", ""))


def _uploaded(request: Request, body: bytes) -> tuple[bytes, str]:
    if request.query_params.get("uploadType") != "media":
        raise ApiError(400, "badRequest", "the sandbox knows only uploadType=media")
    if not request.headers.get("content-type", "").startswith("message/"):
        raise ApiError(400, "badContent", f"Media type '{request.headers.get('content-type')}' is not supported.")
    if len(body) > RAW_BYTES_MAX:
        raise ApiError(413, "uploadTooLarge", "Upload too large.")
    return body, ""


def _show(request: Request, email: StoredMail, grant: Grant) -> JsonObject:
    """Return an email in the format of the request; ``fields`` are not simulated."""
    query = request.query_params
    wanted = query.get("format", "full")
    shown: JsonObject = {
        **email.short(),
        "labelIds": list(email.labels),
        "historyId": str(email.history_id),
        "internalDate": str(int(email.at.timestamp() * 1000)),
        "sizeEstimate": len(email.raw),
    }
    if wanted in {"raw", "full"} and not _may_read(grant):
        raise ApiError(403, "forbidden", f"Metadata scope doesn't allow format {wanted.upper()}")
    if wanted == "raw":
        return shown | {"raw": base64.urlsafe_b64encode(email.raw).decode()}
    if wanted == "minimal":
        return shown
    names = {name.lower() for name in query.getlist("metadataHeaders")}
    headers = [
        {"name": name, "value": str(value)}
        for name, value in email.parsed.items()
        if wanted == "full" or not names or name.lower() in names
    ]
    payload: JsonObject = {
        "partId": "",
        "mimeType": email.parsed.get_content_type(),
        "filename": "",
        "headers": headers,
    }
    return shown | {"payload": payload}


def _may_read(grant: Grant) -> bool:
    """Return whether the scopes cover more than metadata. Gmail refuses where metadata is the only one that reads."""
    return bool({PREFIX + name for name in _READ} & set(grant.scopes))


def _page(request: Request) -> tuple[int, int]:
    query = request.query_params
    try:
        size, start = int(query.get("maxResults", PAGE_DEFAULT)), int(query.get("pageToken", "0"))
    except ValueError:
        raise ApiError(400, "badRequest", "Invalid pageToken") from None
    return min(max(size, 1), PAGE_MAX), start


def _next_page(end: int, total: int) -> JsonObject:
    return {"nextPageToken": str(end)} if end < total else {}
