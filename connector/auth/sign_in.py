"""Signing in: one-time links, passwords, and limits on trying."""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.auth import passkey_requirement, passwords, sessions
from connector.auth.sessions import Browser
from connector.auth.users import CurrentUser, add_user, end_access, has_users
from connector.db.engine import reading, writing
from connector.db.tables import Connection, Passkey, SignInAttempt, SignInLink, User
from connector.vocabulary import LogKind

log = logging.getLogger("duewell.access")
LINK_LIFETIME = timedelta(hours=24)
PER_ADDRESS_MAX, PER_EMAIL_MAX, PER_ACCOUNT_MAX = 20, 10, 20  # failures: two in an hour, the last in a day
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


class SignInError(Exception):
    """Nobody is let in; ``str()`` says no more than a stranger may know."""


class TooManyAttemptsError(SignInError):
    """Too many failures in an hour, from there or for that user."""


def create_link(session: Session, user: User | None, at: datetime, *, signs_in_directly: bool = False) -> str:
    """Make a one-time link's token for a user (None: for the first owner); an earlier one of his counts no more."""
    mine = col(SignInLink.user_id).is_(None) if user is None else col(SignInLink.user_id) == user.id
    session.execute(delete(SignInLink).where(mine))
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
    """Make the token of the first owner's link, or None where there are users."""
    with writing(app.engine) as session:
        return None if has_users(session) else create_link(session, None, app.now())


def find_link(session: Session, token: str, at: datetime) -> tuple[SignInLink, User | None]:
    """Find a link that still counts, and its user. Raises ``SignInError`` where there is none."""
    link = session.get(SignInLink, _hash(token))
    if link is None or link.used_at is not None or link.expires_at <= at:
        message = "This link was used already, is older than a day, or never was one. Ask for a new one."
        raise SignInError(message)
    user = session.get(User, link.user_id) if link.user_id is not None else None
    if user is None and has_users(session):
        message = "There is an owner already. Ask for a link of your own."
        raise SignInError(message)
    return link, user


def sign_in_by_link(app: AppContext, token: str, browser: Browser) -> str | None:
    """Let in at once by a link that allows it; None where a password must be chosen first."""
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
    """Use up a link: set the password (and make the first owner), end other sessions, and begin one."""
    now = app.now()
    with reading(app.engine) as session:
        _link, user = find_link(session, token, now)
        email, names = user.email if user else email, _guessable_names(session, user.name if user else name)
    hashed = passwords.hash_password(password, email, names)  # slow: not while others wait to write
    with writing(app.engine) as session:
        link, user = find_link(session, token, now)
        if user is None:
            user = add_user(session, email, "owner", name=name, by="The first start", at=now)
        user.password_hash = hashed
        end_access(session, user)
        if link.user_id is None:
            session.delete(link)
        sync_log.write(session, at=now, kind=LogKind.PASSWORD_SET, text=f"{user.email} chose a password.")
        return sessions.begin(session, user, now, browser, by="a link")


def sign_in(app: AppContext, email: str, password: str, browser: Browser) -> str:
    """Check a password and begin a session; returns its token."""
    now, email = app.now(), email.strip().lower()[:254]
    user = _check_password(app, email, password, browser.address)
    with reading(app.engine) as session:
        enough = passkey_requirement.is_password_enough(session, user)
    if not enough:
        message = "This account takes no password alone. Use the passkey, or have a new link made."
        raise SignInError(message)
    with writing(app.engine) as session:
        return sessions.begin(session, session.get_one(User, user.id), now, browser, by="password")


def reauthenticate(app: AppContext, current_user: CurrentUser, token: str, password: str, address: str) -> str:
    """Check the password of somebody who is signed in, before he does what is dangerous; returns his new token.

    Raises ``SignInError``.
    """
    _check_password(app, current_user.email, password, address)
    with writing(app.engine) as session:
        return sessions.reauthenticate(session, token, app.now())


def change_password(app: AppContext, current_user: CurrentUser, token: str, password: str) -> None:
    """Give a person who has just shown who he is another password; his other sessions end.

    Raises ``WeakPasswordError``, and ``UserError`` where his session ended meanwhile.
    """
    now = app.now()
    with reading(app.engine) as session:
        names = _guessable_names(session, session.get_one(User, current_user.id).name)
    hashed = passwords.hash_password(password, current_user.email, names)
    with writing(app.engine) as session:
        sessions.lock_live_session(session, token, now)
        session.get_one(User, current_user.id).password_hash = hashed
        sessions.end_other_sessions(session, current_user.id, token, by=current_user.email, at=now)
        sync_log.write(session, at=now, kind=LogKind.PASSWORD_SET, text=f"{current_user.email} chose another password.")


def _guessable_names(session: Session, own_name: str) -> list[str]:
    """Name the person and the companies: what anybody who knows them tries first."""
    return [own_name, *session.scalars(select(col(Connection.name)))]


def _check_password(app: AppContext, email: str, password: str, address: str) -> User:
    """Find whom address and password belong to; a failure counts for the limits, whoever it was."""
    now = app.now()
    with reading(app.engine) as session:
        _check_attempt_limits(session, address, email, now)
        user = session.scalars(select(User).where(col(User.email) == email)).first()
    if (
        passwords.verify_password(password, user.password_hash if user and user.disabled_at is None else "")
        and user is not None
    ):
        return user
    record_failure(app, address, email)
    message = "Address and password do not belong together."
    raise SignInError(message)


def record_failure(app: AppContext, address: str, email: str) -> None:
    """Count a failed sign-in for the limits, and say so in the program's log."""
    now = app.now()
    log.warning("a sign-in failed, from %s", address or "this machine")
    with writing(app.engine) as session:
        session.execute(delete(SignInAttempt).where(col(SignInAttempt.at) < now - _DAY))
        session.add(SignInAttempt(at=now, ip_address=address, email=email))


def check_attempt_limits(app: AppContext, address: str) -> None:
    """Raise ``TooManyTriesError`` where too much was tried from there, whatever the way in."""
    with reading(app.engine) as session:
        _check_attempt_limits(session, address, "", app.now())


def reset(session: Session, user: User, *, by: str, at: datetime) -> str:
    """Forget all that let a user in, and end his sessions; returns the token of the link to a new password.

    The sign-in service vouches for him anew, by his address: who he was there may have been tied by somebody else.
    """
    user.password_hash, user.disabled_at, user.passkey_only, user.oidc_subject = "", None, False, ""
    session.execute(delete(Passkey).where(col(Passkey.user_id) == user.id))  # lost, or not his: who knows
    end_access(session, user)
    sync_log.write(session, at=at, kind=LogKind.USER_RESET, text=f"{by} made a new sign-in link for {user.email}.")
    return create_link(session, user, at)


def _check_attempt_limits(session: Session, address: str, email: str, now: datetime) -> None:
    def failures(since: datetime, **of: str) -> int:
        where = [col(getattr(SignInAttempt, name)) == value for name, value in of.items()]
        counted = select(func.count()).select_from(SignInAttempt).where(col(SignInAttempt.at) > since, *where)
        return session.scalar(counted) or 0

    if (
        failures(now - _HOUR, ip_address=address) >= PER_ADDRESS_MAX
        or (email and failures(now - _HOUR, email=email) >= PER_EMAIL_MAX)
        or (email and failures(now - _DAY, email=email) >= PER_ACCOUNT_MAX)
    ):
        log.warning("no sign-in is tried from %s: too many failed", address or "this machine")
        message = "Too many tries. Wait an hour, or have a new link made at the terminal: duewell users reset"
        raise TooManyAttemptsError(message)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
