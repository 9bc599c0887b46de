"""The users of the web app: their roles, the companies they can see, adding and disabling them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, exists, func, select
from sqlmodel import Session, col

from connector.audit import sync_log
from connector.db.tables import Connection, Passkey, SignInLink, User, UserCompany, WebSession
from connector.results import Result
from connector.vocabulary import LogKind, Role, UserState

ROLES = {
    Role.VIEWER: "can see everything and change nothing",
    Role.BOOKKEEPER: "can approve, reject and resolve, record agreements, and change modes and pause companies",
    Role.OWNER: "can do everything, such as connect companies and add users; always has access to every company",
}
_RANK = {role: rank for rank, role in enumerate(Role)}


class UserError(Exception):
    """A user cannot be added or changed; the message says why and what to do."""


class RoleError(UserError):
    """A user cannot have this role, or not for some companies only."""


@dataclass(frozen=True, slots=True)
class CurrentUser:
    """The user who is signed in. ``companies`` is None for every company.

    With ``needs_passkey`` they can do nothing but add the passkey that is required here. ``time_zone`` is the one in
    which they want to read times, "" for each company's own.
    """

    id: int
    email: str
    name: str
    role: Role
    companies: frozenset[int] | None
    needs_passkey: bool = False
    time_zone: str = ""

    def has_role(self, role: Role) -> bool:
        """Return whether the user has ``role`` or a greater one."""
        return _RANK[self.role] >= _RANK[role]

    def can_see(self, connection_id: int | None) -> bool:
        """Return whether the user can see a company; what belongs to no company is for users of all companies."""
        return self.companies is None or connection_id in self.companies


def build_current_user(session: Session, user: User) -> CurrentUser:
    """Build what a session knows of its user."""
    companies = None if user.role == Role.OWNER or user.all_companies else frozenset(_company_ids(session, user))
    name = user.name or user.email
    return CurrentUser(user.id or 0, user.email, name, Role(user.role), companies, time_zone=user.time_zone)


def has_users(session: Session) -> bool:
    """Return whether any user was added yet."""
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
    """Add a user, of every company unless ``companies`` are given; a sign-in link lets them choose a password."""
    address = _parse_email(email)
    if session.scalar(select(col(User.id)).where(col(User.email) == address)) is not None:
        message = f"{address} is already a user."
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
    """Change a user's role, and give access to every company or to ``companies`` only."""
    user = find_user(session, email)
    if user.role == Role.OWNER and role != Role.OWNER:
        _refuse_last_owner(session, user)
    user.role, user.all_companies = _parse_role(role), companies is None
    _set_companies(session, user, companies)
    _log(session, at, LogKind.USER_CHANGED, f"{by} made {user.email} {role}{_company_suffix(session, companies)}.")
    return user


def find_companies(session: Session, email: str) -> list[int] | None:
    """Return the companies that a user sees, None for every company."""
    user = find_user(session, email)
    return None if user.role == Role.OWNER or user.all_companies else list(_company_ids(session, user))


def disable(session: Session, email: str, *, by: str, at: datetime) -> User:
    """Disable a user and end their sessions and links at once."""
    user = find_user(session, email)
    if user.role == Role.OWNER:
        _refuse_last_owner(session, user)
    user.disabled_at = at
    end_access(session, user)
    _log(session, at, LogKind.USER_DISABLED, f"{by} disabled {user.email}.")
    return user


def end_access(session: Session, user: User) -> None:
    """End all sessions and links of a user."""
    session.execute(delete(WebSession).where(col(WebSession.user_id) == user.id))
    session.execute(delete(SignInLink).where(col(SignInLink.user_id) == user.id))


def find_user(session: Session, email: str) -> User:
    """Find a user by email address.

    Raises:
        UserError: there is no such user; the message lists those there are.

    """
    user = session.scalars(select(User).where(col(User.email) == email.strip().lower())).first()
    if user is None:
        known = ", ".join(session.scalars(select(col(User.email)).order_by(col(User.email)))) or "none yet"
        message = f"There is no user {email!r}. Known: {known}."
        raise UserError(message)
    return user


