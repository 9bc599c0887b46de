"""The access tokens of a grant: stored encrypted, refreshed by one process at a time, saved before they are used.

A refresh token may become invalid when it is used, so a lost response can lose the company. Therefore: one lock per
grant, the token read again under it, ``refresh_started_at`` committed before the call, and the old token kept until the
provider has rejected it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from filelock import FileLock, Timeout
from sqlalchemy import select, text
from sqlmodel import Session, col

import providers
from connector.app_context import AppContext, UncountedCalls
from connector.audit import sync_log
from connector.db.engine import reading, writing
from connector.db.tables import Connection, Grant
from connector.secrets.keyring import KeyringError
from connector.secrets.private_files import private_folder
from connector.vocabulary import ConnectionHealth, LogKind
from policies.formatting import format_date
from providers.calls import CallObserver
from providers.errors import AuthorizationExpired, OutcomeUnknown, ProviderError, TransientError
from providers.sign_in import GRANT_LIFETIME, AccessToken, JsonObject

EXPIRY_MARGIN = timedelta(seconds=60)  # a token that expires sooner is refreshed first
WARN_BEFORE_END = timedelta(days=60)
LOCK_WAIT_SECONDS = 120  # longer than a slow refresh
_DEFAULT_LIFETIME_SECONDS = 1800
_ADVISORY_LOCK_CLASS = 0x6475  # PostgreSQL: the class of advisory locks for grants


def store_token(app: AppContext, grant: Grant, token: JsonObject, requested_at: datetime) -> None:
    """Store a new token in the grant's row, encrypted and bound to it; the grant is valid again."""
    now = app.now()
    grant.token = app.keyring.encrypt(json.dumps(token).encode(), associated_data(grant))
    grant.token_expires_at = _expires_at(token, requested_at)
    grant.refreshed_at, grant.refresh_started_at, grant.invalid_reason = now, None, ""
    life = token.get(GRANT_LIFETIME)
    grant.ends_at = requested_at + timedelta(seconds=life) if isinstance(life, int) else None


def token_source(app: AppContext, grant_id: int, calls: CallObserver) -> AccessToken:
    """Return a callable for the current access token, which is cached until it expires or is rejected."""
    kept: tuple[str, datetime] | None = None

    def access_token(*, rejected_token: str | None = None) -> str:
        nonlocal kept
        if kept is None or rejected_token is not None or kept[1] - app.now() <= EXPIRY_MARGIN:
            stored = _load_token(app, grant_id)
            if not stored.is_valid_at(app.now(), rejected_token):
                fresh_token(app, grant_id, calls, rejected_token=rejected_token)
                stored = _load_token(app, grant_id)
            kept = (str(stored.token["access_token"]), stored.grant.token_expires_at or app.now())
        return kept[0]

    return access_token


def fresh_token(
    app: AppContext, grant_id: int, calls: CallObserver, *, rejected_token: str | None = None
) -> JsonObject:
    """Return the grant's token; refresh it first if it is about to expire, was rejected, or a refresh was interrupted.

    Raises:
        AuthorizationExpired: the grant is no longer valid; its companies have to be reconnected.

    """
    stored = _load_token(app, grant_id)
    if stored.is_valid_at(app.now(), rejected_token):
        return stored.token
    with _lock_grant(app, grant_id):
        stored = _load_token(app, grant_id)  # another process may have refreshed it meanwhile
        if stored.is_valid_at(app.now(), rejected_token):
            return stored.token
        return _refresh(app, stored, calls)


def finish_interrupted_refreshes(app: AppContext) -> list[str]:
    """Refresh every grant whose refresh was interrupted, and return the errors: the old token is valid for minutes."""
    with reading(app.engine) as session:
        cut_off = session.scalars(
            select(col(Grant.id)).where(col(Grant.refresh_started_at).is_not(None), col(Grant.invalid_reason) == "")
        ).all()
    failed = []
    for grant_id in cut_off:
        try:
            fresh_token(app, grant_id or 0, UncountedCalls())
        except ProviderError as problem:
            failed.append(str(problem))
    return failed


