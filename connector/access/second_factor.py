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

from connector import sync_log
from connector.access.users import Person, UserError
from connector.database import writing
from connector.installation import Installation
from connector.settings import Settings
from connector.tables import Passkey, Stored, User

WHERE = "Browsers allow passkeys only where duewell is reached by a name over https, or at localhost."
_NAME = "passkeys_demanded"
_MADE = "passkeys_made_at"  # the name that the newest was made for
_STRONG = "2."  # no other token has a point in it


class Demand(NamedTuple):
    """Who demands a passkey of everybody, and since when."""

    by: str
    since: datetime


def possible(settings: Settings) -> bool:
    """Tell whether browsers allow passkeys here: for a name, not a number, and over https or on this machine."""
    host = name_of(settings)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return urlsplit(settings.duewell_base_url).scheme == "https" or host == "localhost"
    return False


def name_of(settings: Settings) -> str:
    """The name that passkeys are made for: browsers hand them to no other."""
    return urlsplit(settings.duewell_base_url).hostname or ""


def note_name(session: Session, settings: Settings, now: datetime) -> None:
    """Note for which name a passkey was made just now."""
    session.merge(Stored(connection_id=0, name=_MADE, value=name_of(settings), stored_at=now))


def made_elsewhere(session: Session, settings: Settings) -> str:
    """Tell for which other name the passkeys here were made; "" where they are for this one, or there are none."""
    row = session.get(Stored, (0, _MADE))
    moved = row is not None and row.value != name_of(settings)
    return str(row.value) if row and moved and session.scalar(select(col(Passkey.id)).limit(1)) else ""


def new_token(*, strong: bool) -> str:
    """Make a session's token; a ``strong`` one says that two factors let in."""
    return (_STRONG if strong else "") + secrets.token_urlsafe(32)


def is_strong(token: str) -> bool:
    """Tell whether the session of this token was let in by two factors."""
    return token.startswith(_STRONG)


def demanded(session: Session) -> Demand | None:
    """Tell who demands a passkey of everybody; None where each person chooses."""
    row = session.get(Stored, (0, _NAME))
    return Demand(row.value["by"], row.stored_at) if row is not None else None


def password_lets_in(session: Session, user: User) -> bool:
    """Tell whether a user's password alone lets him in; where everybody needs a passkey, only to add his first one."""
    return not user.passkey_only and (demanded(session) is None or not _has_passkey(session, user.id))


def held_to_it(session: Session, person: Person, token: str) -> Person | None:
    """Say what becomes of somebody whose session lives: he goes on, owes a passkey, or comes in anew by his (None).

    Asked at every request, so that it holds at once for whoever was in before.
    """
    if is_strong(token) or demanded(session) is None:
        return person
    return None if _has_passkey(session, person.id) else replace(person, owes_passkey=True)


def hindrance(installation: Installation, session: Session, person: Person | None, token: str) -> str:
    """Say why it cannot be demanded yet, and what to do; "" where it can. At the terminal there is no ``person``."""
    if not possible(installation.settings):
        return f"{WHERE} Here it is {installation.settings.duewell_base_url}: give DUEWELL_BASE_URL such a name first."
    if person is None:
        owners = select(col(Passkey.id)).join(User, col(User.id) == col(Passkey.user_id))
        found = session.scalar(owners.where(col(User.role) == "owner", col(User.disabled_at).is_(None)).limit(1))
        return "" if found else "No owner has a passkey yet. Let one add his, on the page of his account, first."
    used_at = list(session.scalars(select(col(Passkey.used_at)).where(col(Passkey.user_id) == person.id)))
    if not used_at:
        return "You have no passkey yourself yet. Add one on the page of your account, then come back."
    if not any(used_at) or not is_strong(token):
        return "Sign out and come in by your passkey first: then it is known to work."
    return ""


def switch(installation: Installation, *, on: bool, by: str, person: Person | None = None, token: str = "") -> None:
    """Demand a passkey of everybody, or leave it to each person again. Raises ``UserError`` where it cannot be."""
    now = installation.now()
    with writing(installation.engine) as session:
        row = session.get(Stored, (0, _NAME))
        if on == (row is not None):
            return
        if row is not None:
            session.delete(row)
        elif problem := hindrance(installation, session, person, token):
            raise UserError(problem)
        else:
            session.add(Stored(connection_id=0, name=_NAME, value={"by": by}, stored_at=now))
        text = f"{by} demands a passkey of everybody." if on else f"{by} leaves passkeys to each person again."
        sync_log.write(session, at=now, kind="passkey_rule", text=text)


def _has_passkey(session: Session, user_id: int | None) -> bool:
    return session.scalar(select(col(Passkey.id)).where(col(Passkey.user_id) == user_id).limit(1)) is not None
