"""The unguessable part of links in emails and of reply addresses; each is about one customer of one company.

A token is a signature, so nobody without the key can make one, and it can be made again for the next email. Only its
hash is stored, by which it is found and stays valid when the key is rotated: whoever reads the database or a backup
gets no link. The tokens for stopping reminders and for replies are always the same for a customer, so a restored
database can make those anew that were first sent after its backup; the token for the portal expires, can be revoked,
and is then followed by another one, made with another salt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.tables import Connection, ContactToken, CustomerRow
from connector.setting_types import is_publicly_reachable
from connector.vocabulary import TokenPurpose

PORTAL_TOKEN_LIFETIME = timedelta(days=120)  # longer than the shipped reminder schedule
_PORTAL_LIFETIME_LEFT_MIN = timedelta(days=60)  # with less left, an email contains a new one
_TOKEN_BYTES = 20  # 32 letters and digits, safe in email addresses, where upper and lower case may be lost
TOKEN_LENGTH = 32
_TOKEN = re.compile(rf"([A-Za-z2-7]{{{TOKEN_LENGTH}}})[\s.,;:!?)\]>'\"*_~=-]{{0,5}}")
_SALT_BYTES = 8
_MERGES_MAX = 10


class PortalToken(NamedTuple):
    """A portal token, and its row."""

    token: str
    row: ContactToken


class FoundToken(NamedTuple):
    """A known token and its customer; for a merged customer, the one it was merged into."""

    row: ContactToken
    customer: CustomerRow


def public_url(app: AppContext, path: str) -> str:
    """Return the URL of a path for use in emails; "" where customers cannot reach this installation."""
    base = app.settings.duewell_base_url
    return f"{base}{path}" if is_publicly_reachable(base) else ""


def get_token(app: AppContext, session: Session, connection_id: int, customer_id: str, purpose: TokenPurpose) -> str:
    """Return the customer's token for stopping reminders or for replies, in the caller's transaction."""
    token = _sign_for_customer(app, session.get_one(Connection, connection_id), purpose, customer_id)
    if session.get(ContactToken, hash_token(token)) is None:
        session.add(build_row(app, token, connection_id, customer_id, purpose))
    return token


def recreate_tokens(app: AppContext, session: Session, connection_id: int) -> int:
    """Store what a restored database has lost: the tokens of all customers for stopping reminders and for replies.

    Return how many were missing. One that was made with an earlier key is not among them.
    """
    connection = session.get_one(Connection, connection_id)
    of_company = col(ContactToken.connection_id) == connection_id
    known = set(session.scalars(select(col(ContactToken.token_hash)).where(of_company)))
    customers = list(
        session.scalars(select(col(CustomerRow.external_id)).where(col(CustomerRow.connection_id) == connection_id))
    )
    missing = [
        build_row(app, token, connection_id, customer, purpose)
        for customer in customers
        for purpose in (TokenPurpose.STOP, TokenPurpose.REPLY)
        if hash_token(token := _sign_for_customer(app, connection, purpose, customer)) not in known
    ]
    session.add_all(missing)
    return len(missing)


def get_portal_token(app: AppContext, session: Session, connection_id: int, customer_id: str) -> PortalToken:
    """Return the customer's portal token: the present one while it is valid for long enough, else a new one.

    One made with an earlier key cannot be made again; it stays valid where it was sent, beside the new one.
    """
    now = app.now()
    for row in list_portal_tokens(session, connection_id, customer_id):
        is_lasting = row.expires_at is not None and row.expires_at - now >= _PORTAL_LIFETIME_LEFT_MIN
        if row.revoked_at is None and is_lasting and (token := portal_token_of(app, session, row)):
            return PortalToken(token, row)
    salt = secrets.token_hex(_SALT_BYTES)
    token = _sign_for_customer(app, session.get_one(Connection, connection_id), _portal_subject(salt), customer_id)
    created = build_row(app, token, connection_id, customer_id, TokenPurpose.PORTAL)
    created.salt, created.expires_at = salt, now + PORTAL_TOKEN_LIFETIME
    session.add(created)
    return PortalToken(token, created)


def portal_token_of(app: AppContext, session: Session, row: ContactToken) -> str:
    """Return the token of a row, made again; "" where it was made with an earlier key."""
    token = _sign_for_customer(
        app, session.get_one(Connection, row.connection_id), _portal_subject(row.salt), row.customer_id
    )
    return token if hmac.compare_digest(hash_token(token), row.token_hash) else ""


def hash_token(token: str) -> str:
    """Return the hash under which a token is stored; it has 160 random bits, so a slow hash would gain nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


def list_portal_tokens(session: Session, connection_id: int, customer_id: str) -> list[ContactToken]:
    """Return every portal token a customer ever had, the newest first."""
    query = select(ContactToken).where(
        col(ContactToken.connection_id) == connection_id,
        col(ContactToken.customer_id) == customer_id,
        col(ContactToken.purpose) == TokenPurpose.PORTAL,
    )
    return list(
        session.scalars(query.order_by(col(ContactToken.created_at).desc(), col(ContactToken.expires_at).desc()))
    )


def find_token(session: Session, token: str, purpose: TokenPurpose) -> FoundToken | None:
    """Return a token with its customer, also an expired or revoked one; None for an unknown token."""
    row = find_row(session, token, purpose)
    customer = current_customer(session, row.connection_id, row.customer_id) if row is not None else None
    return FoundToken(row, customer) if row is not None and customer is not None else None


def find_row(session: Session, token: str, purpose: TokenPurpose) -> ContactToken | None:
    """Return the row of a token, also an expired or revoked one; None for an unknown token.

    Email programs take the full stop or bracket after a link for a part of it, and people paste it so.
    """
    found = _TOKEN.fullmatch(token)
    row = session.get(ContactToken, hash_token(found[1].lower())) if found is not None else None
    return row if row is not None and row.purpose == purpose else None


def current_customer(session: Session, connection_id: int, customer_id: str) -> CustomerRow | None:
    """Return a customer or, for a merged one, the customer it was merged into; None for an unknown one."""
    customer = session.get(CustomerRow, (connection_id, customer_id))
    for _merge in range(_MERGES_MAX):
        if customer is None or not customer.merged_into:
            break
        customer = session.get(CustomerRow, (connection_id, customer.merged_into))
    return customer


def find_customer(session: Session, token: str, purpose: TokenPurpose) -> CustomerRow | None:
    """Return the customer of a token for stopping reminders or for replies; None for an unknown or revoked token."""
    found = find_token(session, token, purpose)
    return found.customer if found is not None and found.row.revoked_at is None else None


def _portal_subject(salt: str) -> str:
    return f"{TokenPurpose.PORTAL}:{salt}"


def sign_token(app: AppContext, signed: str) -> str:
    """Return the token for what it stands for, made with the newest key."""
    return base64.b32encode(app.keyring.signature(signed)[:_TOKEN_BYTES]).decode().lower()


def build_row(app: AppContext, token: str, connection_id: int, customer_id: str, purpose: TokenPurpose) -> ContactToken:
    """Return the row that makes a token known."""
    return ContactToken(
        token_hash=hash_token(token),
        connection_id=connection_id,
        customer_id=customer_id,
        purpose=purpose,
        created_at=app.now(),
    )


def _sign_for_customer(app: AppContext, connection: Connection, subject: str, customer_id: str) -> str:
    return sign_token(app, f"{subject}:{connection.provider}:{connection.external_id}:{customer_id}")
