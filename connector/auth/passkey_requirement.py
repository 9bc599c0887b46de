"""Whether an owner requires a passkey of every user, and what that means for those who sign in.

A passkey counts as two factors (the device, and the finger, face or PIN that unlocks it), and so does single sign-on,
whose service has to ask for its own second factor. The token of such a session is marked as strong. Only the token's
hash is stored, so the mark cannot be forged.
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

SUPPORT_HINT = "Browsers allow passkeys only at a host name over https, or at localhost."
_REQUIREMENT_KEY = "passkeys_required"
_RELYING_PARTY_KEY = "passkeys_relying_party"  # the host name of the newest passkey
_STRONG_PREFIX = "2."  # other tokens contain no point


class PasskeyRequirement(NamedTuple):
    """Who requires a passkey of every user, and since when."""

    by: str
    since: datetime


def is_supported(settings: Settings) -> bool:
    """Return whether browsers allow passkeys here: at a host name, over https or on this machine."""
    host = relying_party_id(settings)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return urlsplit(settings.duewell_base_url).scheme == "https" or host == "localhost"
    return False


def relying_party_id(settings: Settings) -> str:
    """Return the host name that passkeys are bound to; browsers offer them at no other."""
    return urlsplit(settings.duewell_base_url).hostname or ""


def record_relying_party(session: Session, settings: Settings, now: datetime) -> None:
    """Record the host name that a new passkey is bound to."""
    session.merge(KeyValue(connection_id=0, name=_RELYING_PARTY_KEY, value=relying_party_id(settings), stored_at=now))


def find_other_relying_party(session: Session, settings: Settings) -> str:
    """Return the other host name that the passkeys are bound to; "" if there is none."""
    row = session.get(KeyValue, (0, _RELYING_PARTY_KEY))
    moved = row is not None and row.value != relying_party_id(settings)
    return str(row.value) if row and moved and session.scalar(select(col(Passkey.id)).limit(1)) else ""


def new_token(*, strong: bool) -> str:
    """Return a new session token, marked as ``strong`` after a sign-in with two factors."""
    return (_STRONG_PREFIX if strong else "") + secrets.token_urlsafe(32)


def is_strong(token: str) -> bool:
    """Return whether the session of this token was opened with two factors."""
    return token.startswith(_STRONG_PREFIX)


def get_requirement(session: Session) -> PasskeyRequirement | None:
    """Return who requires passkeys; None where each user chooses."""
    row = session.get(KeyValue, (0, _REQUIREMENT_KEY))
    return PasskeyRequirement(row.value["by"], row.stored_at) if row is not None else None


def is_password_enough(session: Session, user: User) -> bool:
    """Return whether the password alone signs a user in; where passkeys are required, only to add the first one."""
    return not user.passkey_only and (get_requirement(session) is None or not _has_passkey(session, user.id))


def apply_requirement(session: Session, current_user: CurrentUser, token: str) -> CurrentUser | None:
    """Return the user of a live session, with ``needs_passkey`` where they have none; None to sign in with theirs.

    Checked on every request, so that a new requirement holds at once for sessions that were open before.
    """
    if is_strong(token) or get_requirement(session) is None:
        return current_user
    return None if _has_passkey(session, current_user.id) else replace(current_user, needs_passkey=True)


def find_obstacle(app: AppContext, session: Session, current_user: CurrentUser | None, token: str) -> str:
    """Return why passkeys cannot be required yet and what to do, or ""; the command line has no ``current_user``."""
    if not is_supported(app.settings):
        return f"{SUPPORT_HINT} This is {app.settings.duewell_base_url}; change DUEWELL_BASE_URL first."
    if current_user is None:
        owners = select(col(Passkey.id)).join(User, col(User.id) == col(Passkey.user_id))
        found = session.scalar(owners.where(col(User.role) == Role.OWNER, col(User.disabled_at).is_(None)).limit(1))
        return "" if found else "No owner has a passkey yet. An owner has to add one first, on their account page."
    used_at = list(session.scalars(select(col(Passkey.used_at)).where(col(Passkey.user_id) == current_user.id)))
    if not used_at:
        return "You have no passkey yet. Add one on your account page, then come back."
    if not any(used_at) or not is_strong(token):
        return "Sign out and sign in with your passkey first, to be sure that it works."
    return ""


def set_required(
    app: AppContext, *, required: bool, by: str, current_user: CurrentUser | None = None, token: str = ""
) -> None:
    """Require a passkey of every user, or let each user choose again.

    Raises:
        UserError: they cannot be required yet; the message says why.

    """
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
        text = f"{by} made passkeys required." if required else f"{by} made passkeys optional."
        sync_log.write(session, at=now, kind=LogKind.PASSKEY_REQUIREMENT, text=text)


def _has_passkey(session: Session, user_id: int | None) -> bool:
    return session.scalar(select(col(Passkey.id)).where(col(Passkey.user_id) == user_id).limit(1)) is not None
