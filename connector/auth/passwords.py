"""Passwords: hashed by argon2id, checked a few at a time, refused where they are too easy."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Collection
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

LENGTH_MIN, LENGTH_MAX = 12, 256
_GUESSES_LOG10_MIN = 10  # of ten, the number of guesses: the highest of the five marks zxcvbn gives
_SHORT_WORD_LENGTH = 2  # letters: a word so short stands in everything
_CHECKED_LENGTH = 32  # characters, of those that are hard to guess: twice as many take four times as long to look at
_LEETSPEAK = str.maketrans("013457@$!", "oleastasi")
# What stands on every screen here, and what is tried first in languages whose words the library does not know.
_COMMON_WORDS = (
    "accounting", "bookkeeper", "company", "duewell", "intuit", "invoice", "office", "owner", "quickbooks",
    "reminder", "sendgrid", "viewer", "xero", "correcthorsebatterystaple",
    "passwort", "kennwort", "willkommen", "hallo", "geheim", "schatz", "ichliebedich", "sommer", "herbst", "frühling",
    "rechnung", "buchhaltung", "bienvenue", "motdepasse", "bonjour", "soleil", "amour", "jetaime", "chouchou", "doudou",
    "printemps", "automne", "hiver", "facture", "comptable", "bienvenido", "bienvenida", "contraseña", "contrasena",
    "hola", "teamo", "tequiero", "verano", "otoño", "invierno", "primavera", "factura", "contable",
)  # fmt: skip
_HASHER = PasswordHasher()  # argon2id, 64 MiB, 3 passes: RFC 9106's second choice, a fifth of a second
_HASHING_SLOTS = threading.BoundedSemaphore(2)  # each takes 64 MiB: a crowd at the door must not fill the memory


class WeakPasswordError(Exception):
    """A password nobody should have; ``str()`` says what a better one is."""


def hash_password(password: str, email: str = "", names: Collection[str] = ()) -> str:
    """Hash a password; ``names`` are those of the person and of the companies, which anybody would try.

    Raises ``WeakPasswordError`` for one that is easily guessed.
    """
    _refuse_weak(password, email, names)
    with _HASHING_SLOTS:
        return _HASHER.hash(password)


def verify_password(password: str, hashed: str) -> bool:
    """Tell whether a password is the one that was hashed; takes as long where there is no hash to compare with."""
    if len(password) > LENGTH_MAX:
        return False
    with _HASHING_SLOTS:
        try:
            return _HASHER.verify(hashed or _dummy_hash(), password) and bool(hashed)
        except (VerificationError, InvalidHashError):
            return False


@cache
def _dummy_hash() -> str:
    return _HASHER.hash(secrets.token_hex())


def _refuse_weak(password: str, email: str, names: Collection[str]) -> None:
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        message = f"A password has {LENGTH_MIN} to {LENGTH_MAX} characters; a few words in a row are a good one."
        raise WeakPasswordError(message)
    rest = _without_guessable_words(password, email, names)[:_CHECKED_LENGTH]
    rest = rest.replace("\n", " ")  # zxcvbn fails over "1985" and the end of a line, which it takes for a day
    if not rest or zxcvbn(rest)["guesses_log10"] < _GUESSES_LOG10_MIN:
        message = "This password is easily guessed. A few words in a row are a good one, but no names known here."
        raise WeakPasswordError(message)


def _without_guessable_words(password: str, email: str, names: Collection[str]) -> str:
    """What is left of a password without what is tried first: names of people, companies and this house, such words."""
    name, _, domain = email.lower().partition("@")
    known = {*_COMMON_WORDS, *re.split(r"[\W_]+", name), name, *domain.split(".")}
    known.update(word for each in names for word in re.split(r"[\W_]+", each.lower()))
    words = sorted((_normalise(word) for word in known if len(word) > _SHORT_WORD_LENGTH), key=len, reverse=True)
    found = re.finditer("|".join(map(re.escape, words)), _normalise(password))
    ends = [0, *(at for each in found for at in each.span()), len(password)]
    return "".join(password[start:end] for start, end in zip(ends[::2], ends[1::2], strict=True))


def _normalise(text: str) -> str:
    """A text as one who tries it spells it: small letters, and letters for the digits and signs that stand for them."""
    return "".join(letter.lower()[:1] for letter in text).translate(_LEETSPEAK)
