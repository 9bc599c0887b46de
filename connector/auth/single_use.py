"""What a sign-in may use once: a passkey's challenge, and the state of a sign-in at another service."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from connector.db.tables import UsedChallenge

VALID_AT_MOST = timedelta(minutes=10)  # whatever is used once has expired after this time


def use_once(session: Session, value: str, now: datetime) -> bool:
    """Record that a value is used; return whether this is the first time. Those that have expired are forgotten."""
    session.execute(delete(UsedChallenge).where(col(UsedChallenge.used_at) < now - VALID_AT_MOST))
    try:
        with session.begin_nested():
            session.add(UsedChallenge(challenge_hash=hashlib.sha256(value.encode()).hexdigest(), used_at=now))
    except IntegrityError:
        return False
    return True
