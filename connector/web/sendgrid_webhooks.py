"""What SendGrid posts: signed delivery events, and customers' replies to their own reply addresses.

Nothing is answered with 2xx before it is committed: what is rejected or fails is posted again, and counts once.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from connector.app_context import AppContext
from connector.emails.inbound import events as inbound_events
from connector.emails.inbound import replies, reply_parsing
from providers.sendgrid import webhook

log = logging.getLogger("duewell.web")
EVENTS_BYTES_MAX = 2 * 2**20  # SendGrid posts at most 768 kB
REPLY_BYTES_MAX = 32 * 2**20  # an email with its attachments: SendGrid accepts 30 MB
_FIELD_BYTES_MAX = 8 * 2**20
_PARTS_MAX = 200


class BodyTooLarge(Exception):
    """A body larger than any that SendGrid posts."""


def add_sendgrid_webhooks(web_app: FastAPI, app: AppContext) -> None:
    """Register the two routes to enter at SendGrid."""

    async def events(request: Request) -> Response:
        key = app.settings.sendgrid_webhook_public_key
        if not key:
            return _text_response(404, "SENDGRID_WEBHOOK_PUBLIC_KEY is not set")
        try:
            body = b"".join([part async for part in read_limited(request, EVENTS_BYTES_MAX)])
            signature, timestamp = (request.headers.get(name, "") for name in (webhook.SIGNATURE, webhook.TIMESTAMP))
            webhook.verify_signature(key, signature, timestamp, body)
        except (BodyTooLarge, ClientDisconnect):
            return _text_response(413, "body too large")
        except webhook.WebhookError as problem:
            log.warning("rejected at /webhooks/sendgrid: %s", problem)
            return _text_response(401, str(problem))
        try:
            events = webhook.parse_events(body)
        except webhook.WebhookError as problem:
            return _text_response(400, str(problem))
        await run_in_threadpool(inbound_events.receive_events, app, events)
        return _text_response(200, "ok")

    async def inbound(request: Request) -> Response:
        if not app.settings.mail_reply_domain:
            return _text_response(404, "MAIL_REPLY_DOMAIN is not set")
        try:
            fields = await _read_form(request)
        except (BodyTooLarge, ClientDisconnect):
            return _text_response(413, "body too large")
        except (MultiPartException, KeyError, ValueError) as problem:
            log.warning("rejected at /webhooks/sendgrid-inbound: %s", problem)
            return _text_response(400, "not a multipart form")
        await run_in_threadpool(lambda: replies.receive_reply(app, reply_parsing.parse_reply(fields)))
        return _text_response(200, "ok")  # also to an unknown address: SendGrid would retry for three days

    web_app.add_route("/webhooks/sendgrid", events, methods=["POST"], include_in_schema=False)
    web_app.add_route("/webhooks/sendgrid-inbound", inbound, methods=["POST"], include_in_schema=False)


async def _read_form(request: Request) -> dict[str, str]:
    """Return the text fields of a multipart form; attachments are spooled to a file and discarded."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        message = "not multipart"
        raise ValueError(message)
    parser = MultiPartParser(
        Headers(raw=request.headers.raw),
        read_limited(request, REPLY_BYTES_MAX),
        max_files=_PARTS_MAX,
        max_fields=_PARTS_MAX,
        max_part_size=_FIELD_BYTES_MAX,
    )
    form = await parser.parse()
    try:
        return {name: value for name, value in form.multi_items() if isinstance(value, str)}
    finally:
        await form.close()


async def read_limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of a body. Raises ``BodyTooLarge`` beyond ``limit`` bytes."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise BodyTooLarge
        yield part


def _text_response(code: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=code)
