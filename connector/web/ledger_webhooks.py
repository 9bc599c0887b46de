"""The webhooks that accounting systems call when data changes: verified on the raw bytes, stored, and read later.

Xero expects a response within 5 seconds and Intuit within 3, so nothing is fetched here. A wrong signature is answered
with 401, which Xero tests before it sends any event ("intent to receive").
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from connector.app_context import AppContext
from connector.sync import webhook_inbox
from connector.web.bodies import BodyTooLarge, note_rejection, read_whole
from providers.capabilities import InvalidWebhookSignature, WebhookProvider

BYTES_MAX = 2 * 2**20


def add_ledger_webhooks(web_app: FastAPI, app: AppContext) -> None:
    """Add the webhook address of each provider that sends change notifications."""
    for name, provider in app.providers.items():
        if isinstance(provider, WebhookProvider):
            _add_route(web_app, app, name, provider)


def _add_route(web_app: FastAPI, app: AppContext, provider_name: str, provider: WebhookProvider) -> None:
    async def receive(request: Request) -> Response:
        key = webhook_inbox.signing_key(app, provider_name)
        if not key:
            return Response(f"{provider.webhook_key_setting()} is not set\n", status_code=404, media_type="text/plain")
        try:
            body = await read_whole(request, BYTES_MAX)
            events = provider.parse_webhook(key, request.headers, body)
        except (BodyTooLarge, ClientDisconnect):
            return Response(status_code=413)
        except InvalidWebhookSignature as error:
            note_rejection(request, f"rejected at /webhooks/{provider_name}", str(error))
            return Response(status_code=401)
        if events:
            await run_in_threadpool(webhook_inbox.receive_events, app, provider_name, events)
        return Response(status_code=200)

    web_app.add_route(f"/webhooks/{provider_name}", receive, methods=["POST"], include_in_schema=False)
