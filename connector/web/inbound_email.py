"""The door for customers' replies, which SendGrid posts unsigned: the reply address is all the proof there is.

Bank statements come by it as well, to an address of their own, and only signed.

It is looked for first, in the raw bytes; without a known one nothing is decoded. What a known one brings is read in a
process of its own, within seconds; what cannot be read there is kept as unreadable, because a refusal would only be
repeated for three days. Nothing is answered with 2xx before it is committed.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from connector import bounded_work
from connector.app_context import AppContext
from connector.bounded_work import Work, WorkFailed, WorkRefused
from connector.emails.inbound import replies, statement_emails
from connector.emails.inbound.posted_email import KeptBody, find_boundary, find_reply_tokens
from connector.emails.inbound.posted_statement import StatementEmail
from connector.emails.inbound.reply_parsing import Reply, unreadable_reply
from connector.rate_limit import RateLimiter
from connector.web.bodies import BodyTooLarge, note_rejection, read_limited
from providers.sendgrid import webhook

log = logging.getLogger("duewell.web")
BYTES_MAX = 32 * 2**20  # an email with its attachments: SendGrid accepts 30 MB
# How much of a body is read before one of our addresses is found in it. It stands at the beginning, unless it is a
# blind copy's: then only in the envelope, which a raw email has at its end. So what says that it is not much larger is
# read to its end. What has no length may come in pieces, which cost.
UNKNOWN_BYTES_MAX, UNKNOWN_LENGTH_MAX = 4 * 2**20, 12 * 2**20
READING_S = 5.0
PER_TOKEN_MAX, PER_SENDER_MAX = 20, 60  # emails read per hour; a help desk writes for many customers
_HOUR = timedelta(hours=1)
_DIGITS_MAX = 12
_DOMAIN_MISSING = "MAIL_REPLY_DOMAIN is not set"


class _Door:
    def __init__(self, app: AppContext) -> None:
        self.app = app
        self.by_token = RateLimiter(PER_TOKEN_MAX, _HOUR, app.now)
        self.by_sender = RateLimiter(PER_SENDER_MAX, _HOUR, app.now)

    async def handle(self, request: Request) -> Response:
        """Answer a request: 200 also to an unknown address, because SendGrid repeats whatever is refused."""
        domain = self.app.settings.mail_reply_domain
        boundary = find_boundary(request.headers.get("content-type", ""))
        if not domain:
            return _respond(404, _DOMAIN_MISSING)
        if not boundary:
            note_rejection(request, "rejected at /webhooks/sendgrid-inbound", "not a multipart form")
            return _respond(400, "not a multipart form")
        body, tokens = KeptBody(), None
        is_bounded = _length_of(request) <= UNKNOWN_LENGTH_MAX
        try:
            async for chunk in read_limited(request, BYTES_MAX):
                body.add(chunk)
                if tokens is None and not is_bounded and body.size > UNKNOWN_BYTES_MAX:
                    tokens = await self._known_tokens(body, domain)
                    if not tokens:  # one may come last: so it is not taken and dropped
                        note_rejection(request, "rejected at /webhooks/sendgrid-inbound", "large and to nobody known")
                        return _respond(413, "too large for an email to no reply address of ours")
        except (BodyTooLarge, ClientDisconnect):
            return _respond(413, "body too large")
        tokens = await self._known_tokens(body, domain) if tokens is None else tokens
        if not tokens:
            company = await run_in_threadpool(statement_emails.find_company, self.app, body.content())
            if company is not None:
                return await self._take_statement(request, boundary, body, company)
            note_rejection(request, "dropped an email", "to no reply address of ours")
            return _respond(200, "ok")
        try:
            await run_in_threadpool(self._receive, boundary, body.content(), tokens)
        except WorkRefused:
            return _respond(503, "busy; try again")
        return _respond(200, "ok")

    async def _known_tokens(self, body: KeptBody, domain: str) -> list[str]:
        tokens = find_reply_tokens(body.content(), domain)
        return await run_in_threadpool(replies.known_tokens, self.app, tokens) if tokens else []

    async def _take_statement(self, request: Request, boundary: str, body: KeptBody, company: int) -> Response:
        """Take an email to a company's address for bank statements, if SendGrid signed it and it is kept whole."""
        content = body.content()
        if not self.by_token.try_acquire(f"bank {company}"):
            return _respond(503, "busy; try again")
        if len(content) < body.size:
            await run_in_threadpool(statement_emails.report_refusal, self.app, company, statement_emails.TOO_LARGE)
            return _respond(200, "ok")
        try:
            signature, timestamp = (request.headers.get(name, "") for name in (webhook.SIGNATURE, webhook.TIMESTAMP))
            webhook.verify_signature(self.app.settings.sendgrid_inbound_public_key, signature, timestamp, content)
        except webhook.WebhookError as problem:
            note_rejection(request, "rejected a bank statement at /webhooks/sendgrid-inbound", str(problem))
            return _respond(401, str(problem))
        try:
            work = bounded_work.Request(Work.READ_STATEMENT, content, READING_S, boundary)
            email = await run_in_threadpool(bounded_work.worker.run, work, StatementEmail)
        except WorkRefused:
            return _respond(503, "busy; try again")
        except WorkFailed as problem:
            reason = f"it could not be read ({problem})"
            await run_in_threadpool(statement_emails.report_refusal, self.app, company, reason)
            return _respond(200, "ok")
        await run_in_threadpool(statement_emails.receive, self.app, company, email)
        return _respond(200, "ok")

    def _receive(self, boundary: str, content: bytes, tokens: list[str]) -> None:
        if not all(list(map(self.by_token.try_acquire, tokens))):  # each is counted
            replies.record_omitted(self.app, tokens)
            return
        reply = self._read(boundary, content, tokens)
        if reply.sender and not self.by_sender.try_acquire(reply.sender.lower()):
            replies.record_omitted(self.app, [token for token, _domain in reply.to])
            return
        replies.receive_reply(self.app, reply)

    def _read(self, boundary: str, content: bytes, tokens: list[str]) -> Reply:
        """Return the email, or what stands for it where it cannot be read."""
        request = bounded_work.Request(Work.READ_REPLY, content, READING_S, boundary)
        try:
            return bounded_work.worker.run(request, Reply)
        except WorkFailed as problem:
            log.warning("a reply could not be read (%s); it is kept as unreadable", problem)
            domain = self.app.settings.mail_reply_domain
            same_again = content.replace(boundary.encode(), b"")  # each posting has another boundary
            return unreadable_reply(hashlib.sha256(same_again).hexdigest(), tokens, domain)


def add_inbound_email(web_app: FastAPI, app: AppContext) -> None:
    """Register the route to enter at SendGrid."""
    door = _Door(app)
    web_app.add_route("/webhooks/sendgrid-inbound", door.handle, methods=["POST"], include_in_schema=False)


def _length_of(request: Request) -> int:
    """Return how long a body is said to be; too long where it is not said."""
    said = request.headers.get("content-length", "")
    return int(said) if said.isdecimal() and len(said) <= _DIGITS_MAX else BYTES_MAX


def _respond(code: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=code)
