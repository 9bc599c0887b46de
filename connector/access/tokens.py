"""The access tokens of a grant: kept encrypted, refreshed by one process at a time, saved before they are used.

A refresh token may die with its use, so that losing an answer loses the company. Hence: a lock per grant, a second look
under it, the mark ``refresh_started_at`` committed before the call, the old token kept until the vendor has refused it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from filelock import FileLock, Timeout
from sqlalchemy import select, text
from sqlmodel import Session, col

from connector import sync_log
from connector.access.keyring import KeyringError
from connector.access.private_files import private_folder
from connector.database import reading, writing
from connector.installation import Installation, Uncounted
from connector.tables import Connection, Grant
from providers.errors import ProviderError, Reconnect, TryLater, Unknown
from providers.ledger import AccessToken, Calls, JsonObject

MARGIN = timedelta(seconds=60)  # a token that ends sooner is not sent any more
LOCK_WAIT_SECONDS = 120  # longer than a slow refresh: a lock that gives up early loses tokens
_USUAL_LIFE_SECONDS = 1800
_ADVISORY_CLASS = 0x6475  # PostgreSQL: our family of advisory locks for grants


def seal_token(installation: Installation, grant: Grant, token: JsonObject, asked_at: datetime) -> None:
    """Put a vendor's new token into the grant's row, encrypted and bound to it, and with it the grant to life."""
    now = installation.now()
    grant.token = installation.keyring.encrypt(json.dumps(token).encode(), bound_to(grant))
    grant.token_expires_at = _expiry(token, asked_at)
    grant.refreshed_at, grant.refresh_started_at, grant.dead_why = now, None, ""


def token_source(installation: Installation, grant_id: int, calls: Calls) -> AccessToken:
    """Make the callable a ledger asks for its access token. It keeps one in memory until it ends or is rejected."""
    kept: tuple[str, datetime] | None = None

    def access_token(*, rejected: str | None = None) -> str:
        nonlocal kept
        if kept is None or rejected is not None or kept[1] - installation.now() <= MARGIN:
            token = fresh_token(installation, grant_id, calls, rejected=rejected)
            ends_at = _read(installation, grant_id).grant.token_expires_at
            kept = (str(token["access_token"]), ends_at or installation.now())
        return kept[0]

    return access_token


def fresh_token(installation: Installation, grant_id: int, calls: Calls, *, rejected: str | None = None) -> JsonObject:
    """Return the grant's token, refreshed first if it ends within a minute, was ``rejected``, or a refresh was cut off.

    Raises ``Reconnect`` once the grant is dead; its connections then say so and wait for a person.
    """
    stored = _read(installation, grant_id)
    if stored.good_at(installation.now(), rejected):
        return stored.token
    with _only_one(installation, grant_id):
        stored = _read(installation, grant_id)  # somebody else may have refreshed while we waited
        if stored.good_at(installation.now(), rejected):
            return stored.token
        return _refresh(installation, stored, calls)


def finish_interrupted_refreshes(installation: Installation) -> list[str]:
    """Refresh every grant whose refresh was cut off: the old token is good for minutes only. Returns what failed."""
    with reading(installation.engine) as session:
        cut_off = session.scalars(
            select(col(Grant.id)).where(col(Grant.refresh_started_at).is_not(None), col(Grant.dead_why) == "")
        ).all()
    failed = []
    for grant_id in cut_off:
        try:
            fresh_token(installation, grant_id or 0, Uncounted())
        except ProviderError as problem:
            failed.append(str(problem))
    return failed


@dataclass(frozen=True, slots=True)
class _Stored:
    grant: Grant
    token: JsonObject

    def good_at(self, now: datetime, rejected: str | None) -> bool:
        expires_at = self.grant.token_expires_at
        lasts = expires_at is not None and expires_at - now > MARGIN
        return lasts and self.grant.refresh_started_at is None and self.token.get("access_token") != rejected


def _read(installation: Installation, grant_id: int) -> _Stored:
    with reading(installation.engine) as session:
        grant = session.get(Grant, grant_id)
    if grant is None:
        message = "this connection has no grant any more; connect it again on the page Companies"
        raise Reconnect(message)
    if grant.dead_why:
        raise Reconnect(grant.dead_why)
    try:
        return _Stored(grant, json.loads(installation.keyring.decrypt(grant.token, bound_to(grant))))
    except KeyringError as locked:  # restored without its key, say
        message = f"the stored token cannot be opened ({locked}). {connect_again(grant.provider)}"
        raise Reconnect(message) from locked


def _refresh(installation: Installation, stored: _Stored, calls: Calls) -> JsonObject:
    """Refresh under the lock. A lost answer is asked for once more with the old token: vendors allow for it.

    Where no answer comes the mark stays: whoever needs the token next, or starts next, tries again at once.
    """
    asked_at = installation.now()
    _mark(installation, stored.grant, asked_at)
    try:
        try:
            token = _ask(installation, stored, calls)
        except Unknown:
            token = _ask(installation, stored, calls)
    except Reconnect as refused:
        return _refused(installation, stored, calls, refused)
    return _save(installation, stored, token, asked_at)


def _refused(installation: Installation, stored: _Stored, calls: Calls, refused: Reconnect) -> JsonObject:
    """Look at the stored token again before believing that the grant is dead: another host may have refreshed it."""
    newer = _read(installation, _id(stored.grant))
    if newer.token.get("refresh_token") != stored.token.get("refresh_token"):
        asked_at = installation.now()
        try:
            return _save(installation, newer, _ask(installation, newer, calls), asked_at)
        except Reconnect as again:
            refused = again
    raise _bury(installation, newer.grant, refused) from refused


def _ask(installation: Installation, stored: _Stored, calls: Calls) -> JsonObject:
    provider = installation.providers[stored.grant.provider]
    return provider.refresh(installation.settings, stored.token, installation.watched(calls))


def _mark(installation: Installation, grant: Grant, started_at: datetime) -> None:
    with writing(installation.engine) as session:
        session.get_one(Grant, grant.id).refresh_started_at = started_at


def _save(installation: Installation, stored: _Stored, token: JsonObject, asked_at: datetime) -> JsonObject:
    with writing(installation.engine) as session:
        row = session.get_one(Grant, stored.grant.id, with_for_update=True)  # keys may be rotating just now
        present: JsonObject = json.loads(installation.keyring.decrypt(row.token, bound_to(row)))
        if present != stored.token:  # a person connected anew meanwhile: the newer consent counts
            return present
        seal_token(installation, row, token, asked_at)
    return token


def _bury(installation: Installation, grant: Grant, refused: Reconnect) -> Reconnect:
    """Write down that the grant is dead, on every connection that lived on it, with the words to mend it."""
    title = installation.providers[grant.provider].title
    why = f"{title} no longer accepts this grant ({refused}). {connect_again(grant.provider)}"
    with writing(installation.engine) as session:
        row = session.get_one(Grant, grant.id)
        row.dead_why, row.refresh_started_at = why, None
        for connection in living_connections(session, _id(grant)):
            connection.health, connection.health_why = "reconnect", why
            sync_log.write(session, at=installation.now(), kind="reconnect", text=why, connection_id=connection.id)
    return Reconnect(why, reference=refused.reference)


def connect_again(provider: str) -> str:
    """Say how a company is connected again: it is read at the terminal, in mails, and on pages beside the button."""
    return f"Connect it again with the button on its page, or with: duewell connect {provider}"


def dead_grant(session: Session, connection: Connection) -> Grant | None:
    """Give the grant on which a company can no longer be reached; None while it is good, or ended by a person."""
    grant = session.get(Grant, connection.grant_id) if connection.grant_id is not None else None
    return grant if grant is not None and grant.dead_why else None


def living_connections(session: Session, grant_id: int) -> list[Connection]:
    """List the connections that live on a grant, the disconnected ones left out."""
    found = session.scalars(
        select(Connection)
        .where(col(Connection.grant_id) == grant_id, col(Connection.health) != "disconnected")
        .order_by(col(Connection.id))
    )
    return list(found)


@contextmanager
def _only_one(installation: Installation, grant_id: int) -> Iterator[None]:
    """Hold the grant's lock; it dies with its process, so nothing is left to clean up."""
    if installation.engine.dialect.name == "postgresql":
        # An advisory lock, because a row lock would end with the commit of the mark that has to come before the call.
        with installation.engine.begin() as held:
            held.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'"))
            held.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_CLASS}, :grant)"), {"grant": grant_id})
            yield
        return
    lock = FileLock(private_folder(installation.settings.duewell_home / "locks") / f"grant-{grant_id}.lock", mode=0o600)
    try:
        lock.acquire(timeout=LOCK_WAIT_SECONDS)
    except Timeout as waited:
        message = "another process has been refreshing this token for two minutes; tried again at the next run"
        raise TryLater(message) from waited
    try:
        yield
    finally:
        lock.release()


def bound_to(grant: Grant) -> str:
    """Name the place a token belongs to: moved to another row it cannot be opened."""
    return f"grant|{grant.id}|{grant.provider}|token|v1"


def _id(grant: Grant) -> int:
    return grant.id or 0


def _expiry(token: JsonObject, asked_at: datetime) -> datetime:
    """When the token ends by our own clock, counted from before it was asked for, whatever the vendor's clock shows."""
    life = token.get("expires_in")
    if isinstance(life, int | float | str) and str(life).replace(".", "", 1).isdigit():
        return asked_at + timedelta(seconds=float(life))
    ends = token.get("expires_at")
    if isinstance(ends, int | float):
        return datetime.fromtimestamp(ends, UTC)
    return asked_at + timedelta(seconds=_USUAL_LIFE_SECONDS)
