"""Parses Xero's ``where`` and ``order``: only the optimised filters, which large organisations may use too."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import Any

Getter = Callable[[Any], Any]
_TERM = re.compile(
    r"""\s*\(*\s*(?P<field>[A-Za-z][\w.]*)\s*(?P<op>==|!=|>=|<=|>|<|=)\s*
    (?P<value>"[^"]*"|Guid\(\s*"[^"]*"\s*\)|DateTime\(\s*\d+\s*,\s*\d+\s*,\s*\d+\s*\)|-?\d+(?:\.\d+)?m?|true|false|null)
    \s*\)*\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_AND = re.compile(r"(?:&&|\bAND\b)", re.IGNORECASE)
_OPERATORS = {"==": eq, "=": eq, "!=": ne, ">": gt, ">=": ge, "<": lt, "<=": le}


class InvalidQuery(Exception):
    """The filter or order is unreadable, or uses a field that is not optimised."""


def parse_where(text: str, fields: Mapping[str, Getter]) -> Callable[[Any], bool]:
    """Return the predicate of a filter. Raises ``InvalidQuery``."""
    tests = []
    at = 0
    while True:
        term = _TERM.match(text, at)
        if term is None:
            raise InvalidQuery(f"No property or field at position {at} of the where clause")
        tests.append(_build_predicate(term, fields))
        at = term.end()
        if at == len(text):
            break
        joined = _AND.match(text, at)
        if joined is None:
            raise InvalidQuery(f"Expected AND at position {at} of the where clause")
        at = joined.end()
    if text.count("(") != text.count(")"):
        raise InvalidQuery("')' or operator expected in the where clause")
    return lambda document: all(test(document) for test in tests)


def _build_predicate(term: re.Match[str], fields: Mapping[str, Getter]) -> Callable[[Any], bool]:
    name = term["field"].lower()
    if name not in fields:
        raise InvalidQuery(f"No property or field '{term['field']}' can be filtered by")
    get, compare, expected = fields[name], _OPERATORS[term["op"]], _parse_value(term["value"])

    def test(document: Any) -> bool:
        have = get(document)
        if have is None or expected is None:
            return (have is expected) if compare is eq else (have is not expected) if compare is ne else False
        try:
            return bool(compare(have, expected))
        except TypeError:
            raise InvalidQuery(f"'{term['value']}' cannot be compared with '{term['field']}'") from None

    return test


def _parse_value(text: str) -> Any:
    lowered = text.lower()
    if lowered in {"true", "false", "null"}:
        return {"true": True, "false": False, "null": None}[lowered]
    if text.startswith('"'):
        return text[1:-1]
    if lowered.startswith("guid"):
        return text.split('"')[1].lower()
    if lowered.startswith("datetime"):
        year, month, day = (int(part) for part in re.findall(r"\d+", text))
        try:
            return date(year, month, day)
        except ValueError:
            raise InvalidQuery(f"'{text}' is not a date") from None
    return Decimal(lowered.rstrip("m"))


def parse_order(text: str, fields: Mapping[str, Getter]) -> tuple[Getter, bool]:
    """Return the sort key and whether the order is descending. Raises ``InvalidQuery``."""
    parts = text.split()
    if not 1 <= len(parts) <= 2 or parts[0].lower() not in fields:
        raise InvalidQuery(f"Cannot order by '{text}'")
    direction = parts[1].upper() if len(parts) == 2 else "ASC"
    if direction not in {"ASC", "DESC"}:
        raise InvalidQuery(f"Cannot order by '{text}'")
    return fields[parts[0].lower()], direction == "DESC"