class UserAccount(Result):
    """A user as lists show them; ``companies`` is None for every company."""

    id: int
    email: str
    name: str
    role: Role
    companies: list[str] | None
    state: UserState
    passkey: bool
    signed_in_at: datetime | None


def list_user_accounts(session: Session, ids: Collection[int] | None = None) -> list[UserAccount]:
    """Return all users, or those of these ids."""
    wanted = [] if ids is None else [col(User.id).in_(list(ids))]
    rows = list(session.scalars(select(User).where(*wanted).order_by(col(User.id))))
    names = _company_names(session, [row.id or 0 for row in rows if not row.all_companies])
    with_passkey = set(session.scalars(select(col(Passkey.user_id)).distinct()))
    return [
        UserAccount(
            id=user.id or 0,
            email=user.email,
            name=user.name,
            role=Role(user.role),
            companies=None if user.all_companies else names.get(user.id or 0, []),
            state=_user_state(user),
            passkey=user.id in with_passkey,
            signed_in_at=user.signed_in_at,
        )
        for user in rows
    ]


def count_without_passkey(session: Session) -> int:
    """Count the users, but for disabled ones, who have no passkey."""
    has_passkey = exists().where(col(Passkey.user_id) == col(User.id))
    query = select(func.count()).select_from(User).where(col(User.disabled_at).is_(None), ~has_passkey)
    return int(session.scalar(query) or 0)


def _user_state(user: User) -> UserState:
    if user.disabled_at is not None:
        return UserState.DISABLED
    return UserState.ACTIVE if user.password_hash else UserState.INVITED


def _company_ids(session: Session, user: User) -> list[int]:
    return list(session.scalars(select(col(UserCompany.connection_id)).where(col(UserCompany.user_id) == user.id)))


def _company_names(session: Session, user_ids: Collection[int]) -> dict[int, list[str]]:
    """Return the short names of the companies that users are limited to, by the user's id."""
    found: dict[int, list[str]] = {}
    query = select(col(UserCompany.user_id), col(Connection.short_name)).join(
        Connection, col(Connection.id) == col(UserCompany.connection_id)
    )
    query = query.where(col(UserCompany.user_id).in_(list(user_ids))).order_by(col(Connection.id))
    for user_id, name in session.execute(query) if user_ids else ():
        found.setdefault(user_id, []).append(name)
    return found


def _short_names(session: Session, ids: Collection[int]) -> list[str]:
    query = select(col(Connection.short_name)).where(col(Connection.id).in_(list(ids)))
    return list(session.scalars(query.order_by(col(Connection.id))))


def _set_companies(session: Session, user: User, companies: Collection[int] | None) -> None:
    if user.role == "owner" and companies is not None:
        message = "An owner has access to every company; only bookkeepers and viewers can be limited."
        raise RoleError(message)
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
        message = f"{user.email} is the only owner. Make another user an owner first."
        raise UserError(message)


def _parse_role(role: str) -> Role:
    if role not in ROLES:
        message = f"There is no role {role!r}; choose one of {', '.join(ROLES)}."
        raise RoleError(message)
    return Role(role)


def _parse_email(email: str) -> str:
    address = email.strip().lower()
    name, at, domain = address.rpartition("@")
    if not (name and at and domain) or len(address) > 254 or any(character.isspace() for character in address):
        message = f"{email!r} is not an email address; write it like ann@example.com."
        raise UserError(message)
    return address


def _company_suffix(session: Session, companies: Collection[int] | None) -> str:
    return "" if companies is None else f", for {', '.join(_short_names(session, companies)) or 'no company yet'}"


def _log(session: Session, at: datetime, kind: LogKind, text: str) -> None:
    sync_log.write(session, at=at, kind=kind, text=text)
