"""Passkeys of everybody: whether an owner demands them, and what that asks of whoever comes in.

Two factors let in where a passkey does (the key, and the finger, face or PIN that opens it), or the team's sign-in
service, which has to ask for its second one itself. The token of such a session says so: it is known here by its hash
alone, so no other one can be made to say it.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.auth.users import CurrentUser, UserError
from connector.db.engine import writing
from connector.db.tables import KeyValue, Passkey, User
from connector.settings import Settings
from connector.vocabulary import LogKind, Role

SUPPORT_HINT = "Browsers allow passkeys only where duewell is reached by a name over https, or at localhost."
_REQUIREMENT_KEY = "passkeys_required"
_RELYING_PARTY_KEY = "passkeys_relying_party"  # the name that the newest was made for
_STRONG_PREFIX = "2."  # no other token has a point in it


class PasskeyRequirement(NamedTuple):
    """Who demands a passkey of everybody, and since when."""

    by: str
    since: datetime


def is_supported(settings: Settings) -> bool:
    """Tell whether browsers allow passkeys here: for a name, not a number, and over https or on this machine."""
    host = relying_party_id(settings)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return urlsplit(settings.duewell_base_url).scheme == "https" or host == "localhost"
    return False


def relying_party_id(settings: Settings) -> str:
    """The name that passkeys are made for: browsers hand them to no other."""
    return urlsplit(settings.duewell_base_url).hostname or ""


def record_relying_party(session: Session, settings: Settings, now: datetime) -> None:
    """Note for which name a passkey was made just now."""
    session.merge(KeyValue(connection_id=0, name=_RELYING_PARTY_KEY, value=relying_party_id(settings), stored_at=now))


def find_other_relying_party(session: Session, settings: Settings) -> str:
    """Tell for which other name the passkeys here were made; "" where they are for this one, or there are none."""
    row = session.get(KeyValue, (0, _RELYING_PARTY_KEY))
    moved = row is not None and row.value != relying_party_id(settings)
    return str(row.value) if row and moved and session.scalar(select(col(Passkey.id)).limit(1)) else ""


def new_token(*, strong: bool) -> str:
    """Make a session's token; a ``strong`` one says that two factors let in."""
    return (_STRONG_PREFIX if strong else "") + secrets.token_urlsafe(32)


def is_strong(token: str) -> bool:
    """Tell whether the session of this token was let in by two factors."""
    return token.startswith(_STRONG_PREFIX)


def get_requirement(session: Session) -> PasskeyRequirement | None:
    """Tell who demands a passkey of everybody; None where each person chooses."""
    row = session.get(KeyValue, (0, _REQUIREMENT_KEY))
    return PasskeyRequirement(row.value["by"], row.stored_at) if row is not None else None


def is_password_enough(session: Session, user: User) -> bool:
    """Tell whether a user's password alone lets him in; where everybody needs a passkey, only to add his first one."""
    return not user.passkey_only and (get_requirement(session) is None or not _has_passkey(session, user.id))


def apply_requirement(session: Session, current_user: CurrentUser, token: str) -> CurrentUser | None:
    """Say what becomes of somebody whose session lives: he goes on, owes a passkey, or comes in anew by his (None).

    Asked at every request, so that it holds at once for whoever was in before.
    """
    if is_strong(token) or get_requirement(session) is None:
        return current_user
    return None if _has_passkey(session, current_user.id) else replace(current_user, needs_passkey=True)


def find_obstacle(app: AppContext, session: Session, current_user: CurrentUser | None, token: str) -> str:
    """Say why it cannot be demanded yet, and what to do; "" where it can. At the terminal there is no ``person``."""
    if not is_supported(app.settings):
        return f"{SUPPORT_HINT} Here it is {app.settings.duewell_base_url}: give DUEWELL_BASE_URL such a name first."
    if current_user is None:
        owners = select(col(Passkey.id)).join(User, col(User.id) == col(Passkey.user_id))
        found = session.scalar(owners.where(col(User.role) == Role.OWNER, col(User.disabled_at).is_(None)).limit(1))
        return "" if found else "No owner has a passkey yet. Let one add his, on the page of his account, first."
    used_at = list(session.scalars(select(col(Passkey.used_at)).where(col(Passkey.user_id) == current_user.id)))
    if not used_at:
        return "You have no passkey yourself yet. Add one on the page of your account, then come back."
    if not any(used_at) or not is_strong(token):
        return "Sign out and come in by your passkey first: then it is known to work."
    return ""


def set_required(
    app: AppContext, *, required: bool, by: str, current_user: CurrentUser | None = None, token: str = ""
) -> None:
    """Demand a passkey of everybody, or leave it to each person again. Raises ``UserError`` where it cannot be."""
    now = app.now()
    with writing(app.engine) as session:
        row = session.get(KeyValue, (0, _REQUIREMENT_KEY))
        if required == (row is not None):
            return
        if row is not None:
            session.delete(row)
        elif problem := find_obstacle(app, session, current_user, token):
            raise UserError(problem)
        else:
            session.add(KeyValue(connection_id=0, name=_REQUIREMENT_KEY, value={"by": by}, stored_at=now))
        text = f"{by} demands a passkey of everybody." if required else f"{by} leaves passkeys to each person again."
        sync_log.write(session, at=now, kind=LogKind.PASSKEY_REQUIREMENT, text=text)


def _has_passkey(session: Session, user_id: int | None) -> bool:
    return session.scalar(select(col(Passkey.id)).where(col(Passkey.user_id) == user_id).limit(1)) is not None
