"""Signing in: one-time links, passwords, sessions kept in the database, and limits on trying."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlmodel import Session, col

from connector import sync_log
from connector.access import passwords
from connector.access.users import Person, UserError, add_user, any_user, end_access, person_of
from connector.database import reading, writing
from connector.installation import Installation
from connector.tables import SignInAttempt, SignInLink, User, WebSession

LINK_LIFETIME = timedelta(hours=24)
UNUSED_MAX = timedelta(hours=12)
SESSION_MAX = timedelta(days=7)
PER_ADDRESS_MAX, PER_EMAIL_MAX = 20, 10  # failures in an hour
_SEEN_EVERY = timedelta(minutes=5)  # a page that is looked at need not write each time
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


class SignInError(Exception):
    """Nobody is let in; ``str()`` says no more than a stranger may know."""


class TooManyTriesError(SignInError):
    """Too many failures in an hour, from there or for that user."""


def make_link(session: Session, user: User | None, at: datetime, *, enters: bool = False) -> str:
    """Make a one-time link's token for a user (None: for the first owner); an earlier one of his counts no more."""
    mine = col(SignInLink.user_id).is_(None) if user is None else col(SignInLink.user_id) == user.id
    session.execute(delete(SignInLink).where(mine))
    token = secrets.token_urlsafe(32)
    session.add(
        SignInLink(
            token_hash=_hash(token),
            user_id=user.id if user else None,
            made_at=at,
            expires_at=at + LINK_LIFETIME,
            enters=enters,
        )
    )
    return token


def first_link(installation: Installation) -> str | None:
    """Make the token of the first owner's link, or None where there are users."""
    with writing(installation.engine) as session:
        return None if any_user(session) else make_link(session, None, installation.now())


def whose_link(session: Session, token: str, at: datetime) -> tuple[SignInLink, User | None]:
    """Find a link that still counts, and its user. Raises ``SignInError`` where there is none."""
    link = session.get(SignInLink, _hash(token))
    if link is None or link.used_at is not None or link.expires_at <= at:
        message = "This link was used already, is older than a day, or never was one. Ask for a new one."
        raise SignInError(message)
    user = session.get(User, link.user_id) if link.user_id is not None else None
    if user is None and any_user(session):
        message = "There is an owner already. Ask for a link of your own."
        raise SignInError(message)
    return link, user


def enter_by_link(installation: Installation, token: str) -> str | None:
    """Let in at once by a link that allows it; None where a password must be chosen first."""
    now = installation.now()
    with writing(installation.engine) as session:
        link, user = whose_link(session, token, now)
        if not link.enters or user is None:
            return None
        link.used_at = now
        return _begin(session, user, now)


def choose_password(installation: Installation, token: str, password: str, *, email: str = "", name: str = "") -> str:
    """Use up a link: set the password (and make the first owner), end other sessions, and begin one."""
    now = installation.now()
    with reading(installation.engine) as session:
        _link, user = whose_link(session, token, now)
    hashed = passwords.hash_password(password, user.email if user else email)  # slow: not while others wait to write
    with writing(installation.engine) as session:
        link, user = whose_link(session, token, now)
        if user is None:
            user = add_user(session, email, "owner", name=name, by="The first start", at=now)
        user.password_hash = hashed
        end_access(session, user)
        if link.user_id is None:
            session.delete(link)
        sync_log.write(session, at=now, kind="password_chosen", text=f"{user.email} chose a password.")
        return _begin(session, user, now)


def sign_in(installation: Installation, email: str, password: str, address: str) -> str:
    """Check a password and begin a session; returns its token."""
    now, email = installation.now(), email.strip().lower()[:254]
    with reading(installation.engine) as session:
        _refuse_too_many(session, address, email, now)
        user = session.scalars(select(User).where(col(User.email) == email)).first()
    right = passwords.fits(password, user.password_hash if user and user.disabled_at is None else "")
    with writing(installation.engine) as session:
        if not right or user is None:
            session.execute(delete(SignInAttempt).where(col(SignInAttempt.at) < now - _DAY))
            session.add(SignInAttempt(at=now, address=address, email=email))
        else:
            return _begin(session, session.get_one(User, user.id), now)
    message = "Address and password do not belong together."
    raise SignInError(message)


def find_person(installation: Installation, token: str) -> Person | None:
    """Find who is signed in by a session's token."""
    if not token:
        return None
    now = installation.now()
    with reading(installation.engine) as session:
        row = session.get(WebSession, _hash(token))
        if row is None or now - row.seen_at > UNUSED_MAX or now - row.started_at > SESSION_MAX:
            return None
        user = session.get_one(User, row.user_id)
        person = None if user.disabled_at is not None else person_of(session, user)
    if person is not None and now - row.seen_at > _SEEN_EVERY:
        with writing(installation.engine) as session:
            still = session.get(WebSession, row.token_hash)
            if still is not None:
                still.seen_at = now
    return person


def sign_out(installation: Installation, token: str) -> None:
    """End a session."""
    with writing(installation.engine) as session:
        session.execute(delete(WebSession).where(col(WebSession.token_hash) == _hash(token)))


def reset(session: Session, user: User, *, by: str, at: datetime) -> str:
    """Forget a user's password and end his sessions; returns the token of the link by which he chooses a new one."""
    user.password_hash, user.disabled_at = "", None
    end_access(session, user)
    sync_log.write(session, at=at, kind="user_reset", text=f"{by} made a new sign-in link for {user.email}.")
    return make_link(session, user, at)


def session_hash(token: str) -> str:
    """What a session's token is known by in the database."""
    return _hash(token) if token else ""


def _begin(session: Session, user: User, now: datetime) -> str:
    if user.disabled_at is not None:
        message = f"{user.email} is disabled."
        raise UserError(message)
    session.execute(delete(WebSession).where(col(WebSession.started_at) < now - SESSION_MAX))
    token = secrets.token_urlsafe(32)
    session.add(WebSession(token_hash=_hash(token), user_id=user.id or 0, started_at=now, seen_at=now))
    user.signed_in_at = now
    return token


def _refuse_too_many(session: Session, address: str, email: str, now: datetime) -> None:
    recent = select(func.count()).select_from(SignInAttempt).where(col(SignInAttempt.at) > now - _HOUR)
    from_there = session.scalar(recent.where(col(SignInAttempt.address) == address)) or 0
    for_him = session.scalar(recent.where(col(SignInAttempt.email) == email)) or 0
    if from_there >= PER_ADDRESS_MAX or for_him >= PER_EMAIL_MAX:
        message = "Too many tries. Wait an hour, or have a new link made at the terminal: duewell users reset"
        raise TooManyTriesError(message)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
