"""Signing in: one-time links, passwords, and limits on failed attempts.

An attempt is counted before the password is hashed, and taken back when it was right: whoever tries thirty at once has
ten checked. Strangers' attempts are counted by network and by address; those of somebody who is signed in by their
session, so that nobody else can use them up. Passkeys cannot be guessed, and are not counted at all.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, select, text
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.auth import passkey_requirement, passwords, sessions
from connector.auth.sessions import Browser
from connector.auth.users import CurrentUser, add_user, end_access, has_users
from connector.client_network import network_of
from connector.db.engine import reading, writing
from connector.db.tables import Connection, Passkey, SignInAttempt, SignInLink, User
from connector.quiet_log import QuietLog
from connector.vocabulary import LogKind, Role

_refusals = QuietLog(logging.getLogger("duewell.auth.limits"))
log = logging.getLogger("duewell.auth")
LINK_LIFETIME = timedelta(hours=24)
PER_ADDRESS_MAX, PER_EMAIL_MAX, PER_SESSION_MAX = 20, 10, 10  # failed attempts per hour
PER_ACCOUNT_MAX = 20  # per day
_COUNTING_LOCK = 7_215_002  # PostgreSQL advisory lock: attempts are counted one after the other
_SESSION_KEY_LENGTH = 16  # of its hash
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


class SignInError(Exception):
    """The sign-in failed; the message reveals nothing that a stranger must not know."""


class TooManyAttemptsError(SignInError):
    """Too many attempts failed from this address or for this user."""


def create_link(session: Session, user: User | None, at: datetime, *, signs_in_directly: bool = False) -> str:
    """Create a one-time link for a user or the first owner (None), replacing an earlier one; return its token."""
    earlier = col(SignInLink.user_id).is_(None) if user is None else col(SignInLink.user_id) == user.id
    session.execute(delete(SignInLink).where(earlier))
    token = secrets.token_urlsafe(32)
    session.add(
        SignInLink(
            token_hash=_hash(token),
            user_id=user.id if user else None,
            created_at=at,
            expires_at=at + LINK_LIFETIME,
            signs_in_directly=signs_in_directly,
        )
    )
    return token


def create_first_link(app: AppContext) -> str | None:
    """Create the first owner's link and return its token; None where there are users."""
    with writing(app.engine) as session:
        return None if has_users(session) else create_link(session, None, app.now())


def find_link(session: Session, token: str, at: datetime) -> tuple[SignInLink, User | None]:
    """Find a valid link and its user.

    Raises:
        SignInError: the link is unknown, used or expired.

    """
    link = session.get(SignInLink, _hash(token))
    if link is None or link.used_at is not None or link.expires_at <= at:
        message = "This link is not valid: it was used, or is more than a day old. Ask for a new one."
        raise SignInError(message)
    user = session.get(User, link.user_id) if link.user_id is not None else None
    if user is None and has_users(session):
        message = "duewell already has an owner. Ask them to invite you."
        raise SignInError(message)
    return link, user


def sign_in_by_link(app: AppContext, token: str, browser: Browser) -> str | None:
    """Sign in with a link that allows it; return None where a password has to be chosen first."""
    now = app.now()
    with writing(app.engine) as session:
        link, user = find_link(session, token, now)
        if not link.signs_in_directly or user is None:
            return None
        link.used_at = now
        return sessions.begin(session, user, now, browser, by="a link")


def set_password(
    app: AppContext, token: str, password: str, browser: Browser, *, email: str = "", name: str = ""
) -> str:
    """Use a link to set a password, and to create the first owner; end other sessions and return a new one's token."""
    now = app.now()
    with reading(app.engine) as session:
        _link, user = find_link(session, token, now)
        email, names = user.email if user else email, _guessable_names(session, user.name if user else name)
    hashed = passwords.hash_password(password, email, names)  # slow, so outside the write transaction
    with writing(app.engine) as session:
        link, user = find_link(session, token, now)
        if user is None:
            user = add_user(session, email, Role.OWNER, name=name, by="The first sign-in", at=now)
        user.password_hash = hashed
        end_access(session, user)
        if link.user_id is None:
            session.delete(link)
        sync_log.write(session, at=now, kind=LogKind.PASSWORD_SET, text=f"{user.email} set a password.")
        return sessions.begin(session, user, now, browser, by="a link")


def sign_in(app: AppContext, email: str, password: str, browser: Browser) -> str:
    """Check a password and open a session; return its token."""
    now, email = app.now(), email.strip().lower()[:254]
    user = _check_password(app, email, password, _Source(network_of(browser.address), email))
    with reading(app.engine) as session:
        is_enough = passkey_requirement.is_password_enough(session, user)
    if not is_enough:
        message = "This account needs a passkey to sign in. Use it, or ask for a new link."
        raise SignInError(message)
    with writing(app.engine) as session:
        return sessions.begin(session, session.get_one(User, user.id), now, browser, by="password")


def reauthenticate(app: AppContext, current_user: CurrentUser, token: str, password: str) -> str:
    """Check the password of a signed-in user before a sensitive action; return the session's new token.

    Failures count for this session alone: a stranger's guesses shut nobody out who is signed in.

    Raises:
        SignInError: the password is wrong, or too many attempts failed.

    """
    _check_password(app, current_user.email, password, _Source(session=sessions.session_hash(token)))
    with writing(app.engine) as session:
        return sessions.reauthenticate(session, token, app.now())


