"""Passwords: hashed by argon2id, checked a few at a time, refused where they are too easy."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Collection
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_MIN, LENGTH_MAX = 12, 256
_LETTERS_MIN = 6  # different ones, besides what anybody would try
_AS_LETTERS = str.maketrans("013457@$!", "oleastasi")
_ROWS = (
    "12345678901234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop",
    "abcdefghijklmnopqrstuvwxyz", "1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "zaq1xsw2cde3vfr4",
    "qazwsxedcrfvtgb", "a1b2c3d4e5f6g7",
)  # fmt: skip
# What stands on every list of passwords that are tried first, and what stands on every screen here.
_COMMON = frozenset(Path(__file__).with_name("common_words.txt").read_text(encoding="utf-8").split())
_HASHER = PasswordHasher()  # argon2id, 64 MiB, 3 passes: RFC 9106's second choice, a fifth of a second
_AT_ONCE = threading.BoundedSemaphore(2)  # each takes 64 MiB: a crowd at the door must not fill the memory


class WeakPasswordError(Exception):
    """A password nobody should have; ``str()`` says what a better one is."""


def hash_password(password: str, email: str = "", names: Collection[str] = ()) -> str:
    """Hash a password; ``names`` are those of the person and of the companies, which anybody would try.

    Raises ``WeakPasswordError`` for one that is easily guessed.
    """
    _refuse_weak(password, email, names)
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


def _refuse_weak(password: str, email: str, names: Collection[str]) -> None:
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        message = f"A password has at least {LENGTH_MIN} characters; a few words in a row are a good one."
        raise WeakPasswordError(message)
    if len(set(_hard_to_guess(password, email, names))) < _LETTERS_MIN:
        message = "This password is easily guessed; a few words in a row are a good one."
        raise WeakPasswordError(message)


def _hard_to_guess(password: str, email: str, names: Collection[str]) -> str:
    """What is left of a password without all that is tried first: names, common words, rows of keys, repetitions."""
    rest = password.lower().translate(_AS_LETTERS)
    name, _, domain = email.lower().partition("@")
    known = {*_COMMON, *re.split(r"[\W_]+", name), name, *domain.split(".")}
    known.update(word for each in names for word in re.split(r"[\W_]+", each.lower()))
    for word in sorted(filter(lambda each: len(each) > 2, known), key=len, reverse=True):
        rest = rest.replace(word.translate(_AS_LETTERS), "")
    for row in _ROWS:
        for each in (row, row[::-1]):
            for start in range(len(each) - 3):  # four keys in a row and more
                rest = rest.replace(each[start : start + 4].translate(_AS_LETTERS), "")
    return re.sub(r"(.{1,4})\1+", r"\1", rest)
