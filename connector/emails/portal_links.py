"""Links to the customer portal: created for emails and on request, opened, revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sqlmodel import Session

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import reading, writing
from connector.db.tables import Connection, ContactToken, CustomerRow, ErasedCustomer
from connector.emails import contact_tokens
from connector.plain_text import one_line
from connector.vocabulary import ConnectionHealth, LogKind, TokenPurpose

_PATH = "/c/{}"


class LinkState(StrEnum):
    """Whether a portal link can be used."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


class PortalVisitor(NamedTuple):
    """Whose portal a link opens; ``expired`` where it no longer opens it."""

    connection_id: int
    customer_id: str
    expired: bool


@dataclass(frozen=True, slots=True)
class PortalLink:
    """A customer's link to the portal. ``id`` is the customer's.

    ``link`` is "" once it cannot be used, and after a change of keys: only its hash is stored, and it works where it
    was sent.
    """

    id: str
    customer: str
    link: str
    state: LinkState
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def link_for_email(app: AppContext, session: Session, connection_id: int, customer_id: str) -> str:
    """Return the link to put into an email, in the caller's transaction; "" where customers could not reach it."""
    if not contact_tokens.public_url(app, "/"):
        return ""
    token, _row = contact_tokens.get_portal_token(app, session, connection_id, customer_id)
    return contact_tokens.public_url(app, _PATH.format(token))


def create_link(app: AppContext, connection_id: int, customer_id: str, *, by: str) -> PortalLink:
    """Return a customer's link for a user to pass on, and log it."""
    with writing(app.engine) as session:
        customer = session.get_one(CustomerRow, (connection_id, customer_id))
        token, row = contact_tokens.get_portal_token(app, session, connection_id, customer_id)
        _log(app, session, customer, f"{by} requested the portal link of {one_line(customer.name)}.")
        return _describe_link(app, customer, row, token)


def revoke_links(app: AppContext, connection_id: int, customer_id: str, *, by: str) -> int:
    """Revoke every valid link of a customer and return how many; the next email contains a new one."""
    now = app.now()
    with writing(app.engine) as session:
        customer = session.get_one(CustomerRow, (connection_id, customer_id))
        rows = contact_tokens.list_portal_tokens(session, connection_id, customer_id)
        valid = [row for row in rows if _link_state(row, now) is LinkState.VALID]
        for row in valid:
            row.revoked_at = now
        if valid:
            links = "portal link" if len(valid) == 1 else "portal links"
            _log(app, session, customer, f"{by} revoked the {links} of {one_line(customer.name)}.")
        return len(valid)


def list_links(app: AppContext, session: Session, connection_id: int, customer_id: str) -> list[PortalLink]:
    """Return a customer's links, the newest first."""
    customer = session.get_one(CustomerRow, (connection_id, customer_id))
    rows = contact_tokens.list_portal_tokens(session, connection_id, customer_id)
    return [_describe_link(app, customer, row, contact_tokens.portal_token_of(app, session, row)) for row in rows]


def open_link(app: AppContext, token: str) -> PortalVisitor | None:
    """Return whose portal a link opens; None for an unknown token. Changes nothing."""
    with reading(app.engine) as session:
        found = contact_tokens.find_token(session, token, TokenPurpose.PORTAL)
        if found is None:
            return None
        key = (found.customer.connection_id, found.customer.external_id)
        is_closed = (
            session.get_one(Connection, key[0]).health == ConnectionHealth.DISCONNECTED
            or session.get(ErasedCustomer, key) is not None
            or found.customer.deleted
        )
        return PortalVisitor(*key, expired=is_closed or _link_state(found.row, app.now()) is not LinkState.VALID)


def _link_state(row: ContactToken, now: datetime) -> LinkState:
    if row.revoked_at is not None:
        return LinkState.REVOKED
    return LinkState.VALID if row.expires_at is not None and now < row.expires_at else LinkState.EXPIRED


def _describe_link(app: AppContext, customer: CustomerRow, row: ContactToken, token: str) -> PortalLink:
    state = _link_state(row, app.now())
    is_known = token and state is LinkState.VALID
    return PortalLink(
        id=customer.external_id,
        customer=customer.name,
        link=f"{app.settings.duewell_base_url}{_PATH.format(token)}" if is_known else "",
        state=state,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _log(app: AppContext, session: Session, customer: CustomerRow, text: str) -> None:
    sync_log.write(
        session,
        at=app.now(),
        kind=LogKind.PORTAL_LINK,
        text=text,
        connection_id=customer.connection_id,
        customer_id=customer.external_id,
    )
