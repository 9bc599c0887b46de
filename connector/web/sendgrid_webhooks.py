"""What SendGrid posts: signed delivery events.

Nothing is answered with 2xx before it is committed: what is rejected or fails is posted again, and counts once.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from connector.app_context import AppContext
from connector.emails.inbound import events as inbound_events
from connector.web.bodies import BodyTooLarge, note_rejection, read_whole
from providers.sendgrid import webhook

EVENTS_BYTES_MAX = 2 * 2**20  # SendGrid posts at most 768 kB


def add_sendgrid_webhooks(web_app: FastAPI, app: AppContext) -> None:
    """Register the route to enter at SendGrid."""

    async def events(request: Request) -> Response:
        key = app.settings.sendgrid_webhook_public_key
        if not key:
            return _text_response(404, "SENDGRID_WEBHOOK_PUBLIC_KEY is not set")
        try:
            body = await read_whole(request, EVENTS_BYTES_MAX)
            signature, timestamp = (request.headers.get(name, "") for name in (webhook.SIGNATURE, webhook.TIMESTAMP))
            webhook.verify_signature(key, signature, timestamp, body)
        except (BodyTooLarge, ClientDisconnect):
            return _text_response(413, "body too large")
        except webhook.WebhookError as problem:
            note_rejection(request, "rejected at /webhooks/sendgrid", str(problem))
            return _text_response(401, str(problem))
        try:
            events = webhook.parse_events(body, app.now())
        except webhook.WebhookError as problem:
            return _text_response(400, str(problem))
        await run_in_threadpool(inbound_events.receive_events, app, events)
        return _text_response(200, "ok")

    web_app.add_route("/webhooks/sendgrid", events, methods=["POST"], include_in_schema=False)


def _text_response(code: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=code)
