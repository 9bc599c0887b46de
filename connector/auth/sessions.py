"""Sessions of browsers that are signed in: begun, looked up, listed, ended, and asked anew who it is."""

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

log = logging.getLogger("duewell.access")
IDLE_MAX = timedelta(hours=12)
SESSION_MAX = timedelta(days=7)
REAUTHENTICATION_LIFETIME = timedelta(minutes=30)
_LAST_SEEN_PRECISION = timedelta(minutes=5)  # a page that is looked at need not write each time
_ID_LENGTH = 16  # of its hash: enough to name one of a person's sessions, useless for entering it


@dataclass(frozen=True, slots=True)
class Browser:
    """Where a session was begun, so that its owner can recognise it."""

    address: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as its owner sees it."""

    id: str
    started_at: datetime
    seen_at: datetime
    browser: Browser
    is_current: bool


def begin(session: Session, user: User, now: datetime, browser: Browser, *, by: str, strong: bool = False) -> str:
    """Begin a session of a user who has just shown who he is; returns the token for the cookie.

    ``strong`` where it was by two factors.
    """
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
    """Find who is signed in by a session's token."""
    if not token:
        return None
    now = app.now()
    with reading(app.engine) as session:
        row = _find_live(session, token, now)
        if row is None:
            return None
        user = session.get_one(User, row.user_id)
        person = None if user.disabled_at is not None else build_current_user(session, user)
        person = passkey_requirement.apply_requirement(session, person, token) if person is not None else None
    if person is not None and now - row.seen_at > _LAST_SEEN_PRECISION:
        with writing(app.engine) as session:
            still = session.get(WebSession, row.token_hash)
            if still is not None:
                still.seen_at = now
    return person


def is_recently_authenticated(app: AppContext, token: str) -> bool:
    """Tell whether this browser has shown within half an hour who sits before it.

    Where there is nothing to show (the demo's owner has no password) nothing is asked for.
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
    """Note, in the caller's transaction, that this browser has shown who sits before it; returns its new token.

    ``strong`` where that was by two factors, as a session once let in by two stays. Raises ``UserError`` where the
    session ended meanwhile.
    """
    row = lock_live_session(session, token, now)
    fresh = passkey_requirement.new_token(strong=strong or passkey_requirement.is_strong(token))
    kept = row.model_dump() | {"token_hash": session_hash(fresh), "seen_at": now, "reauthenticated_at": now}
    session.delete(row)
    session.flush()
    session.add(WebSession(**kept))
    return fresh


def lock_live_session(session: Session, token: str, now: datetime) -> WebSession:
    """Find the session whose person is about to change how he comes in: ended meanwhile, it must change nothing more.

    Who is sent away by a new link while his form is worked on would else be let in again by what it brought. Holds the
    person's row, as whoever sends him away does. Raises ``UserError``.
    """
    row = _find_live(session, token, now)
    if row is not None:
        session.get_one(User, row.user_id, with_for_update=True)
        session.expire(row)
        row = _find_live(session, token, now)
    if row is None:
        message = "This session is over. Sign in again."
        raise UserError(message)
    return row


def list_sessions(session: Session, current_user: CurrentUser, token: str, now: datetime) -> list[SessionInfo]:
    """List a person's sessions, the newest first."""
    rows = sorted(_live_sessions(session, current_user, now), key=lambda row: row.seen_at, reverse=True)
    return [_session_info(row, is_current=row.token_hash == session_hash(token)) for row in rows]


def end_session(app: AppContext, current_user: CurrentUser, session_id: str) -> bool:
    """End one of a person's sessions; False where he has no such one."""
    now = app.now()
    with writing(app.engine) as session:
        found = [row for row in _live_sessions(session, current_user, now) if row.token_hash[:_ID_LENGTH] == session_id]
        for row in found:
            session.delete(row)
    return bool(found)


def end_other_sessions(session: Session, user_id: int, token: str, *, by: str, at: datetime) -> None:
    """End every session of a user but the one with this token ("": every one), in the caller's transaction."""
    others = col(WebSession.token_hash) != session_hash(token)
    session.execute(delete(WebSession).where(col(WebSession.user_id) == user_id, others))
    sync_log.write(session, at=at, kind=LogKind.SIGNED_OUT, text=f"{by} ended every other session of this account.")


def sign_out(app: AppContext, token: str) -> None:
    """End a session."""
    with writing(app.engine) as session:
        session.execute(delete(WebSession).where(col(WebSession.token_hash) == session_hash(token)))


def session_hash(token: str) -> str:
    """What a session's token is known by in the database."""
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
    living = (col(WebSession.seen_at) >= now - IDLE_MAX, col(WebSession.started_at) >= now - SESSION_MAX)
    return list(session.scalars(select(WebSession).where(col(WebSession.user_id) == current_user.id, *living)))
