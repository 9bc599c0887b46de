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

from connector import announcements
from connector.installation import Installation
from connector.web.sendgrid import TooMuch, capped
from providers.extras import Announcing, Unsigned

log = logging.getLogger("duewell.web")
BYTES_MAX = 2 * 2**20


def add_ledger_webhooks(app: FastAPI, installation: Installation) -> None:
    """Add the address of each ledger that tells of changes."""
    for name, provider in installation.providers.items():
        if isinstance(provider, Announcing):
            _add(app, installation, name, provider)


def _add(app: FastAPI, installation: Installation, name: str, provider: Announcing) -> None:
    async def told(request: Request) -> Response:
        key = announcements.key_of(installation, name)
        if not key:
            return Response(f"{provider.webhook_setting()} is not set\n", status_code=404, media_type="text/plain")
        try:
            body = b"".join([part async for part in capped(request, BYTES_MAX)])
            events = provider.read_webhook(key, request.headers, body)
        except (TooMuch, ClientDisconnect):
            return Response(status_code=413)
        except Unsigned as problem:
            log.warning("refused at /webhooks/%s: %s", name, problem)
            return Response(status_code=401)
        if events:
            await run_in_threadpool(announcements.receive, installation, name, events)
        return Response(status_code=200)

    app.add_route(f"/webhooks/{name}", told, methods=["POST"], include_in_schema=False)
