"""Invoice numbers that are nearly written: two digits swapped, one missing or one too many, or the end cut off."""

from __future__ import annotations

import re

from connector.bank.names import plain_upper

_NUMBERS = re.compile(r"[A-Z]{0,6}[-/. ]?\d[\d\-/. ]*")
_DIGITS_MIN, _TOKENS_MAX = 2, 20


def number_tokens(text: str) -> list[str]:
    """Return what may be meant as invoice numbers in a text, as digits."""
    found = ("".join(each for each in token if each.isdecimal()) for token in _NUMBERS.findall(plain_upper(text)))
    return [each for each in found if len(each) >= _DIGITS_MIN][:_TOKENS_MAX]


def is_nearly_written(number: str, tokens: list[str]) -> bool:
    """Return whether one of the tokens is an invoice's number but for one slip."""
    digits = "".join(each for each in number if each.isdecimal())
    last = re.split(r"\D+", number.rstrip())[-1]
    wanted = {each.lstrip("0") for each in (digits, last)}
    return any(
        _is_near(each, token.lstrip("0")) for each in wanted if len(each) > _DIGITS_MIN for token in tokens
    )  # of two digits anything is nearly one


def _is_near(number: str, written: str) -> bool:
    if len(written) < _DIGITS_MIN:
        return False
    if number == written or (number.startswith(written) and len(number) - len(written) <= _DIGITS_MIN):
        return True
    if abs(len(number) - len(written)) > 1:
        return False
    place = next((at for at, (one, other) in enumerate(zip(number, written, strict=False)) if one != other), None)
    if place is None:
        return True
    if len(number) == len(written):
        is_swapped = number[place : place + 2] == written[place : place + 2][::-1]
        return number[place + 1 :] == written[place + 1 :] or (
            is_swapped and number[place + 2 :] == written[place + 2 :]
        )
    longer, shorter = (number, written) if len(number) > len(written) else (written, number)
    return longer[place + 1 :] == shorter[place:]
