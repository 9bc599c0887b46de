"""Parses Intuit's query language: ``SELECT * FROM Invoice WHERE Balance > '0' ORDERBY Id STARTPOSITION 1``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.quickbooks.api_errors import invalid_query, unparsable

PAGE_DEFAULT = 100
PAGE_MAX = 1000
OPERATORS = ("=", "IN", "<", ">", "<=", ">=", "LIKE")

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^'\\]|\\.)*') | (?P<number>-?\d+(?:\.\d+)?(?![\w.])) | (?P<word>[A-Za-z_][\w.]*) |
        (?P<sign><=|>=|[=<>(),*])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of the WHERE clause; ``values`` are one value, or those of an IN list."""

    name: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query; ``start`` counts from 1, ``order`` holds (property, descending)."""

    entity: str
    is_count: bool
    columns: tuple[str, ...]
    conditions: tuple[Condition, ...]
    order: tuple[tuple[str, bool], ...]
    start: int
    limit: int


def parse_query(statement: str) -> Query:
    """Parse a statement. Raises Intuit's 4000 for wrong syntax and 4001 for invalid numbers."""
    return _Parser(_tokens(statement)).query()


def _tokens(statement: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at, end = 0, len(statement.rstrip())
    while at < end:
        match = _TOKEN.match(statement, at)
        if match is None:
            raise unparsable(f'Lexical error at line 1, column {at + 1}.  Encountered: "{statement[at]}"')
        kind = str(match.lastgroup)
        tokens.append((kind, match.group(kind)))
        at = match.end()
    return tokens


class _Parser:
    """A recursive-descent parser: every method parses one part of the grammar."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = [*tokens, ("end", "<EOF>")]
        self._position = 0

    def query(self) -> Query:
        self._expect("SELECT")
        counts, columns = self._columns()
        self._expect("FROM")
        entity = self._take("word")
        conditions = self._conditions() if self._skip("WHERE") else ()
        order = self._order()
        start = self._parse_number("STARTPOSITION", 1, 1, None)
        limit = self._parse_number("MAXRESULTS", PAGE_DEFAULT, 1, PAGE_MAX)
        if self._tokens[self._position][0] != "end":
            raise self._syntax_error("<EOF>")
        return Query(entity, counts, columns, conditions, order, start, limit)

    def _columns(self) -> tuple[bool, tuple[str, ...]]:
        if self._peek() == "COUNT":
            self._position += 1
            for sign in "(*)":
                self._expect(sign)
            return True, ()
        columns = [self._column()]
        while self._skip(","):
            columns.append(self._column())
        return False, tuple(name for name in columns if name != "*")

    def _column(self) -> str:
        return "*" if self._skip("*") else self._take("word")

    def _conditions(self) -> tuple[Condition, ...]:
        conditions = [self._condition()]
        while self._skip("AND"):
            conditions.append(self._condition())
        return tuple(conditions)

    def _condition(self) -> Condition:
        name = self._take("word")
        operator = self._peek()
        if operator not in OPERATORS:
            raise self._syntax_error(*OPERATORS)
        self._position += 1
        if operator != "IN":
            return Condition(name, operator, (self._value(),))
        self._expect("(")
        values = [self._value()]
        while self._skip(","):
            values.append(self._value())
        self._expect(")")
        return Condition(name, operator, tuple(values))

    def _value(self) -> str:
        kind, text = self._tokens[self._position]
        if kind == "text":
            self._position += 1
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "number" or text.lower() in {"true", "false"}:
            self._position += 1
            return text.lower()
        raise self._syntax_error("<STRING>", "<NUMBER>", "true", "false")

    def _order(self) -> tuple[tuple[str, bool], ...]:
        if self._skip("ORDER"):
            self._expect("BY")
        elif not self._skip("ORDERBY"):
            return ()
        order = [self._order_part()]
        while self._skip(","):
            order.append(self._order_part())
        return tuple(order)

    def _order_part(self) -> tuple[str, bool]:
        name = self._take("word")
        if self._skip("DESC"):
            return name, True
        self._skip("ASC")
        return name, False

    def _parse_number(self, keyword: str, default: int, least: int, most: int | None) -> int:
        if not self._skip(keyword):
            return default
        figure = int(self._take("number").partition(".")[0])
        if figure < least:
            raise invalid_query(f"value {figure} is too small. Min allowed value is {least}")
        if most is not None and figure > most:
            raise invalid_query(f"value {figure} is too large. Max allowed value is {most}")
        return figure

    def _peek(self) -> str:
        kind, text = self._tokens[self._position]
        return text.upper() if kind == "word" else text if kind == "sign" else ""

    def _skip(self, keyword: str) -> bool:
        if self._peek() != keyword:
            return False
        self._position += 1
        return True

    def _expect(self, keyword: str) -> None:
        if not self._skip(keyword):
            raise self._syntax_error(keyword)

    def _take(self, kind: str) -> str:
        found, text = self._tokens[self._position]
        if found != kind:
            raise self._syntax_error(f"<{kind.upper()}>")
        self._position += 1
        return text

    def _syntax_error(self, *expected: str) -> Exception:
        text = self._tokens[self._position][1]
        choices = " ".join(f'"{word}"' for word in expected)
        return unparsable(f'Encountered "{text}" at token {self._position + 1}. Was expecting one of: {choices}')
