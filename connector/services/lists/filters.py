"""The filters of a list: a choice, a text, an amount or a date, as people write them in a form or an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from string import ascii_uppercase
from typing import Any

from sqlalchemy import ColumnElement, Date, and_, bindparam, false, or_

from connector.db.ids import parse_id
from connector.db.money import MoneyError, to_e4

ALL = "all"  # the value of a choice that is not filtered by, where something else is the default
_TEXT_MAX = 200
_AMOUNT_MAX = 24
_DATES_MAX = 3  # that there are on earth at one instant, from UTC-12 to UTC+14
_LOWER_ASCII = {ord(letter): letter.lower() for letter in ascii_uppercase}
_CURRENCY = re.compile(r"^(?:[A-Za-z]{3}\s+|[^\w\s.,-]{1,2}\s*)|(?:\s+[A-Za-z]{3}|\s*[^\w\s.,-]{1,2})$")

FilterValue = list[str] | str | int | date


@dataclass(frozen=True, slots=True)
class Today:
    """The current date of the companies of a list: around midnight it is not the same in all of them."""

    company: Any  # the column of the company
    dates: Sequence[tuple[date, Collection[int]]]  # each with its companies
    time_zone: str = "UTC"  # of whoever reads the list, for the days of instants

    def compare(self, condition: Callable[[date], ColumnElement[bool]]) -> ColumnElement[bool]:
        """Return a condition that speaks of today, as it is in the company of each row."""
        if len(self.dates) == 1:
            return condition(self.dates[0][0])
        return or_(false(), *(and_(self.company.in_(list(ids)), condition(on)) for on, ids in self.dates))

    def as_parameters(self) -> dict[str, object]:
        """Return the values of the parameters in the conditions of ``is_past``."""
        padding = [(date.min, list[int]())] * (_DATES_MAX - len(self.dates))
        found: dict[str, object] = {}
        for place, (on, ids) in enumerate([*self.dates, *padding]):
            found |= {f"today_{place}": on, f"today_companies_{place}": list(ids)}
        return found


def is_past(column: Any, company: Any) -> ColumnElement[bool]:
    """Return the condition that a date is before today in the company of its row, for queries made once.

    ``Today.as_parameters`` says which days those are. The first is the earliest: what is past then is so everywhere.
    """
    days = [column < bindparam(f"today_{place}", type_=Date()) for place in range(_DATES_MAX)]
    later = (
        and_(day, company.in_(bindparam(f"today_companies_{place}", expanding=True)))
        for place, day in enumerate(days)
        if place
    )
    return or_(days[0], *later)


Condition = Callable[[FilterValue, Today], ColumnElement[bool]]


class FilterError(ValueError):
    """A value that a filter does not take; ``name`` is the parameter, ``label`` what people call it.

    ``text`` says what is wrong, and what may be written in an address or after an option; ``on_page`` says it on a
    page, where choices have names.
    """

    def __init__(self, name: str, text: str, label: str = "", *, on_page: str = "") -> None:
        start = f"{label}: " if label else ""
        super().__init__(f"{start}{text}")
        self.name, self.text, self.on_page = name, text, f"{start}{on_page or text}"


class FilterKind(StrEnum):
    """What is entered into a filter."""

    CHOICE = "choice"
    TEXT = "text"
    AMOUNT = "amount"
    DATE = "date"
    ID = "id"  # set by links only: no form has a field for it
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter; ``condition`` gets its parsed value: names, a text, ten-thousandths of a unit, a date or a number.

    ``choices`` are labels by value; several values are separated by commas. ``needs`` names joins.
    """

    name: str
    label: str
    kind: FilterKind
    condition: Condition
    choices: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    needs: tuple[str, ...] = ()

    @property
    def all_value(self) -> str:
        """The value that filters nothing."""
        return ALL if self.default else ""

    def parse(self, text: str) -> FilterValue | None:
        """Return the value, None where it filters nothing; raises ``FilterError``."""
        text = text.strip()[:_TEXT_MAX]
        if text in {"", self.all_value}:
            return None
        return _PARSERS[self.kind](self, text)


def parse_amount(text: str) -> Decimal | None:
    """Return an amount as people write it, ``12,496.13``, ``12.496,13`` or ``12 496``; None where it is none.

    One separator before exactly three digits may mean either: ``12,496`` and ``12.496`` are both 12496.
    """
    compact = re.sub(r"[\s\u00a0\u202f'\u2019]", "", _CURRENCY.sub("", text.strip()))
    if not re.fullmatch(r"-?[0-9.,]*[0-9][0-9.,]*", compact) or len(compact) > _AMOUNT_MAX:
        return None
    last = max(compact.rfind(","), compact.rfind("."))
    if last >= 0:
        whole, decimals = compact[:last], compact[last + 1 :]
        other = "," if compact[last] == "." else "."
        is_decimal = other in whole or (compact[last] not in whole and len(decimals) != 3)
        whole = re.sub(r"[.,]", "", whole)
        compact = f"{whole or 0}.{decimals or 0}" if is_decimal else whole + decimals
    try:
        return Decimal(compact)
    except InvalidOperation:
        return None


def spellings(text: str) -> list[str]:
    """Return a text as ``lower`` of either database may hold it: SQLite's leaves all but A to Z as it is.

    >>> spellings("Ash"), spellings("école")
    (['ash'], ['école', 'École'])
    """
    written = (text.lower(), text, text.title(), text.upper())
    return list(dict.fromkeys([text.lower(), *(each.translate(_LOWER_ASCII) for each in written)]))


def parse_day(name: str, text: str) -> date:
    """Return a date written as 2026-12-31; raises ``FilterError``."""
    try:
        day = date.fromisoformat(text)
        return day if day < date.max else day - timedelta(days=1)  # so that there is a day after it
    except ValueError:
        raise FilterError(name, f"{text!r} is not a date. Enter it as 2026-12-31.") from None


def _parse_choice(each: Filter, text: str) -> list[str]:
    chosen = [value.strip() for value in text.split(",") if value.strip()]
    unknown = [value for value in chosen if value not in each.choices]
    if unknown:
        wrong, names = f"there is no {unknown[0]!r}. Choose one of ", ", ".join(each.choices.values())
        text = f"{wrong}{', '.join(each.choices)}."
        raise FilterError(each.name, text, each.label, on_page=f"{wrong}{names}.")
    return chosen


def _parse_text(each: Filter, text: str) -> str:
    if "\x00" in text:
        raise FilterError(each.name, "this text contains a character that cannot be stored.", each.label)
    return text


def _parse_amount(each: Filter, text: str) -> int:
    amount = parse_amount(text)
    try:
        if amount is None:
            raise FilterError(each.name, f"{text!r} is not an amount. Enter it like 1,250.00.", each.label)
        return to_e4(amount)
    except MoneyError as error:
        raise FilterError(each.name, f"{error}.", each.label) from error


def _parse_number(each: Filter, text: str) -> int:
    number = parse_id(text)
    if number is None:
        raise FilterError(each.name, f"{text!r} is not a number.", each.label)
    return number


_PARSERS: Mapping[FilterKind, Callable[[Filter, str], FilterValue]] = {
    FilterKind.CHOICE: _parse_choice,
    FilterKind.TEXT: _parse_text,
    FilterKind.ID: _parse_text,
    FilterKind.AMOUNT: _parse_amount,
    FilterKind.DATE: lambda each, text: parse_day(each.name, text),
    FilterKind.NUMBER: _parse_number,
}
