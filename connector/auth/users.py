"""The people who use the web app: their roles, the companies they are limited to, adding and ending them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlmodel import Session, col

from connector.audit import sync_log
from connector.db.tables import Connection, Passkey, SignInLink, User, UserCompany, WebSession
from connector.vocabulary import LogKind, Role

ROLES = {
    "viewer": "reads everything, changes nothing",
    "bookkeeper": "approves, rejects, settles doubts, switches and pauses companies",
    "owner": "does everything: connects companies, adds people; is never limited to companies",
}
_RANK = {role: rank for rank, role in enumerate(ROLES)}


class UserError(Exception):
    """A user that cannot be added or changed so; ``str()`` says why and what would do."""


@dataclass(frozen=True, slots=True)
class CurrentUser:
    """Somebody who is signed in, and what he may see and do. ``companies`` is None where he sees all.

    Who ``owes_passkey`` may do nothing until he has added the one that everybody needs here.
    """

    id: int
    email: str
    name: str
    role: str
    companies: frozenset[int] | None
    needs_passkey: bool = False

    def has_role(self, role: str) -> bool:
        """Tell whether this person may do what ``role`` may."""
        return _RANK[self.role] >= _RANK[role]

    def can_see(self, connection_id: int | None) -> bool:
        """Tell whether a company is among this person's; what belongs to no company is for those who see all."""
        return self.companies is None or connection_id in self.companies


def build_current_user(session: Session, user: User) -> CurrentUser:
    """Say what a user may see and do."""
    companies = None if user.role == "owner" or user.all_companies else frozenset(_company_ids(session, user))
    return CurrentUser(user.id or 0, user.email, user.name or user.email, user.role, companies)


def has_users(session: Session) -> bool:
    """Tell whether anybody was added yet."""
    return session.scalar(select(col(User.id)).limit(1)) is not None


def add_user(
    session: Session,
    email: str,
    role: str,
    *,
    name: str = "",
    companies: Collection[int] | None = None,
    by: str,
    at: datetime,
) -> User:
    """Add a user; without ``companies`` he sees all. He signs in once he has chosen a password by his link."""
    address = _parse_email(email)
    if session.scalar(select(col(User.id)).where(col(User.email) == address)) is not None:
        message = f"{address} is a user already."
        raise UserError(message)
    user = User(
        email=address, name=name.strip()[:200], role=_parse_role(role), all_companies=companies is None, created_at=at
    )
    session.add(user)
    session.flush()
    _set_companies(session, user, companies)
    _log(session, at, LogKind.USER_ADDED, f"{by} added {address} as {role}{_company_suffix(session, companies)}.")
    return user


def change_role(
    session: Session, email: str, role: str, *, companies: Collection[int] | None = None, by: str, at: datetime
) -> User:
    """Give a user another role, and all companies or only ``companies``."""
    user = find_user(session, email)
    if user.role == "owner" and role != "owner":
        _refuse_last_owner(session, user)
    user.role, user.all_companies = _parse_role(role), companies is None
    _set_companies(session, user, companies)
    _log(session, at, LogKind.USER_CHANGED, f"{by} made {user.email} {role}{_company_suffix(session, companies)}.")
    return user


def disable(session: Session, email: str, *, by: str, at: datetime) -> User:
    """Let a user in no more: his sessions and links end at once."""
    user = find_user(session, email)
    if user.role == "owner":
        _refuse_last_owner(session, user)
    user.disabled_at = at
    end_access(session, user)
    _log(session, at, LogKind.USER_DISABLED, f"{by} disabled {user.email}.")
    return user


def end_access(session: Session, user: User) -> None:
    """End every session and link of a user."""
    session.execute(delete(WebSession).where(col(WebSession.user_id) == user.id))
    session.execute(delete(SignInLink).where(col(SignInLink.user_id) == user.id))


def find_user(session: Session, email: str) -> User:
    """Find a user by address, or say which there are."""
    user = session.scalars(select(User).where(col(User.email) == email.strip().lower())).first()
    if user is None:
        known = ", ".join(session.scalars(select(col(User.email)).order_by(col(User.email)))) or "nobody yet"
        message = f"There is no user {email!r}. Known: {known}."
        raise UserError(message)
    return user


def list_user_accounts(session: Session) -> list[dict[str, Any]]:
    """List all users with role and companies, and whether each has a passkey."""
    with_passkey = set(session.scalars(select(col(Passkey.user_id)).distinct()))
    return [
        {
            "id": user.id,
            "email": user.email,
            "name": user.name,
            "role": user.role,
            "companies": None if user.all_companies else _company_names(session, user),
            "state": "disabled" if user.disabled_at else "active" if user.password_hash else "invited",
            "passkey": user.id in with_passkey,
            "signed_in_at": user.signed_in_at,
        }
        for user in session.scalars(select(User).order_by(col(User.id)))
    ]


def _company_ids(session: Session, user: User) -> list[int]:
    return list(session.scalars(select(col(UserCompany.connection_id)).where(col(UserCompany.user_id) == user.id)))


def _company_names(session: Session, user: User) -> list[str]:
    return _short_names(session, _company_ids(session, user))


def _short_names(session: Session, ids: Collection[int]) -> list[str]:
    query = select(col(Connection.short_name)).where(col(Connection.id).in_(list(ids)))
    return list(session.scalars(query.order_by(col(Connection.id))))


def _set_companies(session: Session, user: User, companies: Collection[int] | None) -> None:
    if user.role == "owner" and companies is not None:
        message = "An owner sees every company; limit a bookkeeper or a viewer."
        raise UserError(message)
    session.execute(delete(UserCompany).where(col(UserCompany.user_id) == user.id))
    for connection_id in sorted(set(companies or ())):
        session.add(UserCompany(user_id=user.id or 0, connection_id=connection_id))


def _refuse_last_owner(session: Session, user: User) -> None:
    others = session.scalar(
        select(func.count())
        .select_from(User)
        .where(col(User.role) == Role.OWNER, col(User.disabled_at).is_(None), col(User.id) != user.id)
    )
    if not others:
        message = f"{user.email} is the only owner; make somebody else an owner first."
        raise UserError(message)


def _parse_role(role: str) -> Role:
    if role not in ROLES:
        message = f"There is no role {role!r}; there are {', '.join(ROLES)}."
        raise UserError(message)
    return Role(role)


def _parse_email(email: str) -> str:
    address = email.strip().lower()
    name, at, domain = address.rpartition("@")
    if not (name and at and domain) or len(address) > 254 or any(letter.isspace() for letter in address):
        message = f"{email!r} is not a mail address; write it like ann@example.com."
        raise UserError(message)
    return address


def _company_suffix(session: Session, companies: Collection[int] | None) -> str:
    return "" if companies is None else f", for {', '.join(_short_names(session, companies)) or 'no company yet'}"


def _log(session: Session, at: datetime, kind: LogKind, text: str) -> None:
    sync_log.write(session, at=at, kind=kind, text=text)
