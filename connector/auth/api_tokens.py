"""What programs sign in with: made by a person, shown once, known here only as a hash; limited, ending, revocable."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import reading, writing
from connector.db.tables import ApiToken, Connection
from connector.vocabulary import LogKind
from policies.formatting import format_date

SCOPES = {
    "read": "reads everything of its companies",
    "write": "also approves, rejects, settles, and says what a person may say of customers and invoices",
    "admin": "also switches modes, sets policies and disconnects",
}
DAYS_DEFAULT, DAYS_MAX = 365, 3660
TOKEN_PREFIX = "duewell_"  # noqa: S105 - no secret
_PREFIX_LENGTH = len(TOKEN_PREFIX) + 6
_LAST_USED_PRECISION = timedelta(minutes=5)  # a request that only reads need not write each time


class ApiTokenError(Exception):
    """A token that cannot be made or revoked so; ``str()`` says why and what would do."""


@dataclass(frozen=True, slots=True)
class ApiClient:
    """Who asks by a token, and what it may. ``companies`` is None where it sees all."""

    id: int
    name: str
    scopes: frozenset[str]
    companies: frozenset[int] | None

    @property
    def actor(self) -> str:
        """Name it for the log."""
        return f"the API token {self.name}"

    def has_scope(self, scope: str) -> bool:
        """Tell whether it may do what ``scope`` allows."""
        return scope in self.scopes

    def can_see(self, connection_id: int | None) -> bool:
        """Tell whether a company is among its own; what belongs to no company is for those that see all."""
        return self.companies is None or connection_id in self.companies


def create(
    session: Session,
    name: str,
    scope: str,
    *,
    companies: Collection[int] | None = None,
    days: int = DAYS_DEFAULT,
    by: str,
    at: datetime,
) -> tuple[ApiToken, str]:
    """Make a token that may do ``scope`` and what stands below it; returns its row and the token, once and for all."""
    name = " ".join(name.split())[:80]
    if not name:
        raise ApiTokenError("A token needs a name, by which you know it again: what is it for?")
    if scope not in SCOPES:
        raise ApiTokenError(f"There is no scope {scope!r}; there are {', '.join(SCOPES)}.")
    if not 1 <= days <= DAYS_MAX:
        raise ApiTokenError(f"A token lives between 1 and {DAYS_MAX} days.")
    expires_at, token = at + timedelta(days=days), TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(
        name=name,
        token_hash=_hash(token),
        prefix=token[:_PREFIX_LENGTH],
        scopes=" ".join(list(SCOPES)[: list(SCOPES).index(scope) + 1]),
        companies=None if companies is None else sorted(set(companies)),
        expires_at=expires_at,
        created_by=by,
        created_at=at,
    )
    session.add(row)
    session.flush()
    text = f"{by} made the API token {name} ({row.prefix}…), which {SCOPES[scope]}, until {format_date(expires_at)}."
    sync_log.write(session, at=at, kind=LogKind.TOKEN_CREATED, text=text)
    return row, token


def revoke(session: Session, token_id: int, *, by: str, at: datetime) -> ApiToken:
    """End a token at once; its row stays, so that the log's names mean something."""
    row = session.get(ApiToken, token_id)
    if row is None:
        raise ApiTokenError(f"There is no API token {token_id}; those there are: duewell tokens list")
    if row.revoked_at is None:
        row.revoked_at = at
        sync_log.write(session, at=at, kind=LogKind.TOKEN_REVOKED, text=f"{by} revoked the API token {row.name}.")
    return row


def authenticate(app: AppContext, token: str) -> ApiClient | None:
    """Find who asks by a token that counts."""
    if not token.startswith(TOKEN_PREFIX):
        return None
    now = app.now()
    with reading(app.engine) as session:
        row = session.scalars(select(ApiToken).where(col(ApiToken.token_hash) == _hash(token))).first()
    if row is None or token_state(row, now) != "active":
        return None
    if row.used_at is None or now - row.used_at > _LAST_USED_PRECISION:
        with writing(app.engine) as session:
            session.get_one(ApiToken, row.id).used_at = now
    companies = None if row.companies is None else frozenset(row.companies)
    return ApiClient(row.id or 0, row.name, frozenset(row.scopes.split()), companies)


def token_state(row: ApiToken, now: datetime) -> str:
    """Say whether a token counts: active, expired or revoked."""
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "active"


def list_api_tokens(session: Session, now: datetime) -> list[dict[str, Any]]:
    """List all tokens, newest first; never the tokens themselves."""
    rows = session.scalars(select(ApiToken).order_by(col(ApiToken.id).desc()))
    return [describe(session, row, now) for row in rows]


def describe(session: Session, row: ApiToken, now: datetime) -> dict[str, Any]:
    """Say what a token may, and since when it was not used."""
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": row.scopes.split(),
        "companies": None if row.companies is None else _short_names(session, row.companies),
        "state": token_state(row, now),
        "expires_at": row.expires_at,
        "used_at": row.used_at,
        "created_at": row.created_at,
        "created_by": row.created_by,
    }


def _short_names(session: Session, ids: Sequence[int]) -> list[str]:
    query = select(col(Connection.short_name)).where(col(Connection.id).in_(ids)).order_by(col(Connection.id))
    return list(session.scalars(query))


def _hash(token: str) -> str:
    """A token is 256 random bits: nothing is gained by a slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()
