"""What SendGrid posts to us: events of mails (signed), and replies of customers (to addresses only they know).

Nothing is answered with 2xx before it is committed: what is refused or breaks is posted again, and counts once.
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

from connector.installation import Installation
from connector.letters import mail_events, replies, reply_reading
from providers.sendgrid import webhook

log = logging.getLogger("duewell.web")
EVENTS_BYTES_MAX = 2 * 2**20  # SendGrid posts at most 768 kB
REPLY_BYTES_MAX = 32 * 2**20  # a mail with its attachments: SendGrid takes 30 MB
_FIELD_BYTES_MAX = 8 * 2**20
_PARTS_MAX = 200


class TooMuch(Exception):
    """A body larger than any that SendGrid sends."""


def add_webhooks(app: FastAPI, installation: Installation) -> None:
    """Add the two addresses that SendGrid is told."""

    async def events(request: Request) -> Response:
        key = installation.settings.sendgrid_webhook_public_key
        if not key:
            return _say(404, "SENDGRID_WEBHOOK_PUBLIC_KEY is not set")
        try:
            body = b"".join([part async for part in capped(request, EVENTS_BYTES_MAX)])
            signature, timestamp = (request.headers.get(name, "") for name in (webhook.SIGNATURE, webhook.TIMESTAMP))
            webhook.check(key, signature, timestamp, body)
        except (TooMuch, ClientDisconnect):
            return _say(413, "too much")
        except webhook.WebhookError as problem:
            log.warning("refused at /webhooks/sendgrid: %s", problem)
            return _say(401, str(problem))
        try:
            told = webhook.read(body)
        except webhook.WebhookError as problem:
            return _say(400, str(problem))
        await run_in_threadpool(mail_events.receive, installation, told)
        return _say(200, "ok")

    async def inbound(request: Request) -> Response:
        if not installation.settings.mail_reply_domain:
            return _say(404, "MAIL_REPLY_DOMAIN is not set")
        try:
            fields = await _form(request)
        except (TooMuch, ClientDisconnect):
            return _say(413, "too much")
        except (MultiPartException, KeyError, ValueError) as problem:
            log.warning("refused at /webhooks/sendgrid-inbound: %s", problem)
            return _say(400, "this is no form")
        await run_in_threadpool(lambda: replies.receive(installation, reply_reading.read(fields)))
        return _say(200, "ok")  # also for mail to nobody: SendGrid would bring it for three days

    app.add_route("/webhooks/sendgrid", events, methods=["POST"], include_in_schema=False)
    app.add_route("/webhooks/sendgrid-inbound", inbound, methods=["POST"], include_in_schema=False)


async def _form(request: Request) -> dict[str, str]:
    """Read the text fields of a multipart form; attachments pass through a file that is thrown away."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        message = "not multipart"
        raise ValueError(message)
    parser = MultiPartParser(
        Headers(raw=request.headers.raw),
        capped(request, REPLY_BYTES_MAX),
        max_files=_PARTS_MAX,
        max_fields=_PARTS_MAX,
        max_part_size=_FIELD_BYTES_MAX,
    )
    form = await parser.parse()
    try:
        return {name: value for name, value in form.multi_items() if isinstance(value, str)}
    finally:
        await form.close()


async def capped(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """Yield a body's parts; raises ``TooMuch`` beyond ``most`` bytes."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise TooMuch
        yield part


def _say(code: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=code)
