"""The simulated Microsoft Graph v1.0 over HTTP: ``/me``, sendMail, messages, their MIME, and the delta of a folder.

Names and rules are those of Microsoft's public reference: what a request may select, filter and expand, what a round of
a delta query returns, and how errors look.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import parseaddr

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.core import JsonObject
from sandbox.microsoft365.exchange import StoredMessage, parse, recipients_of
from sandbox.microsoft365.service import Microsoft365

Endpoint = Callable[[Request], Awaitable[Response]]
REQUEST_BYTES_MAX = 4 * 1024 * 1024
PAGE_SIZE = 10
FOLDERS = ("inbox", "sentitems", "drafts", "junkemail", "deleteditems")
_PROPERTIES = frozenset(
    {
        *("id", "createdDateTime", "lastModifiedDateTime", "changeKey", "categories", "receivedDateTime"),
        *("sentDateTime", "hasAttachments", "internetMessageId", "subject", "bodyPreview", "importance"),
        *("parentFolderId", "conversationId", "conversationIndex", "isDeliveryReceiptRequested"),
        *("isReadReceiptRequested", "isRead", "isDraft", "webLink", "inferenceClassification", "body", "sender"),
        *("from", "toRecipients", "ccRecipients", "bccRecipients", "replyTo", "flag", "internetMessageHeaders"),
        "uniqueBody",
    }
)
_READS_BODIES = ("Mail.Read", "Mail.ReadWrite")
_READS = ("Mail.ReadBasic", *_READS_BODIES)
_RECEIVED = re.compile(r"receivedDateTime (ge|gt) (\S+)")
_INTERNET_ID = re.compile(r"internetMessageId eq '((?:[^']|'')*)'")
_EXPANDED = re.compile(r"singleValueExtendedProperties\(\$filter=(.+)\)")
_PROPERTY_ID = re.compile(r"id eq '([^']+)'")
_STANDARD_PROPERTIES = {"string 0x1042": "In-Reply-To", "string 0x1039": "References"}


class GraphError(Exception):
    """An error in Graph's form."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        """Hold the status, the code and the message of a reply."""
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


def routes(service: Microsoft365) -> list[BaseRoute]:
    """Return the endpoints of Graph."""
    api = _Api(service)
    return [
        Route("/v1.0/me", api.guarded(api.me, "User.Read")),
        Route("/v1.0/me/sendMail", api.guarded(api.send_mail, "Mail.Send"), methods=["POST"]),
        Route("/v1.0/me/messages", api.guarded(api.list_messages, *_READS)),
        Route("/v1.0/me/messages/{id}/$value", api.guarded(api.read_mime, *_READS_BODIES)),
        Route("/v1.0/me/mailFolders/{folder}/messages", api.guarded(api.list_messages, *_READS)),
        Route("/v1.0/me/mailFolders/{folder}/messages/delta", api.guarded(api.delta, *_READS)),
    ]