def change_password(app: AppContext, current_user: CurrentUser, token: str, password: str) -> None:
    """Change the password of a user who has just authenticated, and end their other sessions.

    Raises:
        WeakPasswordError: the password is easily guessed.
        UserError: the session ended meanwhile.

    """
    now = app.now()
    with reading(app.engine) as session:
        names = _guessable_names(session, session.get_one(User, current_user.id).name)
    hashed = passwords.hash_password(password, current_user.email, names)
    with writing(app.engine) as session:
        sessions.lock_live_session(session, token, now)
        session.get_one(User, current_user.id).password_hash = hashed
        sessions.end_other_sessions(session, current_user.id, token, by=current_user.email, at=now)
        sync_log.write(session, at=now, kind=LogKind.PASSWORD_SET, text=f"{current_user.email} changed their password.")


def _guessable_names(session: Session, own_name: str) -> list[str]:
    """Return the names of the user and the companies, which an attacker tries first."""
    return [own_name, *session.scalars(select(col(Connection.name)))]


class _Source(NamedTuple):
    """Whose attempts are counted together: those from a network and those for an address, or those in a session."""

    network: str = ""
    email: str = ""
    session: str = ""

    @property
    def key(self) -> str:
        """What is stored as where an attempt came from."""
        return f"session {self.session[:_SESSION_KEY_LENGTH]}" if self.session else self.network


def _check_password(app: AppContext, email: str, password: str, source: _Source) -> User:
    """Return the user with this email address and password; a failure counts towards the limits.

    Raises:
        SignInError: the password is wrong, or too many attempts failed.
        PasswordsBusyError: too many passwords are checked at the same time; the attempt does not count.

    """
    with reading(app.engine) as session:
        _check_limits(session, source, app.now())
    with passwords.hashing_turn():
        attempt_id = _count_attempt(app, source)
        with reading(app.engine) as session:
            user = session.scalars(select(User).where(col(User.email) == email)).first()
        known_hash = user.password_hash if user and user.disabled_at is None else ""
        if passwords.verify_password(password, known_hash) and user is not None:
            with writing(app.engine) as session:
                session.execute(delete(SignInAttempt).where(col(SignInAttempt.id) == attempt_id))
            return user
    log.warning("sign-in failed, from %s", source.key or "this machine")
    message = "The email address or the password is wrong."
    raise SignInError(message)


def _count_attempt(app: AppContext, source: _Source) -> int:
    """Count an attempt before it is made, and return its id; raise where there were too many in the meantime."""
    now = app.now()
    with writing(app.engine) as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _COUNTING_LOCK})
        _check_limits(session, source, now)
        session.execute(delete(SignInAttempt).where(col(SignInAttempt.at) < now - _DAY))
        row = SignInAttempt(at=now, ip_address=source.key, email=source.email)
        session.add(row)
        session.flush()
        return row.id or 0


def record_failure(app: AppContext, address: str, email: str) -> None:
    """Count a failed sign-in towards the limits, and log it."""
    now, network = app.now(), network_of(address)
    log.warning("sign-in failed, from %s", network or "this machine")
    with writing(app.engine) as session:
        session.execute(delete(SignInAttempt).where(col(SignInAttempt.at) < now - _DAY))
        session.add(SignInAttempt(at=now, ip_address=network, email=email))


def check_attempt_limits(app: AppContext, address: str) -> None:
    """Refuse a network with too many failed sign-ins of any kind.

    Raises:
        TooManyAttemptsError: the limit is reached.

    """
    with reading(app.engine) as session:
        _check_limits(session, _Source(network_of(address)), app.now())


def reset(session: Session, user: User, *, by: str, at: datetime) -> str:
    """Remove a user's password, passkeys and single sign-on link, end their sessions, and return a new link's token.

    Single sign-on has to be linked again by email address, because an attacker may have linked it.
    """
    user.password_hash, user.disabled_at, user.passkey_only, user.oidc_subject = "", None, False, ""
    session.execute(delete(Passkey).where(col(Passkey.user_id) == user.id))  # they may be lost or stolen
    end_access(session, user)
    sync_log.write(session, at=at, kind=LogKind.USER_RESET, text=f"{by} created a new sign-in link for {user.email}.")
    return create_link(session, user, at)


def _check_limits(session: Session, source: _Source, now: datetime) -> None:
    def failures(since: datetime, **columns: str) -> int:
        conditions = [col(getattr(SignInAttempt, name)) == value for name, value in columns.items()]
        query = select(func.count()).select_from(SignInAttempt).where(col(SignInAttempt.at) > since, *conditions)
        return session.scalar(query) or 0

    email = source.email
    if failures(now - _HOUR, ip_address=source.key) >= (PER_SESSION_MAX if source.session else PER_ADDRESS_MAX) or (
        email
        and (
            failures(now - _HOUR, email=email) >= PER_EMAIL_MAX or failures(now - _DAY, email=email) >= PER_ACCOUNT_MAX
        )
    ):
        _refusals.note("sign-in refused", "too many failed attempts", source.key or "this machine")
        message = "Too many failed attempts. Wait an hour, use a passkey, or ask for a new link (duewell users reset)."
        raise TooManyAttemptsError(message)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
