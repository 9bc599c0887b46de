"""The links to customers' own pages: made for mails and by hand, found again, revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlmodel import Session

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.connections.registry import DISCONNECTED
from connector.db.engine import reading, writing
from connector.db.tables import Connection, ContactToken, CustomerRow, ErasedCustomer
from connector.emails import contact_tokens
from connector.plain_text import one_line
from connector.vocabulary import LogKind, TokenPurpose

_PATH = "/c/{}"
_VALID, _EXPIRED, _REVOKED = "valid", "expired", "revoked"


class PortalVisitor(NamedTuple):
    """Whose page a link opens, by the ids of the mirror; ``over`` where the link was good once."""

    connection_id: int
    customer_id: str
    expired: bool


def link_for_email(app: AppContext, session: Session, connection_id: int, customer_id: str) -> str:
    """Give the address that a mail carries; "" where the customer could not reach it. In the caller's transaction."""
    if not contact_tokens.public_url(app, "/"):
        return ""
    token = contact_tokens.get_portal_token(app, session, connection_id, customer_id).token
    return contact_tokens.public_url(app, _PATH.format(token))


def create_link(app: AppContext, connection_id: int, customer_id: str, *, by: str) -> dict[str, Any]:
    """Give a customer's link to a person who wants to send it himself, and say so in the log."""
    with writing(app.engine) as session:
        customer = session.get_one(CustomerRow, (connection_id, customer_id))
        row = contact_tokens.get_portal_token(app, session, connection_id, customer_id)
        _log(app, session, customer, f"{by} asked for the link to the own page of {one_line(customer.name)}.")
        return {**_describe_link(app, row), "customer": customer.name, "id": customer_id}


def revoke_links(app: AppContext, connection_id: int, customer_id: str, *, by: str) -> int:
    """End every link of a customer that is good, and return how many; his next mail carries a new one."""
    now = app.now()
    with writing(app.engine) as session:
        customer = session.get_one(CustomerRow, (connection_id, customer_id))
        rows = contact_tokens.list_portal_tokens(session, connection_id, customer_id)
        good = [row for row in rows if _link_state(row, now) == _VALID]
        for row in good:
            row.revoked_at = now
        if good:
            said = f"{by} revoked the {'link' if len(good) == 1 else 'links'} to the own page of"
            _log(app, session, customer, f"{said} {one_line(customer.name)}.")
        return len(good)


def list_links(app: AppContext, session: Session, connection_id: int, customer_id: str) -> list[dict[str, Any]]:
    """List a customer's links, the newest first: since when, until when, and whether they are good."""
    rows = contact_tokens.list_portal_tokens(session, connection_id, customer_id)
    return [_describe_link(app, row) for row in rows]


def open_link(app: AppContext, token: str) -> PortalVisitor | None:
    """Find whose page a link opens. None for a guess; changes nothing."""
    with reading(app.engine) as session:
        held = contact_tokens.find_token(session, token, TokenPurpose.PORTAL)
        if held is None:
            return None
        here = (held.customer.connection_id, held.customer.external_id)
        gone = (
            session.get_one(Connection, here[0]).health == DISCONNECTED
            or session.get(ErasedCustomer, here) is not None
            or held.customer.deleted
        )
        return PortalVisitor(*here, expired=gone or _link_state(held.row, app.now()) != _VALID)


def _link_state(row: ContactToken, now: datetime) -> str:
    if row.revoked_at is not None:
        return _REVOKED
    return _VALID if row.expires_at is not None and now < row.expires_at else _EXPIRED


def _describe_link(app: AppContext, row: ContactToken) -> dict[str, Any]:
    state = _link_state(row, app.now())
    base = app.settings.duewell_base_url
    return {
        "link": f"{base}{_PATH.format(row.token)}" if state == _VALID else "",
        "state": state,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
    }


def _log(app: AppContext, session: Session, customer: CustomerRow, text: str) -> None:
    sync_log.write(
        session,
        at=app.now(),
        kind=LogKind.PORTAL_LINK,
        text=text,
        connection_id=customer.connection_id,
        customer_id=customer.external_id,
    )
