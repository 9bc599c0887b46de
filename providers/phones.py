"""Telephone numbers as people write them into a ledger: shown as typed, and as links that a telephone dials.

A ledger stores any text in these fields. A number is completed to an international one where its country is known; what
cannot be dialled gets no link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

_LENGTH_MAX: Final = 60
_DIGITS_MIN, _DIGITS_MAX = 3, 15  # of a number that can be dialled; 15 is E.164's
_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_EXTENSION = re.compile(r"(?i)[\s,;]*(?:ext(?:ension|n)?\.?|local|x|#|durchwahl|poste)\s*[:.]?\s*(\d{1,7})\s*$")
_VANITY = re.compile(r"(?<![A-Za-z])[A-Za-z]{3,}(?![A-Za-z]*@)")
# Calling code, and the digit that stands before a number within the country only ("" for none)
_COUNTRIES: Final = {
    "AT": ("43", "0"), "AU": ("61", "0"), "BE": ("32", "0"), "BR": ("55", "0"), "CA": ("1", "1"), "CH": ("41", "0"),
    "CN": ("86", "0"), "CZ": ("420", ""), "DE": ("49", "0"), "DK": ("45", ""), "EE": ("372", ""), "ES": ("34", ""),
    "FI": ("358", "0"), "FR": ("33", "0"), "GB": ("44", "0"), "GR": ("30", ""), "HK": ("852", ""), "IE": ("353", "0"),
    "IN": ("91", "0"), "IT": ("39", ""), "JP": ("81", "0"), "LT": ("370", "0"), "LU": ("352", ""), "LV": ("371", ""),
    "MX": ("52", ""), "NL": ("31", "0"), "NO": ("47", ""), "NZ": ("64", "0"), "PL": ("48", ""), "PT": ("351", ""),
    "SE": ("46", "0"), "SG": ("65", ""), "SI": ("386", "0"), "SK": ("421", "0"), "US": ("1", "1"), "ZA": ("27", "0"),
}  # fmt: skip
_TRUNKS: Final = {code: trunk for code, trunk in _COUNTRIES.values() if trunk == "0"}


class PhoneKind(StrEnum):
    """What a telephone number is, in the order in which it is called."""

    DIRECT = "direct"
    PHONE = "phone"
    MOBILE = "mobile"
    OTHER = "other"


class Phone(NamedTuple):
    """A telephone number as the ledger has it."""

    kind: PhoneKind
    number: str


def join_phones(phones: Iterable[tuple[PhoneKind, str | None]]) -> str:
    """Return telephone numbers as a mirror stores them: one per line, each once, without those that are empty."""
    found: dict[str, str] = {}
    for kind, number in phones:
        text = " ".join((number or "").split())[:_LENGTH_MAX]
        if any(each.isdigit() for each in text):
            found.setdefault("".join(filter(str.isalnum, text)).lower(), f"{kind} {text}")
    return "\n".join(found.values())


def split_phones(stored: str) -> list[Phone]:
    """Return the telephone numbers that ``join_phones`` has joined."""
    pairs = (line.partition(" ") for line in stored.splitlines())
    return [Phone(PhoneKind(kind), number) for kind, _space, number in pairs]


def tel_uri(number: str, country: str = "") -> str:
    """Return the link that dials a number written in a country; "" where it cannot be dialled.

    >>> tel_uri("+44 (0)20 7946 0018 ext. 4"), tel_uri("020 7946 0018", "GB"), tel_uri("(503) 555-0100", "US")
    ('tel:+442079460018;ext=4', 'tel:+442079460018', 'tel:+15035550100')
    """
    extension = _EXTENSION.search(number)
    main = (number[: extension.start()] if extension else number).strip()
    if main[:1] in "+(0123456789":
        main = _VANITY.sub(lambda found: found[0].upper().translate(_KEYPAD), main)
    digits = "".join(each for each in main if each.isascii() and each.isdigit())
    if len(digits) < _DIGITS_MIN:
        return ""
    if main.startswith("+") or digits.startswith("00") or (country in {"US", "CA"} and digits.startswith("011")):
        digits = digits if main.startswith("+") else digits[3 if digits.startswith("011") else 2 :]
        digits, plus = _without_trunk(digits), "+"
    elif country in _COUNTRIES:
        code, trunk = _COUNTRIES[country]
        digits, plus = code + (digits.removeprefix(trunk) if len(digits) > _DIGITS_MIN else digits), "+"
    else:
        plus = ""
    if not _DIGITS_MIN <= len(digits) <= _DIGITS_MAX:
        return ""
    return f"tel:{plus}{digits}" + (f";ext={extension[1]}" if extension else "")


def _without_trunk(digits: str) -> str:
    """Drop the 0 that people keep in front of an area code although the country's code is there."""
    code = next((each for each in _TRUNKS if digits.startswith(each + "0")), "")
    return code + digits[len(code) + 1 :] if code else digits
