"""The addresses that are told what happens: entered by an owner, each with its own secret, ended by him."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection
from typing import Any

from sqlalchemy import delete, func, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import writing
from connector.db.tables import SyncLogEntry, WebhookDelivery, WebhookEndpoint
from connector.vocabulary import LogKind
from connector.webhooks.events import EVENTS
from connector.webhooks.safe_post import check_url

_SECRET_BYTES = 32
_ENDPOINTS_MAX = 20
DELIVERIES_SHOWN = 20


class EndpointError(Exception):
    """An endpoint that cannot be added or changed so; ``str()`` says why."""


def add_endpoint(
    app: AppContext,
    url: str,
    *,
    events: Collection[str] | None = None,
    companies: Collection[int] | None = None,
    by: str,
) -> tuple[int, str]:
    """Add an address; what happens from now on is told to it. Returns its id, and its secret, once and for all."""
    check_url(url, app.settings.duewell_webhooks)
    strange = set(events or ()) - set(EVENTS)
    if strange:
        raise EndpointError(f"There is no event {', '.join(sorted(strange))}.")
    now, secret = app.now(), secrets.token_bytes(_SECRET_BYTES)
    with writing(app.engine) as session:
        if (session.scalar(select(func.count()).select_from(WebhookEndpoint)) or 0) >= _ENDPOINTS_MAX:
            raise EndpointError(f"There are {_ENDPOINTS_MAX} addresses already; remove one first.")
        row = WebhookEndpoint(
            url=url,
            events=sorted(events) if events else None,
            companies=None if companies is None else sorted(set(companies)),
            last_seen_log_id=session.scalar(select(func.max(SyncLogEntry.id))) or 0,
            created_by=by,
            created_at=now,
        )
        session.add(row)
        session.flush()
        row.secret = app.keyring.encrypt(secret, encryption_context(row))
        sync_log.write(session, at=now, kind=LogKind.WEBHOOK_CREATED, text=f"{by} has {_host(url)} told what happens.")
        return row.id or 0, format_secret(secret)


def remove_endpoint(app: AppContext, endpoint_id: int, *, by: str) -> None:
    """Tell an address nothing any more, and forget it."""
    with writing(app.engine) as session:
        row = _get_endpoint(session, endpoint_id)
        session.execute(delete(WebhookDelivery).where(col(WebhookDelivery.endpoint_id) == endpoint_id))
        session.delete(row)
        text = f"{by} has {_host(row.url)} told nothing any more."
        sync_log.write(session, at=app.now(), kind=LogKind.WEBHOOK_REMOVED, text=text)


def resume_endpoint(app: AppContext, endpoint_id: int, *, by: str) -> None:
    """Tell an address again that was given up: what happened meanwhile, too."""
    with writing(app.engine) as session:
        row = _get_endpoint(session, endpoint_id)
        row.stop_reason = ""
        text = f"{by} has {_host(row.url)} told again what happens."
        sync_log.write(session, at=app.now(), kind=LogKind.WEBHOOK_CREATED, text=text)


def send_test(app: AppContext, endpoint_id: int, *, by: str) -> None:
    """Let an address get the event ``test``."""
    with writing(app.engine) as session:
        row = _get_endpoint(session, endpoint_id)
        text = f"{by} tried the webhook to {_host(row.url)}."
        sync_log.write(session, at=app.now(), kind=LogKind.WEBHOOK_TESTED, text=text, facts={"endpoint": row.id})


def list_endpoints(session: Session) -> list[tuple[WebhookEndpoint, list[WebhookDelivery]]]:
    """List the addresses, each with its last deliveries, newest first."""
    rows = list(session.scalars(select(WebhookEndpoint).order_by(col(WebhookEndpoint.id))))
    return [(row, list(session.scalars(_deliveries(row)))) for row in rows]


def encryption_context(row: WebhookEndpoint) -> str:
    """Name the place a secret belongs to: moved to another row it cannot be opened."""
    return f"webhook_endpoint|{row.id}|secret|v1"


def format_secret(secret: bytes) -> str:
    """Write a secret as Standard Webhooks does."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def _deliveries(row: WebhookEndpoint) -> Any:
    query = select(WebhookDelivery).where(col(WebhookDelivery.endpoint_id) == row.id)
    return query.order_by(col(WebhookDelivery.id).desc()).limit(DELIVERIES_SHOWN)


def _get_endpoint(session: Session, endpoint_id: int) -> WebhookEndpoint:
    row = session.get(WebhookEndpoint, endpoint_id)
    if row is None:
        raise EndpointError("There is no such address.")
    return row


def _host(url: str) -> str:
    """Name an address without its path, which may hold a secret of its own."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0]
