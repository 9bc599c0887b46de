"""API tokens: created by a user, shown once, stored as a hash; limited to a scope and to companies, and revocable."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import reading, writing
from connector.db.tables import ApiToken, Connection
from connector.results import Result
from connector.vocabulary import LogKind, TokenScope, TokenState
from connector.vocabulary.labels import in_sentence, label
from policies.formatting import format_date

SCOPES = {
    TokenScope.READ: "can read everything of its companies",
    TokenScope.WRITE: "can also approve, reject and resolve, and record agreements and customer settings",
    TokenScope.ADMIN: "can also change modes, set policies and disconnect companies",
}
DAYS_DEFAULT, DAYS_MAX = 365, 3660
TOKEN_PREFIX = "duewell_"  # noqa: S105 - no secret
_PREFIX_LENGTH = len(TOKEN_PREFIX) + 6
_LAST_USED_PRECISION = timedelta(minutes=5)  # so that a request that only reads rarely writes


class ApiTokenError(Exception):
    """A token cannot be created or revoked; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ApiClient:
    """The program behind a token. ``scopes`` are all it has; ``companies`` is None for every company."""

    id: int
    name: str
    scopes: frozenset[TokenScope]
    companies: frozenset[int] | None

    @property
    def actor(self) -> str:
        """The name that the sync log shows."""
        return f"the API token {self.name}"

    def has_scope(self, scope: TokenScope) -> bool:
        """Return whether the token includes ``scope``."""
        return scope in self.scopes

    def can_see(self, connection_id: int | None) -> bool:
        """Return whether the token covers a company; what belongs to no company is for tokens of all companies."""
        return self.companies is None or connection_id in self.companies


class ApiTokenItem(Result):
    """An API token as lists show it, without the token itself."""

    id: int
    name: str
    prefix: str
    scopes: list[TokenScope]
    companies: list[str] | None
    state: TokenState
    expires_at: datetime | None
    used_at: datetime | None
    created_at: datetime
    created_by: str


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
    """Create a token with ``scope`` and the lesser ones; return its row and the token, which is not stored.

    Raises:
        ApiTokenError: the name, the scope or the days are not valid.

    """
    name = " ".join(name.split())[:80]
    if not name:
        raise ApiTokenError("Name the token after what it is for.")
    if scope not in SCOPES:
        raise ApiTokenError(f"There is no scope {scope!r}; choose one of {', '.join(SCOPES)}.")
    if not 1 <= days <= DAYS_MAX:
        raise ApiTokenError(f"A token can be valid for 1 to {DAYS_MAX} days.")
    expires_at, token = at + timedelta(days=days), TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(
        name=name,
        token_hash=_hash(token),
        prefix=token[:_PREFIX_LENGTH],
        scopes=" ".join(list(TokenScope)[: list(TokenScope).index(TokenScope(scope)) + 1]),
        companies=None if companies is None else sorted(set(companies)),
        expires_at=expires_at,
        created_by=by,
        created_at=at,
    )
    session.add(row)
    session.flush()
    granted = in_sentence(label(TokenScope(scope)))
    text = (
        f"{by} created the API token {name} ({row.prefix}…) with the scope {granted}, until {format_date(expires_at)}."
    )
    sync_log.write(session, at=at, kind=LogKind.TOKEN_CREATED, text=text)
    return row, token


def revoke(session: Session, token_id: int, *, by: str, at: datetime) -> ApiToken:
    """Revoke a token; its row stays, so that the names in the log can be looked up."""
    row = session.get(ApiToken, token_id)
    if row is None:
        raise ApiTokenError(f"There is no API token {token_id}. List them with: duewell tokens list")
    if row.revoked_at is None:
        row.revoked_at = at
        sync_log.write(session, at=at, kind=LogKind.TOKEN_REVOKED, text=f"{by} revoked the API token {row.name}.")
    return row


def authenticate(app: AppContext, token: str) -> ApiClient | None:
    """Return the client of a valid token, else None."""
    if not token.startswith(TOKEN_PREFIX):
        return None
    now = app.now()
    with reading(app.engine) as session:
        row = session.scalars(select(ApiToken).where(col(ApiToken.token_hash) == _hash(token))).first()
    if row is None or token_state(row, now) is not TokenState.ACTIVE:
        return None
    if row.used_at is None or now - row.used_at > _LAST_USED_PRECISION:
        with writing(app.engine) as session:
            session.get_one(ApiToken, row.id).used_at = now
    companies = None if row.companies is None else frozenset(row.companies)
    return ApiClient(row.id or 0, row.name, frozenset(map(TokenScope, row.scopes.split())), companies)


def token_state(row: ApiToken, now: datetime) -> TokenState:
    """Return whether a token is valid, or why not."""
    if row.revoked_at is not None:
        return TokenState.REVOKED
    return TokenState.EXPIRED if row.expires_at is not None and row.expires_at <= now else TokenState.ACTIVE


def list_api_tokens(session: Session, now: datetime) -> list[ApiTokenItem]:
    """Return all tokens, newest first."""
    rows = session.scalars(select(ApiToken).order_by(col(ApiToken.id).desc()))
    return [describe(session, row, now) for row in rows]


def describe(session: Session, row: ApiToken, now: datetime) -> ApiTokenItem:
    """Return a token as lists show it."""
    return ApiTokenItem(
        id=row.id or 0,
        name=row.name,
        prefix=row.prefix,
        scopes=[TokenScope(scope) for scope in row.scopes.split()],
        companies=None if row.companies is None else _short_names(session, row.companies),
        state=token_state(row, now),
        expires_at=row.expires_at,
        used_at=row.used_at,
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _short_names(session: Session, ids: Sequence[int]) -> list[str]:
    query = select(col(Connection.short_name)).where(col(Connection.id).in_(ids)).order_by(col(Connection.id))
    return list(session.scalars(query))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()  # a token is 256 random bits: a slow hash would gain nothing
