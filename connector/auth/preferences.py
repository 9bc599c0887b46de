"""What a user prefers: the time zone of pages and digest, and when the morning digest is sent, if at all."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import time
from zoneinfo import available_timezones

from sqlalchemy import select, update
from sqlmodel import Session, col

from connector.auth.users import UserError
from connector.db.tables import Connection, User

COMMON_TIME_ZONES = (  # suggested; any other of the time zone database may be typed
    "Europe/London", "Europe/Dublin", "Europe/Paris", "Europe/Berlin", "Europe/Madrid", "Europe/Athens",
    "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Toronto",
    "Asia/Dubai", "Asia/Singapore", "Asia/Hong_Kong", "Asia/Tokyo",
    "Australia/Perth", "Australia/Brisbane", "Australia/Sydney", "Pacific/Auckland", "UTC",
)  # fmt: skip
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
_IN_MAX = 500


@dataclass(frozen=True, slots=True)
class Preferences:
    """A user's preferences; "" and None stand for each company's own time zone and the usual time."""

    time_zone: str = ""
    digest_at: time | None = None
    digest_off: bool = False


DEFAULT = Preferences()


def load_preferences(session: Session, addresses: Collection[str]) -> dict[str, Preferences]:
    """Return the preferences of those addresses that are users', by the address in lower case."""
    wanted = sorted({each.lower() for each in addresses})[:_IN_MAX]
    if not wanted:
        return {}
    rows = session.scalars(select(User).where(col(User.email).in_(wanted), col(User.disabled_at).is_(None)))
    return {row.email: preferences_of(row) for row in rows}


def preferences_of(row: User) -> Preferences:
    """Return a user's preferences."""
    digest_at = time.fromisoformat(row.digest_at) if row.digest_at else None
    return Preferences(row.time_zone, digest_at, row.digest_off)


def update_preferences(session: Session, user_id: int, *, time_zone: str, digest_at: str, digest_off: bool) -> None:
    """Change a user's preferences.

    Raises:
        UserError: there is no such time zone, or the time is none; the message says how to write it.

    """
    check_time_zone(time_zone)
    check_digest_time(digest_at)
    user = session.get_one(User, user_id)
    user.time_zone, user.digest_at, user.digest_off = time_zone, digest_at, digest_off
    session.execute(update(Connection).values(decision_fingerprint=""))  # today's digest may come at another time


def check_time_zone(time_zone: str) -> None:
    """Raise ``UserError`` where there is no such time zone."""
    if time_zone and time_zone not in available_timezones():
        message = f"There is no time zone {time_zone!r}. Write it as Europe/London, or leave it empty."
        raise UserError(message)


def check_digest_time(digest_at: str) -> None:
    """Raise ``UserError`` where a text is no time of day."""
    if digest_at and not _TIME.fullmatch(digest_at):
        message = f"{digest_at!r} is no time of day. Write it as 07:30, or leave it empty."
        raise UserError(message)
