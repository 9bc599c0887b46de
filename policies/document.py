"""Reads a policy document: lays it over another, knows the line of every key, collects problems in plain words."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

from policies.toml_writer import format_value

Table = dict[str, Any]  # a TOML table, as tomllib gives it
KeyPath = tuple[str, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_DOTTED})\s*\]")
_ASSIGNMENT = re.compile(rf"^\s*({_DOTTED})\s*=")
_AT_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)")


class Problem(NamedTuple):
    """One thing that is wrong with a document; ``line`` is 0 where it is not in the document itself."""

    line: int
    text: str

    def __str__(self) -> str:
        """Write it as one line."""
        return f"line {self.line}: {self.text}" if self.line else self.text


class PolicyError(ValueError):
    """A policy document that may not be used; ``problems`` are all that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep the problems in the order of the document."""
        self.problems = tuple(sorted(dict.fromkeys(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def parse_toml(text: str) -> Table:
    """Parse TOML with exact decimals."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        raise PolicyError([Problem(line, f"this is not TOML: {_AT_LINE.sub('', str(error))}")]) from error


def merge_tables(base: Mapping[str, Any], override: Mapping[str, Any]) -> Table:
    """Lay one document over another: tables key by key, everything else replaced."""
    merged: Table = dict(base)
    for key, value in override.items():
        under = merged.get(key)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        merged[key] = merge_tables(under, value) if both else value  # type: ignore[arg-type]
    return merged


def diff_tables(target: Mapping[str, Any], base: Mapping[str, Any]) -> Table:
    """Give what has to be laid over one document to get the other, which says all that it says."""
    table: Table = {}
    for key, value in target.items():
        under = base.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            inside = diff_tables(value, under)
            table |= {key: inside} if inside else {}
        elif value != under:
            table[key] = value
    return table


def line_numbers(text: str) -> dict[KeyPath, int]:
    """Find the line of every table and key; keys inside an inline table share the line of the table."""
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    inside_string = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if inside_string:
            inside_string = "" if inside_string in line else inside_string
            continue
        if header := _HEADER.match(line):
            table = _split_key(header.group(1))
            lines.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            path = (*table, *_split_key(assignment.group(1)))
            for length in range(1, len(path) + 1):
                lines.setdefault(path[:length], number)
            inside_string = next((mark for mark in ('"""', "'''") if line.count(mark) == 1), "")
    return lines


def _split_key(dotted: str) -> KeyPath:
    return tuple(key.strip("\"'") for key in re.findall(_KEY, dotted))


@dataclass(slots=True)
class ProblemCollector:
    """The problems found so far, and where things stand in the document."""

    line_numbers: dict[KeyPath, int]
    problems: list[Problem] = field(default_factory=list)
    prefix: KeyPath = ()  # the table of a policy for some customers, where its own values are looked for first

    def line(self, path: KeyPath) -> int:
        """Tell the line of a path, or of the nearest table around it."""
        full = (*self.prefix, *path)
        return next(
            (self.line_numbers[full[:end]] for end in range(len(full), 0, -1) if full[:end] in self.line_numbers), 0
        )

    def explicit_line(self, paths: Sequence[KeyPath]) -> int:
        """Tell the line of the first of these values that the document sets itself, not of the table around it."""
        full = [(*self.prefix, *path) for path in paths]
        deeper = len(self.prefix) + 1
        own = (
            self.line_numbers[path[:end]]
            for path in full
            for end in range(len(path), deeper, -1)
            if path[:end] in self.line_numbers
        )
        return next(own, self.line(paths[0]))

    def add(self, path: KeyPath, text: str) -> None:
        """Note a problem at a path."""
        self.problems.append(Problem(self.line(path), text))


