"""Webhook endpoints: the addresses that an owner added, each with its own secret."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import writing
from connector.db.tables import SyncLogEntry, WebhookDelivery, WebhookEndpoint
from connector.secrets.keyring import KeyringError
from connector.vocabulary import LogKind
from connector.webhooks.events import EVENTS
from connector.webhooks.safe_post import check_url

_SECRET_BYTES = 32
_ENDPOINTS_MAX = 20
DELIVERIES_SHOWN = 20
UNREADABLE_URL = "an address whose encryption key is missing"


class EndpointError(Exception):
    """An endpoint cannot be added or changed; ``str()`` says why."""


def add_endpoint(
    app: AppContext,
    url: str,
    *,
    events: Collection[str] | None = None,
    companies: Collection[int] | None = None,
    by: str,
) -> tuple[int, str]:
    """Add an endpoint that receives events from now on; return its id and its secret, which is not shown again."""
    check_url(url, app.settings.duewell_webhooks)
    unknown = set(events or ()) - set(EVENTS)
    if unknown:
        raise EndpointError(f"Unknown events: {', '.join(sorted(unknown))}.")
    now, secret = app.now(), secrets.token_bytes(_SECRET_BYTES)
    with writing(app.engine) as session:
        if (session.scalar(select(func.count()).select_from(WebhookEndpoint)) or 0) >= _ENDPOINTS_MAX:
            raise EndpointError(f"There are already {_ENDPOINTS_MAX} webhooks. Remove one first.")
        row = WebhookEndpoint(
            events=sorted(events) if events else None,
            companies=None if companies is None else sorted(set(companies)),
            last_seen_log_id=session.scalar(select(func.max(SyncLogEntry.id))) or 0,
            created_by=by,
            created_at=now,
        )
        session.add(row)
        session.flush()
        row.secret = app.keyring.encrypt(secret, secret_context(row))
        row.url = app.keyring.encrypt(url.encode(), url_context(row))
        sync_log.write(session, at=now, kind=LogKind.WEBHOOK_CREATED, text=f"{by} added a webhook to {_host(url)}.")
        return row.id or 0, format_secret(secret)


def remove_endpoint(app: AppContext, endpoint_id: int, *, by: str) -> None:
    """Remove an endpoint with its deliveries."""
    with writing(app.engine) as session:
        row = _get_endpoint(session, endpoint_id)
        session.execute(delete(WebhookDelivery).where(col(WebhookDelivery.endpoint_id) == endpoint_id))
        session.delete(row)
        text = f"{by} removed the webhook to {_host(read_url(app, row))}."
        sync_log.write(session, at=app.now(), kind=LogKind.WEBHOOK_REMOVED, text=text)


def resume_endpoint(app: AppContext, endpoint_id: int, *, by: str) -> None:
    """Start a stopped endpoint again; it also receives what happened meanwhile."""
    with writing(app.engine) as session:
        row = _get_endpoint(session, endpoint_id)
        row.stop_reason = ""
        text = f"{by} started the webhook to {_host(read_url(app, row))} again."
        sync_log.write(session, at=app.now(), kind=LogKind.WEBHOOK_CREATED, text=text)


def send_test(app: AppContext, endpoint_id: int, *, by: str) -> None:
    """Send a ``test`` event to an endpoint."""
    with writing(app.engine) as session:
        row = _get_endpoint(session, endpoint_id)
        text = f"{by} sent a test event to {_host(read_url(app, row))}."
        sync_log.write(session, at=app.now(), kind=LogKind.WEBHOOK_TESTED, text=text, facts={"endpoint": row.id})


class ListedEndpoint(NamedTuple):
    """An endpoint with its URL and its latest deliveries, newest first."""

    row: WebhookEndpoint
    url: str
    deliveries: list[WebhookDelivery]


def list_endpoints(app: AppContext, session: Session) -> list[ListedEndpoint]:
    """List the endpoints."""
    rows = list(session.scalars(select(WebhookEndpoint).order_by(col(WebhookEndpoint.id))))
    return [ListedEndpoint(row, read_url(app, row), list(session.scalars(_deliveries(row)))) for row in rows]


def read_url(app: AppContext, row: WebhookEndpoint) -> str:
    """Return an endpoint's URL, to be shown; a sentence where its key is missing."""
    try:
        return app.keyring.decrypt(row.url, url_context(row)).decode()
    except KeyringError:
        return UNREADABLE_URL


def secret_context(row: WebhookEndpoint) -> str:
    """Return the associated data of an endpoint's secret, which cannot be decrypted in another row."""
    return f"webhook_endpoint|{row.id}|secret|v1"


def url_context(row: WebhookEndpoint) -> str:
    """Return the associated data of an endpoint's URL."""
    return f"webhook_endpoint|{row.id}|url|v1"


def format_secret(secret: bytes) -> str:
    """Format a secret as Standard Webhooks specifies."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def _deliveries(row: WebhookEndpoint) -> Any:
    query = select(WebhookDelivery).where(col(WebhookDelivery.endpoint_id) == row.id)
    return query.order_by(col(WebhookDelivery.id).desc()).limit(DELIVERIES_SHOWN)


def _get_endpoint(session: Session, endpoint_id: int) -> WebhookEndpoint:
    row = session.get(WebhookEndpoint, endpoint_id)
    if row is None:
        raise EndpointError("Webhook not found.")
    return row


def _host(url: str) -> str:
    """Return the host of an address, whose path may contain a secret; ``UNREADABLE_URL`` stays as it is."""
    return url if url == UNREADABLE_URL else url.partition("://")[2].partition("/")[0].partition("?")[0]
