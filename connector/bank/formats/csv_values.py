"""Dates and amounts as they stand in CSV files, and what a whole column of them decides."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal

_DATE = re.compile(r"(\d{1,4})[./\- ](\d{1,2}|[A-Za-zäûéÄ]{3,9}\.?)[./\- ](\d{1,4})(?:[T ,].*)?$")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})$")
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan januar january janvier enero gennaio janeiro januari ene gen",
            "feb februar february fev fevrier febrero febbraio fevereiro februari févr",
            "mar mär mrz march märz mars marzo marco maart mrt",
            "apr april avr avril abril aprile abr",
            "may mai mayo maggio maio mei mag",
            "jun june juni juin junio giugno junho giu",
            "jul july juli juil juillet julio luglio julho lug",
            "aug august août aout agosto augustus ago",
            "sep sept september septembre septiembre settembre setembro set",
            "oct oct okt october oktober octobre octubre ottobre outubro ott out",
            "nov november novembre noviembre novembro",
            "dec dez déc december dezember décembre diciembre dicembre dezembro dic",
        ),
        1,
    )
    for name in names.split()
}
_STRIP = re.compile(r"[\s\u00a0\u202f'’]|EUR|USD|GBP|CHF|AUD|NZD|CAD|[€$£]")
_NUMBER = re.compile(r"\d[\d.,]*|[.,]\d+")
_GROUPED = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_CENTURY = 2000


def date_parts(text: str) -> tuple[int, int, int] | None:
    """Return the three numbers of a date in the order of the text, a month in words as its number; else None.

    Four digits first are year, month and day. With a month in words the other two are day and year.
    """
    text = text.strip()
    if (compact := _COMPACT.match(text)) is not None:
        return int(compact[1]), int(compact[2]), int(compact[3])
    found = _DATE.match(text)
    if found is None:
        return None
    if found[2].isdecimal():
        return int(found[1]), int(found[2]), int(found[3])
    month = _MONTHS.get(found[2].lower().rstrip("."))
    return None if month is None else (int(found[1]), -month, int(found[3]))


def read_date(text: str, order: str) -> date | None:
    """Return a date written in an order (``dmy``, ``mdy``, ``ymd``); None where it is none."""
    parts = date_parts(text)
    if parts is None:
        return None
    first, second, third = parts
    if first > 999:
        year, month, day = first, abs(second), third
    elif second < 0:
        year, month, day = third, -second, first
    elif order == "mdy":
        year, month, day = third, first, second
    elif order == "ymd":
        year, month, day = first, second, third
    else:
        year, month, day = third, second, first
    try:
        return date(year + _CENTURY if year < 100 else year, month, day)
    except ValueError:
        return None


def decide_date_order(texts: Sequence[str], today: date | None = None) -> str | None:
    """Return the order of day and month that all dates of a column allow; None where several are possible."""
    found = [parts for text in texts if (parts := date_parts(text)) is not None]
    if not found:
        return None
    if all(first > 999 for first, _second, _third in found):
        return "ymd"
    if all(second < 0 for _first, second, _third in found) or any("." in text for text in texts):
        return "dmy"  # with full stops nobody writes the month first
    possible = [order for order in ("dmy", "mdy") if all(read_date(text, order) for text in texts if date_parts(text))]
    if len(possible) > 1:
        possible = _narrower(texts, possible, lambda dates: today is None or max(dates) <= today + timedelta(days=7))
    if len(possible) > 1:
        possible = _narrower(texts, possible, _is_sorted)
    return possible[0] if len(possible) == 1 else None


def _narrower(texts: Sequence[str], orders: Sequence[str], check: Callable[[list[date]], bool]) -> list[str]:
    """Keep the orders whose dates pass a check, unless none does."""
    kept = [
        order for order in orders if check([found for text in texts if (found := read_date(text, order)) is not None])
    ]
    return kept or list(orders)


def _is_sorted(dates: list[date]) -> bool:
    return len(set(dates)) > 2 and (dates == sorted(dates) or dates == sorted(dates, reverse=True))


def decide_decimal_mark(texts: Sequence[str]) -> str | None:
    """Return the decimal mark of a column of amounts; None where it stays open."""
    votes: set[str] = set()
    is_open = False
    for text in texts:
        number = _NUMBER.search(_STRIP.sub("", text))
        if number is None:
            continue
        bare = number[0]
        marks = [each for each in bare if each in ".,"]
        if not marks:
            continue
        if len(set(marks)) > 1:
            votes.add(marks[-1])
        elif len(marks) > 1:  # a mark that recurs groups thousands
            if _GROUPED.fullmatch(bare):
                votes.add("," if marks[0] == "." else ".")
        elif len(bare) - bare.index(marks[0]) - 1 != 3 or bare.startswith(("0", ".", ",")):
            votes.add(marks[0])
        else:
            is_open = True
    if len(votes) == 1:
        return votes.pop()
    return None if votes or is_open else "."


def read_amount(text: str, mark: str) -> Decimal | None:
    """Return a signed amount; None where the text is none. Minus may stand behind, or brackets around it."""
    bare = _STRIP.sub("", text).replace("\u2212", "-")
    upper = bare.upper()
    is_negative = upper.startswith(("-", "(")) or upper.endswith(("-", "DR", "D", "S"))
    bare = bare.strip("+-()").rstrip("CRDHScrdhs").strip("+-()")
    other = "," if mark == "." else "."
    if not bare or not _NUMBER.fullmatch(bare) or bare.count(mark) > 1:
        return None
    whole, _mark, fraction = bare.partition(mark)
    if other in fraction:
        return None
    groups = whole.split(other)
    if any(len(each) != 3 for each in groups[1:]) and len(groups) > 1:
        return None
    amount = Decimal(f"{''.join(groups) or '0'}.{fraction or '0'}")
    return -amount if is_negative else amount
