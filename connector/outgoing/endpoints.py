"""The addresses that are told what happens: entered by an owner, each with its own secret, ended by him."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection
from typing import Any

from sqlalchemy import delete, func, select
from sqlmodel import Session, col

from connector import sync_log
from connector.database import writing
from connector.installation import Installation
from connector.outgoing.events import EVENTS, TEST_KIND
from connector.outgoing.post import check
from connector.tables import SyncLogEntry, WebhookDelivery, WebhookEndpoint

_SECRET_BYTES = 32
_MOST = 20
SHOWN_MAX = 20


class EndpointError(Exception):
    """An endpoint that cannot be added or changed so; ``str()`` says why."""


def add(
    installation: Installation,
    url: str,
    *,
    events: Collection[str] | None = None,
    companies: Collection[int] | None = None,
    by: str,
) -> tuple[int, str]:
    """Add an address; what happens from now on is told to it. Returns its id, and its secret, once and for all."""
    check(url, installation.settings.duewell_webhooks)
    strange = set(events or ()) - set(EVENTS)
    if strange:
        raise EndpointError(f"There is no event {', '.join(sorted(strange))}.")
    now, secret = installation.now(), secrets.token_bytes(_SECRET_BYTES)
    with writing(installation.engine) as session:
        if (session.scalar(select(func.count()).select_from(WebhookEndpoint)) or 0) >= _MOST:
            raise EndpointError(f"There are {_MOST} addresses already; remove one first.")
        row = WebhookEndpoint(
            url=url,
            events=sorted(events) if events else None,
            companies=None if companies is None else sorted(set(companies)),
            told_to=session.scalar(select(func.max(SyncLogEntry.id))) or 0,
            made_by=by,
            made_at=now,
        )
        session.add(row)
        session.flush()
        row.secret = installation.keyring.encrypt(secret, bound_to(row))
        sync_log.write(session, at=now, kind="webhook_made", text=f"{by} has {_host(url)} told what happens.")
        return row.id or 0, written(secret)


def remove(installation: Installation, endpoint_id: int, *, by: str) -> None:
    """Tell an address nothing any more, and forget it."""
    with writing(installation.engine) as session:
        row = _get(session, endpoint_id)
        session.execute(delete(WebhookDelivery).where(col(WebhookDelivery.endpoint_id) == endpoint_id))
        session.delete(row)
        text = f"{by} has {_host(row.url)} told nothing any more."
        sync_log.write(session, at=installation.now(), kind="webhook_removed", text=text)


def start_again(installation: Installation, endpoint_id: int, *, by: str) -> None:
    """Tell an address again that was given up: what happened meanwhile, too."""
    with writing(installation.engine) as session:
        row = _get(session, endpoint_id)
        row.stopped_why = ""
        text = f"{by} has {_host(row.url)} told again what happens."
        sync_log.write(session, at=installation.now(), kind="webhook_made", text=text)


def send_test(installation: Installation, endpoint_id: int, *, by: str) -> None:
    """Let an address get the event ``test``."""
    with writing(installation.engine) as session:
        row = _get(session, endpoint_id)
        text = f"{by} tried the webhook to {_host(row.url)}."
        sync_log.write(session, at=installation.now(), kind=TEST_KIND, text=text, facts={"endpoint": row.id})


def listing(session: Session) -> list[tuple[WebhookEndpoint, list[WebhookDelivery]]]:
    """List the addresses, each with its last deliveries, newest first."""
    rows = list(session.scalars(select(WebhookEndpoint).order_by(col(WebhookEndpoint.id))))
    return [(row, list(session.scalars(_deliveries(row)))) for row in rows]


def bound_to(row: WebhookEndpoint) -> str:
    """Name the place a secret belongs to: moved to another row it cannot be opened."""
    return f"webhook_endpoint|{row.id}|secret|v1"


def written(secret: bytes) -> str:
    """Write a secret as Standard Webhooks does."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def _deliveries(row: WebhookEndpoint) -> Any:
    query = select(WebhookDelivery).where(col(WebhookDelivery.endpoint_id) == row.id)
    return query.order_by(col(WebhookDelivery.id).desc()).limit(SHOWN_MAX)


def _get(session: Session, endpoint_id: int) -> WebhookEndpoint:
    row = session.get(WebhookEndpoint, endpoint_id)
    if row is None:
        raise EndpointError("There is no such address.")
    return row


def _host(url: str) -> str:
    """Name an address without its path, which may hold a secret of its own."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0]
