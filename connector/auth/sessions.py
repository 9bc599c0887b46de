"""Sessions of signed-in browsers: opening, finding, listing and ending them, and authenticating again."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.auth import passkey_requirement
from connector.auth.users import CurrentUser, UserError, build_current_user
from connector.db.engine import reading, writing
from connector.db.tables import Passkey, User, WebSession
from connector.vocabulary import LogKind

log = logging.getLogger("duewell.auth")
IDLE_MAX = timedelta(hours=12)
SESSION_MAX = timedelta(days=7)
REAUTHENTICATION_LIFETIME = timedelta(minutes=30)
_LAST_SEEN_PRECISION = timedelta(minutes=5)  # so that a page view rarely writes
_ID_LENGTH = 16  # of its hash: enough to tell sessions apart, useless for entering one


@dataclass(frozen=True, slots=True)
class Browser:
    """Where a session was opened, for its user to recognise."""

    address: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as its user sees it."""

    id: str
    started_at: datetime
    seen_at: datetime
    browser: Browser
    is_current: bool


def begin(session: Session, user: User, now: datetime, browser: Browser, *, by: str, strong: bool = False) -> str:
    """Open a session for a user who has just authenticated, with two factors if ``strong``; return its token."""
    if user.disabled_at is not None:
        message = f"{user.email} is disabled."
        raise UserError(message)
    session.execute(delete(WebSession).where(col(WebSession.started_at) < now - SESSION_MAX))
    token = passkey_requirement.new_token(strong=strong)
    row = WebSession(
        token_hash=session_hash(token),
        user_id=user.id or 0,
        started_at=now,
        seen_at=now,
        reauthenticated_at=now,
        ip_address=browser.address[:60],
        browser=browser.agent[:200],
    )
    session.add(row)
    user.signed_in_at = now
    log.info("user %s signed in by %s, from %s", user.id, by, browser.address or "this machine")
    return token


def find_current_user(app: AppContext, token: str) -> CurrentUser | None:
    """Return the user who is signed in with a session token, else None."""
    if not token:
        return None
    now = app.now()
    with reading(app.engine) as session:
        row = _find_live(session, token, now)
        if row is None:
            return None
        user = session.get_one(User, row.user_id)
        current = None if user.disabled_at is not None else build_current_user(session, user)
        current = passkey_requirement.apply_requirement(session, current, token) if current is not None else None
    if current is not None and now - row.seen_at > _LAST_SEEN_PRECISION:
        with writing(app.engine) as session:
            live_row = session.get(WebSession, row.token_hash)
            if live_row is not None:
                live_row.seen_at = now
    return current


def is_recently_authenticated(app: AppContext, token: str) -> bool:
    """Return whether the user of this session authenticated within the last half hour.

    A user with nothing to authenticate with, such as the demo's owner, is not asked to.
    """
    now = app.now()
    with reading(app.engine) as session:
        row = _find_live(session, token, now)
        if row is None:
            return False
        if row.reauthenticated_at is not None and now - row.reauthenticated_at <= REAUTHENTICATION_LIFETIME:
            return True
        user = session.get_one(User, row.user_id)
        keys = session.scalar(select(col(Passkey.id)).where(col(Passkey.user_id) == user.id).limit(1))
        return not (user.password_hash or user.oidc_subject or keys)


def reauthenticate(session: Session, token: str, now: datetime, *, strong: bool = False) -> str:
    """Record, in the caller's transaction, that the user has authenticated again; return the session's new token.

    A session stays ``strong`` once two factors were used.

    Raises:
        UserError: the session ended meanwhile.

    """
    row = lock_live_session(session, token, now)
    fresh = passkey_requirement.new_token(strong=strong or passkey_requirement.is_strong(token))
    kept = row.model_dump() | {"token_hash": session_hash(fresh), "seen_at": now, "reauthenticated_at": now}
    session.delete(row)
    session.flush()
    session.add(WebSession(**kept))
    return fresh


def lock_live_session(session: Session, token: str, now: datetime) -> WebSession:
    """Find the session of a user who is about to change how they sign in, and lock their row.

    A reset locks the same row. Otherwise a password form under way could let back in the person who was just locked
    out.

    Raises:
        UserError: the session has ended.

    """
    row = _find_live(session, token, now)
    if row is not None:
        session.get_one(User, row.user_id, with_for_update=True)
        session.expire(row)
        row = _find_live(session, token, now)
    if row is None:
        message = "This session has ended. Sign in again."
        raise UserError(message)
    return row


def list_sessions(session: Session, current_user: CurrentUser, token: str, now: datetime) -> list[SessionInfo]:
    """Return a user's sessions, newest first."""
    rows = sorted(_live_sessions(session, current_user, now), key=lambda row: row.seen_at, reverse=True)
    return [_session_info(row, is_current=row.token_hash == session_hash(token)) for row in rows]


def end_session(app: AppContext, current_user: CurrentUser, session_id: str) -> bool:
    """End one of a user's sessions; return False if there is no such session."""
    now = app.now()
    with writing(app.engine) as session:
        found = [row for row in _live_sessions(session, current_user, now) if row.token_hash[:_ID_LENGTH] == session_id]
        for row in found:
            session.delete(row)
    return bool(found)


def end_other_sessions(session: Session, user_id: int, token: str, *, by: str, at: datetime) -> None:
    """End a user's sessions but the one with this token ("": all of them), in the caller's transaction."""
    others = col(WebSession.token_hash) != session_hash(token)
    session.execute(delete(WebSession).where(col(WebSession.user_id) == user_id, others))
    sync_log.write(session, at=at, kind=LogKind.SIGNED_OUT, text=f"{by} ended all other sessions of this account.")


def sign_out(app: AppContext, token: str) -> None:
    """End the session of a token."""
    with writing(app.engine) as session:
        session.execute(delete(WebSession).where(col(WebSession.token_hash) == session_hash(token)))


def session_hash(token: str) -> str:
    """Return the hash under which a session token is stored."""
    return hashlib.sha256(token.encode()).hexdigest() if token else ""


def _session_info(row: WebSession, *, is_current: bool) -> SessionInfo:
    browser = Browser(row.ip_address, row.browser)
    return SessionInfo(row.token_hash[:_ID_LENGTH], row.started_at, row.seen_at, browser, is_current)


def _find_live(session: Session, token: str, now: datetime) -> WebSession | None:
    row = session.get(WebSession, session_hash(token)) if token else None
    if row is None or now - row.seen_at > IDLE_MAX or now - row.started_at > SESSION_MAX:
        return None
    return row


def _live_sessions(session: Session, current_user: CurrentUser, now: datetime) -> list[WebSession]:
    live = (col(WebSession.seen_at) >= now - IDLE_MAX, col(WebSession.started_at) >= now - SESSION_MAX)
    return list(session.scalars(select(WebSession).where(col(WebSession.user_id) == current_user.id, *live)))
