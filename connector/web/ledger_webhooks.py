"""What ledgers post to us when something changes in their books: checked on the raw bytes, kept, answered, read later.

Xero wants an answer within 5 seconds, Intuit within 3; so nothing is fetched here. A wrong signature is answered with
401, which Xero tests before it sends anything ("intent to receive").
"""

from __future__ import annotations

import logging

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from connector.app_context import AppContext
from connector.sync import webhook_inbox
from connector.web.sendgrid_webhooks import BodyTooLarge, read_limited
from providers.capabilities import InvalidWebhookSignature, WebhookProvider

log = logging.getLogger("duewell.web")
BYTES_MAX = 2 * 2**20


def add_ledger_webhooks(web_app: FastAPI, app: AppContext) -> None:
    """Add the address of each ledger that tells of changes."""
    for name, provider in app.providers.items():
        if isinstance(provider, WebhookProvider):
            _add_route(web_app, app, name, provider)


def _add_route(web_app: FastAPI, app: AppContext, provider_name: str, provider: WebhookProvider) -> None:
    async def told(request: Request) -> Response:
        key = webhook_inbox.signing_key(app, provider_name)
        if not key:
            return Response(f"{provider.webhook_key_setting()} is not set\n", status_code=404, media_type="text/plain")
        try:
            body = b"".join([part async for part in read_limited(request, BYTES_MAX)])
            events = provider.parse_webhook(key, request.headers, body)
        except (BodyTooLarge, ClientDisconnect):
            return Response(status_code=413)
        except InvalidWebhookSignature as problem:
            log.warning("refused at /webhooks/%s: %s", provider_name, problem)
            return Response(status_code=401)
        if events:
            await run_in_threadpool(webhook_inbox.receive_events, app, provider_name, events)
        return Response(status_code=200)

    web_app.add_route(f"/webhooks/{provider_name}", told, methods=["POST"], include_in_schema=False)
