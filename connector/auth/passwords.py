"""Passwords: hashed with Argon2id, a few at a time, and refused if they are easily guessed."""

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
_HASHING_SLOTS = threading.BoundedSemaphore(2)  # each takes 64 MiB: many sign-ins at once must not fill the memory


class WeakPasswordError(Exception):
    """A password is too short, too long or easily guessed; the message says what a good one is."""


def hash_password(password: str, email: str = "", names: Collection[str] = ()) -> str:
    """Return the hash of a password; ``names`` are those of the user and the companies, which attackers try first.

    Raises:
        WeakPasswordError: the password is easily guessed.

    """
    _refuse_weak(password, email, names)
    with _HASHING_SLOTS:
        return _HASHER.hash(password)


def verify_password(password: str, hashed: str) -> bool:
    """Return whether a password matches its hash; without a hash it takes the same time and is False."""
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
        message = f"Choose a password of {LENGTH_MIN} to {LENGTH_MAX} characters; several random words work well."
        raise WeakPasswordError(message)
    rest = _without_guessable_words(password, email, names)[:_CHECKED_LENGTH]
    rest = rest.replace("\n", " ")  # zxcvbn fails on "1985" before a line end, which it takes for a date
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
