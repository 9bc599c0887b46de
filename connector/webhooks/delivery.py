"""Delivery of webhooks: log entries become deliveries in a table, which are retried until accepted.

This runs beside syncs, never within them. Delivery is at least once: an attempt is recorded before it is made, an
interrupted one is repeated, and a repeated message has the same id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, select, update
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import reading, writing
from connector.db.tables import Connection, SyncLogEntry, WebhookDelivery, WebhookEndpoint
from connector.secrets.keyring import KeyringError
from connector.vocabulary import DeliveryState, LogKind
from connector.webhooks.address_rules import AllowedNetworks, DisallowedAddressError
from connector.webhooks.endpoints import secret_context, url_context
from connector.webhooks.events import LOG_KINDS, build_body, find_event, is_subscribed, message_id
from connector.webhooks.safe_post import PostResult, safe_post

# As Standard Webhooks recommends: about three days in all
RETRY_DELAYS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
_ATTEMPT_LIMIT = timedelta(minutes=2)  # longer than any attempt takes
_RETENTION = timedelta(days=30)
_LINES_PER_PASS, _DELIVERIES_PER_PASS, _FAILURES_PER_PASS = 500, 50, 3  # per pass and endpoint
_HTTP_GONE = 410
Send = Callable[[str, bytes, Mapping[str, str], AllowedNetworks], PostResult]


class _SignedRequest(NamedTuple):
    url: str
    body: bytes
    headers: dict[str, str]


def deliver_pending(app: AppContext, *, send: Send = safe_post) -> int:
    """Make all deliveries that are due, and return how many were accepted."""
    if app.settings.duewell_webhooks == "off":
        return 0
    with reading(app.engine) as session:
        newest = session.scalar(select(func.max(SyncLogEntry.id))) or 0
        rows = list(session.scalars(select(WebhookEndpoint).where(col(WebhookEndpoint.stop_reason) == "")))
    for row in rows:
        if row.last_seen_log_id < newest:
            _enqueue(app, row.id or 0)
    return sum(_send_due(app, row.id or 0, send) for row in rows)


def _enqueue(app: AppContext, endpoint_id: int) -> None:
    """Add deliveries for the log entries since the last pass, and remember the position, in one commit."""
    now = app.now()
    with writing(app.engine) as session:
        endpoint = session.get(WebhookEndpoint, endpoint_id)
        if endpoint is None:
            return
        query = (
            select(SyncLogEntry).where(col(SyncLogEntry.id) > endpoint.last_seen_log_id).order_by(col(SyncLogEntry.id))
        )
        for line in session.scalars(query.limit(_LINES_PER_PASS)):
            endpoint.last_seen_log_id = line.id or 0
            event = find_event(line) if line.kind in LOG_KINDS else None
            if event is not None and is_subscribed(endpoint, line, event):
                session.add(
                    WebhookDelivery(
                        endpoint_id=endpoint_id, log_id=line.id or 0, event=event, next_attempt_at=now, created_at=now
                    )
                )
        session.execute(delete(WebhookDelivery).where(col(WebhookDelivery.ended_at) < now - _RETENTION))


def _send_due(app: AppContext, endpoint_id: int, send: Send) -> int:
    """Send what is due, oldest first; an address that does not answer is not asked for long."""
    taken = missed = 0
    while taken < _DELIVERIES_PER_PASS and missed < _FAILURES_PER_PASS and not app.is_stopping():
        delivery = _claim(app, endpoint_id)
        if delivery is None:
            break
        if _attempt(app, delivery, send):
            taken += 1
        else:
            missed += 1
    return taken


def _claim(app: AppContext, endpoint_id: int) -> WebhookDelivery | None:
    """Record the next attempt before it is made: no other process makes it, and it is repeated if this one dies."""
    now, here = app.now(), WebhookDelivery
    due = (col(here.endpoint_id) == endpoint_id, col(here.state) == "pending", col(here.next_attempt_at) <= now)
    with reading(app.engine) as session:  # usually nothing is due, and no write lock is needed
        row = session.scalars(select(here).where(*due).order_by(col(here.id)).limit(1)).first()
    if row is None:
        return None
    with writing(app.engine) as session:
        marked = update(here).where(col(here.id) == row.id, col(here.attempts) == row.attempts)
        done = session.connection().execute(
            marked.values(attempts=row.attempts + 1, next_attempt_at=now + _ATTEMPT_LIMIT)
        )
        return session.get_one(here, row.id) if done.rowcount == 1 else None


def _attempt(app: AppContext, delivery: WebhookDelivery, send: Send) -> bool:
    try:
        request = _build_request(app, delivery)
        result = send(request.url, request.body, request.headers, app.settings.duewell_webhooks)
    except (DisallowedAddressError, KeyringError) as problem:
        result = PostResult(None, str(problem))
    accepted = result.status is not None and 200 <= result.status < 300
    with writing(app.engine) as session:
        row = session.get(WebhookDelivery, delivery.id)
        if row is not None:  # the endpoint may have been removed meanwhile
            _record_result(session, row, result, app.now(), delivered=accepted)
    return accepted


def _record_result(
    session: Session, row: WebhookDelivery, result: PostResult, now: datetime, *, delivered: bool
) -> None:
    row.status, row.reason = result.status, "" if delivered else result.reason
    if delivered:
        row.state, row.ended_at, row.next_attempt_at = DeliveryState.DONE, now, None
    elif result.status == _HTTP_GONE or row.attempts > len(RETRY_DELAYS):
        row.state, row.ended_at, row.next_attempt_at = DeliveryState.ABANDONED, now, None
        if result.status == _HTTP_GONE or not _has_accepted_since(session, row):
            _stop(session, row, result.reason, now)
    else:
        row.next_attempt_at = now + RETRY_DELAYS[row.attempts - 1]


def _has_accepted_since(session: Session, row: WebhookDelivery) -> bool:
    """Return whether the endpoint accepted anything since this delivery was created."""
    here = WebhookDelivery
    query = select(col(here.id)).where(col(here.endpoint_id) == row.endpoint_id, col(here.state) == "done")
    return session.scalar(query.where(col(here.ended_at) >= row.created_at).limit(1)) is not None


def _stop(session: Session, row: WebhookDelivery, reason: str, now: datetime) -> None:
    endpoint = session.get_one(WebhookEndpoint, row.endpoint_id)
    endpoint.stop_reason = f"{row.attempts} failed attempts, the last one because {reason}"
    text = f"Webhook {endpoint.id} was stopped after {endpoint.stop_reason}."
    sync_log.write(session, at=now, kind=LogKind.WEBHOOK_STOPPED, text=text)


def _build_request(app: AppContext, delivery: WebhookDelivery) -> _SignedRequest:
    """Build a request, signed with the current time as Standard Webhooks specifies."""
    with reading(app.engine) as session:
        endpoint = session.get_one(WebhookEndpoint, delivery.endpoint_id)
        line = session.get_one(SyncLogEntry, delivery.log_id)
        company = session.get(Connection, line.connection_id) if line.connection_id is not None else None
    secret = app.keyring.decrypt(endpoint.secret, secret_context(endpoint))
    url = app.keyring.decrypt(endpoint.url, url_context(endpoint)).decode()
    if app.keyring.needs_rotation(endpoint.secret):
        with writing(app.engine) as session:
            row = session.get_one(WebhookEndpoint, endpoint.id, with_for_update=True)
            row.secret = app.keyring.encrypt(secret, secret_context(row))
            row.url = app.keyring.encrypt(url.encode(), url_context(row))
    body, name = build_body(line, delivery.event, company), message_id(line)
    timestamp = str(int(app.now().timestamp()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, name, timestamp, body),
    }
    return _SignedRequest(url, body, headers)


def signature(secret: bytes, name: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a message."""
    signed = hmac.digest(secret, f"{name}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"