@dataclass(frozen=True, slots=True)
class _StoredToken:
    grant: Grant
    token: JsonObject

    def is_valid_at(self, now: datetime, rejected_token: str | None) -> bool:
        expires_at = self.grant.token_expires_at
        lasts = expires_at is not None and expires_at - now > EXPIRY_MARGIN
        return lasts and self.grant.refresh_started_at is None and self.token.get("access_token") != rejected_token


def _load_token(app: AppContext, grant_id: int) -> _StoredToken:
    with reading(app.engine) as session:
        grant = session.get(Grant, grant_id)
    if grant is None:
        message = "the access was ended here; connect it again under Companies or, a mailbox, under Settings, Sender"
        raise AuthorizationExpired(message)
    if grant.invalid_reason:
        raise AuthorizationExpired(grant.invalid_reason)
    try:
        return _StoredToken(grant, json.loads(app.keyring.decrypt(grant.token, associated_data(grant))))
    except KeyringError as locked:  # for example, restored without its key
        message = f"the stored token cannot be decrypted ({locked}). {reconnect_hint(grant.provider)}"
        raise AuthorizationExpired(message) from locked


def _refresh(app: AppContext, stored: _StoredToken, calls: CallObserver) -> JsonObject:
    """Refresh under the lock. After a lost response, try once more with the old token, which providers allow.

    Without a response, ``refresh_started_at`` stays set, and the next run or start tries again at once.
    """
    asked_at = app.now()
    _mark_refreshing(app, stored.grant, asked_at)
    try:
        try:
            token = _request_token(app, stored, calls)
        except OutcomeUnknown:
            token = _request_token(app, stored, calls)
    except AuthorizationExpired as refused:
        return _handle_rejection(app, stored, calls, refused)
    return _save(app, stored, token, asked_at)


def _handle_rejection(
    app: AppContext, stored: _StoredToken, calls: CallObserver, error: AuthorizationExpired
) -> JsonObject:
    """Read the token again before declaring the grant dead: another host may have refreshed it."""
    newer = _load_token(app, _grant_id(stored.grant))
    if newer.token.get("refresh_token") != stored.token.get("refresh_token"):
        asked_at = app.now()
        try:
            return _save(app, newer, _request_token(app, newer, calls), asked_at)
        except AuthorizationExpired as again:
            error = again
    raise _mark_dead(app, newer.grant, error) from error


def _request_token(app: AppContext, stored: _StoredToken, calls: CallObserver) -> JsonObject:
    system = app.find_system(stored.grant.provider)
    if system is None:
        message = f"{stored.grant.provider} is not available in this installation"
        raise TransientError(message)
    return system.refresh(app.settings, stored.token, app.stop_aware(calls))


def _mark_refreshing(app: AppContext, grant: Grant, started_at: datetime) -> None:
    with writing(app.engine) as session:
        session.get_one(Grant, grant.id).refresh_started_at = started_at


def _save(app: AppContext, stored: _StoredToken, token: JsonObject, requested_at: datetime) -> JsonObject:
    with writing(app.engine) as session:
        row = session.get_one(Grant, stored.grant.id, with_for_update=True)  # the keys may be rotating
        present: JsonObject = json.loads(app.keyring.decrypt(row.token, associated_data(row)))
        if present != stored.token:  # the company was reconnected meanwhile: the newer consent counts
            return present
        store_token(app, row, token, requested_at)
    return token


def _mark_dead(app: AppContext, grant: Grant, error: AuthorizationExpired) -> AuthorizationExpired:
    """Record on every connection of the grant, or for the mailbox, that it is no longer valid, and how to reconnect."""
    system = app.find_system(grant.provider)
    title = system.title if system is not None else grant.provider
    reason = f"{title} no longer accepts the authorisation ({error}). {reconnect_hint(grant.provider)}"
    with writing(app.engine) as session:
        row = session.get_one(Grant, grant.id)
        row.invalid_reason, row.refresh_started_at = reason, None
        if grant.provider in app.mailboxes:
            sync_log.write(session, at=app.now(), kind=LogKind.MAILBOX_EXPIRED, text=reason)
        for connection in list_grant_connections(session, _grant_id(grant)):
            connection.health, connection.health_reason = ConnectionHealth.AUTHORIZATION_EXPIRED, reason
            sync_log.write(
                session, at=app.now(), kind=LogKind.AUTHORIZATION_EXPIRED, text=reason, connection_id=connection.id
            )
    return AuthorizationExpired(reason, trace_id=error.trace_id)