class Section:
    """One table of the document, read key by key; what is wrong is noted and the default is taken instead."""

    def __init__(self, table: object, defaults: Mapping[str, Any], path: KeyPath, findings: ProblemCollector) -> None:
        """Open a table; something that is no table is a problem."""
        self.path = path
        self.findings = findings
        self.defaults = defaults
        self.read_keys: set[str] = set()
        self.table: Mapping[str, Any] = defaults
        if isinstance(table, Mapping):
            self.table = table
        else:
            findings.add(path, f"[{'.'.join(path)}] must be a table")

    def section(self, key: str) -> Section:
        """Open a table inside this one."""
        return Section(self.raw(key), self.defaults.get(key) or {}, (*self.path, key), self.findings)

    def raw(self, key: str) -> Any:
        """Read a value as it stands, ``None`` where there is none."""
        self.read_keys.add(key)
        return self.table.get(key)

    def report_invalid(self, key: str, expected: str) -> Any:
        """Note that a value is not what it should be, and give the default back."""
        path = (*self.path, key)
        value = self.table.get(key)
        self.findings.add(path, f"{_format_path(path)} must be {expected}, not {_format_value(value)}")
        return self.defaults.get(key)

    def report_conflict(self, key: str, reason: str) -> None:
        """Note that a value does not go with the others."""
        path = (*self.path, key)
        self.findings.add(path, f"{_format_path(path)} {reason}")

    def integer(self, key: str, low: int, high: int, reason: str = "") -> int:
        """Read a whole number within limits."""
        value = self.raw(key)
        if type(value) is int and low <= value <= high:
            return value
        return int(self.report_invalid(key, f"a whole number from {low} to {high}{f' ({reason})' if reason else ''}"))

    def integer_or_off(self, key: str, low: int, high: int) -> int | None:
        """Read a whole number within limits, or "off"."""
        if self.raw(key) == "off":
            return None
        value = self.raw(key)
        if type(value) is int and low <= value <= high:
            return value
        default = self.report_invalid(key, f'"off" or a whole number from {low} to {high}')
        return None if default == "off" else int(default)

    def decimal(self, key: str, low: Decimal, high: Decimal) -> Decimal:
        """Read an exact number within limits; text is allowed too."""
        number = parse_decimal(self.raw(key))
        if number is not None and low <= number <= high:
            return number
        return parse_decimal(self.report_invalid(key, f"a number from {low} to {high}")) or low

    def currency_amounts(self, key: str) -> dict[str, Decimal]:
        """Read a table of sums per currency."""
        section = self.section(key)
        return {code: section.decimal(code, Decimal(0), Decimal(10) ** 12) for code in section.currencies()}

    def currencies(self, *other_keys: str) -> list[str]:
        """List the keys of a table that is keyed by currency, refusing what is no currency code."""
        self.read_keys.update(self.table)
        good = [code for code in self.table if code in other_keys or re.fullmatch(r"[A-Z]{3}", code)]
        for code in self.table.keys() - set(good):
            self.findings.add(
                (*self.path, code), f"{_format_path((*self.path, code))} is no currency: write three capitals, EUR"
            )
        return good

    def choice(self, key: str, choices: Iterable[str]) -> str:
        """Read one of several words."""
        value = self.raw(key)
        words = list(choices)
        if isinstance(value, str) and value in words:
            return value
        return str(self.report_invalid(key, " or ".join(f'"{word}"' for word in words)))

    def choices(self, key: str, choices: Iterable[str]) -> list[str]:
        """Read a list of words out of several."""
        value = self.raw(key)
        words = list(choices)
        if isinstance(value, list) and all(word in words for word in value):
            return value
        return list(self.report_invalid(key, f"a list out of {', '.join(words)}") or [])

    def boolean(self, key: str) -> bool:
        """Read true or false."""
        value = self.raw(key)
        return value if isinstance(value, bool) else bool(self.report_invalid(key, "true or false"))

    def has(self, key: str) -> bool:
        """Tell whether the table holds a key."""
        return key in self.table

    def strings(self, key: str) -> list[str]:
        """Read a list of texts that may be absent."""
        value = self.raw(key)
        if value is None or (isinstance(value, list) and all(isinstance(each, str) and each for each in value)):
            return value or []
        return list(self.report_invalid(key, "a list of texts") or [])

    def string(self, key: str, max_length: int) -> str:
        """Read a text of one line that is not empty."""
        value = self.raw(key)
        if isinstance(value, str) and value.strip() and len(value) <= max_length and value.isprintable():
            return value
        return str(self.report_invalid(key, f"a text of one line, at most {max_length} letters"))

    def multiline_string(self, key: str, max_lines: int, max_length: int) -> str:
        """Read a text of a few lines that may be empty."""
        value = self.raw(key)
        if isinstance(value, str) and len(value) <= max_length:
            read = value.strip().split("\n")
            if len(read) <= max_lines and all(line.isprintable() for line in read):
                return "\n".join(read)
        return str(self.report_invalid(key, f"a text of at most {max_lines} lines and {max_length} letters"))

    def optional_date(self, key: str) -> date | None:
        """Read a date that may be absent."""
        value = self.raw(key)
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        return self.report_invalid(key, "a date like 2026-01-31, without quotes")  # type: ignore[no-any-return]

    def time_of_day(self, key: str) -> time:
        """Read a time of day."""
        value = self.raw(key)
        if isinstance(value, time):
            return value.replace(second=0, microsecond=0)
        if not (isinstance(value, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value)):
            value = self.report_invalid(key, 'a time like "08:00"')
        return time.fromisoformat(value)

    def check_unknown_keys(self) -> None:
        """Refuse every key nobody asked for."""
        for key in self.table.keys() - self.read_keys:
            near = difflib.get_close_matches(key, self.read_keys, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.findings.add((*self.path, key), f"{_format_path((*self.path, key))} is not known here{hint}")


def parse_decimal(value: object) -> Decimal | None:
    """Take a number, or a number written as text, as an exact decimal; ``None`` for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return Decimal(value)
    if isinstance(value, int | Decimal):
        number = Decimal(value)
        return number if number.is_finite() else None
    return None


def _format_path(path: KeyPath) -> str:
    return f"[{'.'.join(path[:-1])}] {path[-1]}" if len(path) > 1 else path[0]


def _format_value(value: object) -> str:
    if value is None:
        return "left out"
    return format_value(value)
