"""The links to customers' own pages: made for mails and by hand, found again, revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlmodel import Session

from connector import sync_log
from connector.access.connections import DISCONNECTED
from connector.database import reading, writing
from connector.installation import Installation
from connector.letters import contact_tokens
from connector.letters.plain_text import one_line
from connector.tables import Connection, ContactToken, CustomerRow, ErasedCustomer

_PATH = "/c/{}"
_GOOD, _OVER, _REVOKED = "good", "over", "revoked"


class Opened(NamedTuple):
    """Whose page a link opens, by the ids of the mirror; ``over`` where the link was good once."""

    connection_id: int
    customer_id: str
    over: bool


def in_mail(installation: Installation, session: Session, connection_id: int, customer_id: str) -> str:
    """Give the address that a mail carries; "" where the customer could not reach it. In the caller's transaction."""
    if not contact_tokens.address(installation, "/"):
        return ""
    token = contact_tokens.page_token(installation, session, connection_id, customer_id).token
    return contact_tokens.address(installation, _PATH.format(token))


def give(installation: Installation, connection_id: int, customer_id: str, *, by: str) -> dict[str, Any]:
    """Give a customer's link to a person who wants to send it himself, and say so in the log."""
    with writing(installation.engine) as session:
        customer = session.get_one(CustomerRow, (connection_id, customer_id))
        row = contact_tokens.page_token(installation, session, connection_id, customer_id)
        _tell(installation, session, customer, f"{by} asked for the link to the own page of {one_line(customer.name)}.")
        return {**_shown(installation, row), "customer": customer.name, "id": customer_id}


def revoke(installation: Installation, connection_id: int, customer_id: str, *, by: str) -> int:
    """End every link of a customer that is good, and return how many; his next mail carries a new one."""
    now = installation.now()
    with writing(installation.engine) as session:
        customer = session.get_one(CustomerRow, (connection_id, customer_id))
        rows = contact_tokens.page_tokens(session, connection_id, customer_id)
        good = [row for row in rows if _state(row, now) == _GOOD]
        for row in good:
            row.revoked_at = now
        if good:
            said = f"{by} revoked the {'link' if len(good) == 1 else 'links'} to the own page of"
            _tell(installation, session, customer, f"{said} {one_line(customer.name)}.")
        return len(good)


def listing(installation: Installation, session: Session, connection_id: int, customer_id: str) -> list[dict[str, Any]]:
    """List a customer's links, the newest first: since when, until when, and whether they are good."""
    rows = contact_tokens.page_tokens(session, connection_id, customer_id)
    return [_shown(installation, row) for row in rows]


def opened(installation: Installation, token: str) -> Opened | None:
    """Find whose page a link opens. None for a guess; changes nothing."""
    with reading(installation.engine) as session:
        held = contact_tokens.find(session, token, contact_tokens.PAGE)
        if held is None:
            return None
        here = (held.customer.connection_id, held.customer.external_id)
        gone = (
            session.get_one(Connection, here[0]).health == DISCONNECTED
            or session.get(ErasedCustomer, here) is not None
            or held.customer.deleted
        )
        return Opened(*here, over=gone or _state(held.row, installation.now()) != _GOOD)


def _state(row: ContactToken, now: datetime) -> str:
    if row.revoked_at is not None:
        return _REVOKED
    return _GOOD if row.expires_at is not None and now < row.expires_at else _OVER


def _shown(installation: Installation, row: ContactToken) -> dict[str, Any]:
    state = _state(row, installation.now())
    base = installation.settings.duewell_base_url
    return {
        "link": f"{base}{_PATH.format(row.token)}" if state == _GOOD else "",
        "state": state,
        "made_at": row.made_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
    }


def _tell(installation: Installation, session: Session, customer: CustomerRow, text: str) -> None:
    sync_log.write(
        session,
        at=installation.now(),
        kind="customer_link",
        text=text,
        connection_id=customer.connection_id,
        customer_id=customer.external_id,
    )
