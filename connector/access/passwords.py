"""Passwords: hashed by argon2id, checked a few at a time, refused where they are too easy."""

from __future__ import annotations

import secrets
import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_MIN, LENGTH_MAX = 12, 256
_HASHER = PasswordHasher()  # argon2id, 64 MiB, 3 passes: RFC 9106's second choice, a fifth of a second
_AT_ONCE = threading.BoundedSemaphore(2)  # each takes 64 MiB: a crowd at the door must not fill the memory


class WeakPasswordError(Exception):
    """A password nobody should have; ``str()`` says what a better one is."""


def hash_password(password: str, email: str = "") -> str:
    """Hash a password. Raises ``WeakPasswordError`` for one that is easily guessed."""
    _refuse_weak(password, email)
    with _AT_ONCE:
        return _HASHER.hash(password)


def fits(password: str, hashed: str) -> bool:
    """Tell whether a password is the one that was hashed; takes as long where there is no hash to compare with."""
    if len(password) > LENGTH_MAX:
        return False
    with _AT_ONCE:
        try:
            return _HASHER.verify(hashed or _nobodys(), password) and bool(hashed)
        except (VerificationError, InvalidHashError):
            return False


@cache
def _nobodys() -> str:
    return _HASHER.hash(secrets.token_hex())


def _refuse_weak(password: str, email: str) -> None:
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        message = f"A password has at least {LENGTH_MIN} characters; a few words in a row are a good one."
        raise WeakPasswordError(message)
    name = email.partition("@")[0].lower()
    plain = password.lower().replace(name, "") if name else password.lower()
    if len(set(plain)) < 6 or "password" in plain or "123456" in plain:
        message = "This password is easily guessed; a few words in a row are a good one."
        raise WeakPasswordError(message)