def reconnect_hint(provider: str) -> str:
    """Return how to reconnect a company or a mailbox, for the terminal, emails and the page with the button."""
    page = "under Settings, Sender" if provider in providers.load_mailbox_providers() else "on its page"
    return f"Reconnect it {page}, or with: duewell connect {provider}"


def find_dead_grant(session: Session, connection: Connection) -> Grant | None:
    """Return a company's grant if it is no longer valid; None while it is, or once a user has disconnected it."""
    grant = session.get(Grant, connection.grant_id) if connection.grant_id is not None else None
    return grant if grant is not None and grant.invalid_reason else None


def find_grant_end(session: Session, connection: Connection, now: datetime) -> date | None:
    """Return the day on which a company's authorisation ends if that is within ``WARN_BEFORE_END``, else None."""
    return find_grant_ends(session, [connection], now).get(connection.id or 0)


def find_grant_ends(session: Session, rows: Sequence[Connection], now: datetime) -> dict[int, date]:
    """Return the days on which authorisations end within ``WARN_BEFORE_END``, by connection; one query for all."""
    soon = select(col(Grant.id), col(Grant.ends_at)).where(
        col(Grant.ends_at) <= now + WARN_BEFORE_END, col(Grant.invalid_reason) == ""
    )
    ends = {grant_id: ends_at.date() for grant_id, ends_at in session.execute(soon) if ends_at is not None}
    return {row.id or 0: ends[row.grant_id] for row in rows if row.grant_id in ends}


def grant_end_text(ends_on: date, provider: str) -> str:
    """Return a sentence about an authorisation that ends soon, and what to do."""
    return f"The authorisation ends on {format_date(ends_on)}, and with it every sync. {reconnect_hint(provider)}."


def list_grant_connections(session: Session, grant_id: int) -> list[Connection]:
    """List the connections of a grant, without disconnected ones."""
    found = session.scalars(
        select(Connection)
        .where(col(Connection.grant_id) == grant_id, col(Connection.health) != ConnectionHealth.DISCONNECTED)
        .order_by(col(Connection.id))
    )
    return list(found)


@contextmanager
def _lock_grant(app: AppContext, grant_id: int) -> Iterator[None]:
    """Hold the grant's lock; it is released when its process dies."""
    if app.engine.dialect.name == "postgresql":
        # An advisory lock, because a row lock would end with the commit of ``refresh_started_at`` before the call.
        with app.engine.begin() as held:
            held.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'"))
            held.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK_CLASS}, :grant)"), {"grant": grant_id})
            yield
        return
    lock = FileLock(private_folder(app.settings.duewell_home / "locks") / f"grant-{grant_id}.lock", mode=0o600)
    try:
        lock.acquire(timeout=LOCK_WAIT_SECONDS)
    except Timeout as waited:
        message = "another process has been refreshing this token for two minutes; the next sync tries again"
        raise TransientError(message) from waited
    try:
        yield
    finally:
        lock.release()


def associated_data(grant: Grant) -> str:
    """Return the associated data of a grant's token, which cannot be decrypted in another row."""
    return f"grant|{grant.id}|{grant.provider}|token|v1"


def _grant_id(grant: Grant) -> int:
    return grant.id or 0


def _expires_at(token: JsonObject, requested_at: datetime) -> datetime:
    """Return the expiry by our own clock, counted from before the request, whatever the provider's clock shows."""
    life = token.get("expires_in")
    if isinstance(life, int | float | str) and str(life).replace(".", "", 1).isdigit():
        return requested_at + timedelta(seconds=float(life))
    ends = token.get("expires_at")
    if isinstance(ends, int | float):
        return datetime.fromtimestamp(ends, UTC)
    return requested_at + timedelta(seconds=_DEFAULT_LIFETIME_SECONDS)