class _Api:
    def __init__(self, service: Microsoft365) -> None:
        self._service = service

    def guarded(self, handler: Endpoint, *scopes: str) -> Endpoint:
        """Check token, scope and limits first; answer errors in Graph's form."""

        async def endpoint(request: Request) -> Response:
            service, trace = self._service, secrets.token_hex(8)
            try:
                with service.core.lock:
                    granted = service.signin.scopes_of(request)
                    if granted is None:
                        raise GraphError(401, "InvalidAuthenticationToken", "Access token has expired or is not valid.")
                    if not set(scopes) & set(granted):
                        raise GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
                    if wait := service.limits.count_request(service.core.clock.now()):
                        raise GraphError(
                            429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.",
                            **{"Retry-After": str(wait)},
                        )  # fmt: skip
                reply = await handler(request)
            except GraphError as error:
                inner = {"date": service.core.clock.now().strftime("%Y-%m-%dT%H:%M:%S"), "request-id": trace}
                body = {"error": {"code": error.code, "message": str(error), "innerError": inner}}
                reply = JSONResponse(body, error.status, headers=error.headers)
            reply.headers["request-id"] = trace
            return reply

        return endpoint

    async def me(self, _request: Request) -> Response:
        """Return the signed-in user."""
        address = self._service.mailbox.address
        return JSONResponse(
            {
                "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users(id,mail,userPrincipalName)/$entity",
                "id": self._service.mailbox.account_id,
                "mail": address,
                "userPrincipalName": address,
            }
        )

    async def send_mail(self, request: Request) -> Response:
        """Accept a message in MIME, encoded in base64."""
        content_type = request.headers.get("content-type", "").partition(";")[0]
        if content_type != "text/plain":
            raise GraphError(415, "RequestBodyRead", "This simulation takes messages as MIME only (text/plain).")
        raw = await request.body()
        if len(raw) > REQUEST_BYTES_MAX:
            raise GraphError(413, "RequestEntityTooLarge", "The request is too large.")
        try:
            content = base64.b64decode(b"".join(raw.split()), validate=True)
        except binascii.Error:
            raise GraphError(
                400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content."
            ) from None
        message = parse(content)
        with self._service.core.lock:
            self._check_submission(message)
            self._service.mailbox.submit(content)
        return Response(status_code=202)

    def _check_submission(self, message: EmailMessage) -> None:
        service, now = self._service, self._service.core.clock.now()
        recipients, sender = list(recipients_of(message)), parseaddr(str(message.get("From", "")))[1]
        if service.blocked_by:
            raise GraphError(403, service.blocked_by, "Cannot submit message.")
        if not recipients:
            raise GraphError(400, "ErrorInvalidRecipients", "At least one recipient isn't valid.")
        if not service.mailbox.may_send_as(sender):
            raise GraphError(403, "ErrorSendAsDenied", "This account has no right to send as the address in From.")
        match service.limits.count_message(now, len(recipients)):
            case "minute":
                raise GraphError(429, "ApplicationThrottled", "Too many messages in a minute.", **{"Retry-After": "60"})
            case "day":
                raise GraphError(403, "ErrorExceededMessageLimit", "The limit of recipients a day is exceeded.")

    async def list_messages(self, request: Request) -> Response:
        """List messages, of one folder or all; of ``$filter`` only what is used of it here."""
        query, folder = request.query_params, request.path_params.get("folder", "").lower()
        selected = _selected(query.get("$select", ""))
        matched = _INTERNET_ID.fullmatch(query.get("$filter", ""))
        if "$filter" in query and matched is None:
            raise GraphError(400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes.")
        wanted = matched.group(1).replace("''", "'") if matched is not None else None
        with self._service.core.lock:
            found = [
                each
                for each in self._service.mailbox.messages
                if not each.is_deleted
                and folder in {"", each.folder}
                and (wanted is None or str(each.mime.get("Message-ID", "")) == wanted)
            ]
        return JSONResponse(
            {"value": [_message_json(each, selected, ()) for each in found[: int(query.get("$top", 10))]]}
        )

    async def read_mime(self, request: Request) -> Response:
        """Return a message as MIME."""
        with self._service.core.lock:
            found = self._service.mailbox.find(request.path_params["id"])
        if found is None:
            raise GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        return Response(found.content, media_type="text/plain")

    async def delta(self, request: Request) -> Response:
        """Return a page of a round: what came since the token, or all that the first request asks for."""
        service, query = self._service, request.query_params
        folder = request.path_params["folder"].lower()
        if folder not in FOLDERS:
            raise GraphError(404, "ErrorItemNotFound", "The specified folder could not be found in the store.")
        token = query.get("$skiptoken") or query.get("$deltatoken")
        with service.core.lock:
            if token is not None:
                state = service.positions.get(token)
                if state is None:
                    text = "The sync state generation is not found; the data must be synchronized again."
                    raise GraphError(410, "SyncStateNotFound", text)
            else:
                state = _first_round(query)
            return JSONResponse(self._page(request, folder, state, _page_size(request)))

    def _page(self, request: Request, folder: str, state: JsonObject, size: int) -> JsonObject:
        since, received_from = state["number"], state["received_from"]
        changed = [
            each
            for each in self._service.mailbox.messages
            if each.folder == folder and each.number > since and not each.is_deleted
            if received_from is None or each.received_at >= received_from
        ]
        page = changed[:size]
        last = page[-1].number if page else since
        is_end = len(changed) <= size
        token = secrets.token_urlsafe(24)
        self._service.positions[token] = {**state, "number": last}
        kind, name = ("$deltatoken", "@odata.deltaLink") if is_end else ("$skiptoken", "@odata.nextLink")
        base = f"{request.url.scheme}://{request.url.netloc}/v1.0/me/mailFolders/{folder}/messages/delta"
        return {
            "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Collection(message)",
            name: f"{base}?{kind}={token}",
            "value": [_message_json(each, state["selected"], state["expanded"]) for each in page],
        }


def _first_round(query: object) -> JsonObject:
    """Return what the first request of a round asks for; its options stand in every token after it."""
    get = query.get  # type: ignore[attr-defined]
    if get("changeType", "created") not in {"created", "updated", "deleted"}:
        raise GraphError(400, "BadRequest", "changeType must be created, updated or deleted.")
    received_from = None
    if text := get("$filter"):
        matched = _RECEIVED.fullmatch(text)
        if matched is None:
            raise GraphError(
                400, "ErrorInvalidUrlQueryFilter", "Only receivedDateTime can be filtered in a delta query."
            )
        received_from = datetime.fromisoformat(matched.group(2)).astimezone(UTC)
    return {
        "number": 0,
        "received_from": received_from,
        "selected": _selected(get("$select", "")),
        "expanded": _expanded(get("$expand", "")),
    }


def _page_size(request: Request) -> int:
    matched = re.search(r"odata\.maxpagesize=(\d+)", request.headers.get("prefer", ""))
    return int(matched.group(1)) if matched is not None else PAGE_SIZE


def _selected(text: str) -> tuple[str, ...]:
    names = tuple(each.strip() for each in text.split(",") if each.strip())
    if unknown := set(names) - _PROPERTIES:
        text = f"Could not find a property named '{min(unknown)}' on type 'Microsoft.OutlookServices.Message'."
        raise GraphError(400, "RequestBroker--ParseUri", text)
    return names


def _expanded(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    matched = _EXPANDED.fullmatch(text)
    if matched is None:
        raise GraphError(400, "RequestBroker--ParseUri", "Parsing $select and $expand failed.")
    return tuple(_PROPERTY_ID.findall(matched.group(1)))


def _message_json(stored: StoredMessage, selected: tuple[str, ...], expanded: tuple[str, ...]) -> JsonObject:
    mime = stored.mime
    sender, address = parseaddr(str(mime.get("From", "")))
    every: JsonObject = {
        "id": stored.id,
        "receivedDateTime": stored.received_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "internetMessageId": str(mime.get("Message-ID", "")),
        "subject": str(mime.get("Subject", "")),
        "conversationId": stored.conversation_id,
        "isDraft": stored.is_draft,
        "from": {"emailAddress": {"name": sender, "address": address}},
        "bodyPreview": "…",
    }
    body = {name: value for name, value in every.items() if not selected or name in selected or name == "id"}
    properties = [
        {"id": name, "value": value} for name in expanded if (value := _extended_property(stored, mime, name))
    ]
    if properties:
        body["singleValueExtendedProperties"] = properties
    return {"@odata.type": "#microsoft.graph.message", "@odata.etag": f'W/"{stored.number}"', **body}


def _extended_property(stored: StoredMessage, mime: EmailMessage, name: str) -> str:
    if name.lower() in {"string 0x001a", "string 0x1a"}:
        return stored.message_class
    header = _STANDARD_PROPERTIES.get(name.lower(), "")
    return str(mime.get(header, "")) if header else ""
