"""Passwords: hashed with Argon2id on threads of their own, and refused if they are easily guessed.

A hash takes 64 MiB and a fifth of a second, so one is made at a time, with low priority, and only a few wait: pages are
served meanwhile. Everybody else is told to try again.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from connector.errors import Busy
from providers.import_lock import IMPORT_LOCK

T = TypeVar("T")
LENGTH_MIN, LENGTH_MAX = 12, 256
_GUESSES_LOG10_MIN = 10  # zxcvbn's highest score of five
_SHORT_WORD_LENGTH = 2  # letters: shorter words are part of too many others
_CHECKED_LENGTH = 32  # characters: twice as many would take zxcvbn four times as long
_LEETSPEAK = str.maketrans("013457@$!", "oleastasi")
# Words on our own screens, and common passwords in languages that zxcvbn does not know.
_COMMON_WORDS = (
    "accounting", "bookkeeper", "company", "duewell", "intuit", "invoice", "office", "owner", "quickbooks",
    "reminder", "sendgrid", "viewer", "xero", "correcthorsebatterystaple",
    "passwort", "kennwort", "willkommen", "hallo", "geheim", "schatz", "ichliebedich", "sommer", "herbst", "frühling",
    "rechnung", "buchhaltung", "bienvenue", "motdepasse", "bonjour", "soleil", "amour", "jetaime", "chouchou", "doudou",
    "printemps", "automne", "hiver", "facture", "comptable", "bienvenido", "bienvenida", "contraseña", "contrasena",
    "hola", "teamo", "tequiero", "verano", "otoño", "invierno", "primavera", "factura", "contable",
)  # fmt: skip
_HASHER = PasswordHasher()  # Argon2id, 64 MiB, 3 passes: RFC 9106's second recommended option, a fifth of a second
THREADS, WAITING_MAX = 1, 7
_NICENESS = 15
_turns = threading.BoundedSemaphore(THREADS + WAITING_MAX)


class WeakPasswordError(Exception):
    """A password is too short, too long or easily guessed; the message says what a good one is."""


class PasswordsBusyError(Busy):
    """Too many passwords are checked at the same time."""


def hash_password(password: str, email: str = "", names: Collection[str] = ()) -> str:
    """Return the hash of a password; ``names`` are those of the user and the companies, which attackers try first.

    Raises:
        WeakPasswordError: the password is easily guessed.
        PasswordsBusyError: too many others are checked at the same time.

    """
    _refuse_weak(password, email, names)
    with hashing_turn():
        return _hash(partial(_HASHER.hash, password))


@contextmanager
def hashing_turn() -> Iterator[None]:
    """Take a place among those whose passwords are hashed or wait for it.

    Raises:
        PasswordsBusyError: all places are taken.

    """
    if not _turns.acquire(blocking=False):
        message = "Too many people are signing in at this moment. Try again in a few seconds, or use a passkey."
        raise PasswordsBusyError(message)
    try:
        yield
    finally:
        _turns.release()


def verify_password(password: str, hashed: str) -> bool:
    """Return whether a password matches its hash, in a ``hashing_turn``.

    Without a hash it takes the same time and is False.
    """
    if len(password) > LENGTH_MAX:
        return False
    return _hash(partial(_verify, password, hashed))


def _verify(password: str, hashed: str) -> bool:
    try:
        return _HASHER.verify(hashed or _dummy_hash(), password) and bool(hashed)
    except (VerificationError, InvalidHashError):
        return False


def _hash(work: Callable[[], T]) -> T:
    return _pool().submit(work).result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="hashing", initializer=_lower_priority)


def _lower_priority() -> None:
    if sys.platform == "linux":  # where a thread has a priority of its own, which those it starts inherit
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


@cache
def _dummy_hash() -> str:
    return _HASHER.hash(secrets.token_hex())


def _refuse_weak(password: str, email: str, names: Collection[str]) -> None:
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        message = f"Choose a password of {LENGTH_MIN} to {LENGTH_MAX} characters; several random words work well."
        raise WeakPasswordError(message)
    rest = _without_guessable_words(password, email, names)[:_CHECKED_LENGTH]
    rest = rest.replace("\n", " ")  # zxcvbn fails on "1985" before a line end, which it takes for a date
    with IMPORT_LOCK:
        from zxcvbn import zxcvbn  # noqa: PLC0415 - 12 MiB of words that only a new password needs
    if not rest or zxcvbn(rest)["guesses_log10"] < _GUESSES_LOG10_MIN:
        message = "This password is easily guessed. Several random words work well; avoid known names."
        raise WeakPasswordError(message)


def _without_guessable_words(password: str, email: str, names: Collection[str]) -> str:
    """Return what is left of a password without names of people and companies and without common words."""
    name, _, domain = email.lower().partition("@")
    known = {*_COMMON_WORDS, *re.split(r"[\W_]+", name), name, *domain.split(".")}
    known.update(word for each in names for word in re.split(r"[\W_]+", each.lower()))
    words = sorted((_normalise(word) for word in known if len(word) > _SHORT_WORD_LENGTH), key=len, reverse=True)
    found = re.finditer("|".join(map(re.escape, words)), _normalise(password))
    ends = [0, *(at for each in found for at in each.span()), len(password)]
    return "".join(password[start:end] for start, end in zip(ends[::2], ends[1::2], strict=True))


def _normalise(text: str) -> str:
    """Return a text in lower case, with letters for the digits and signs that stand for them."""
    return "".join(character.lower()[:1] for character in text).translate(_LEETSPEAK)
