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

from policies.toml_writer import written

Table = dict[str, Any]  # a TOML table, as tomllib gives it
Path = tuple[str, ...]

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


def parse(text: str) -> Table:
    """Parse TOML with exact decimals."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        raise PolicyError([Problem(line, f"this is not TOML: {_AT_LINE.sub('', str(error))}")]) from error


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Table:
    """Lay one document over another: tables key by key, everything else replaced."""
    merged: Table = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        merged[key] = laid_over(under, value) if both else value  # type: ignore[arg-type]
    return merged


def different(above: Mapping[str, Any], below: Mapping[str, Any]) -> Table:
    """Give what has to be laid over one document to get the other, which says all that it says."""
    table: Table = {}
    for key, value in above.items():
        under = below.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            inside = different(value, under)
            table |= {key: inside} if inside else {}
        elif value != under:
            table[key] = value
    return table


def lines_of(text: str) -> dict[Path, int]:
    """Find the line of every table and key; keys inside an inline table share the line of the table."""
    lines: dict[Path, int] = {}
    table: Path = ()
    inside_string = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if inside_string:
            inside_string = "" if inside_string in line else inside_string
            continue
        if header := _HEADER.match(line):
            table = _path(header.group(1))
            lines.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            path = (*table, *_path(assignment.group(1)))
            for length in range(1, len(path) + 1):
                lines.setdefault(path[:length], number)
            inside_string = next((mark for mark in ('"""', "'''") if line.count(mark) == 1), "")
    return lines


def _path(dotted: str) -> Path:
    return tuple(key.strip("\"'") for key in re.findall(_KEY, dotted))


@dataclass(slots=True)
class Findings:
    """The problems found so far, and where things stand in the document."""

    lines: dict[Path, int]
    problems: list[Problem] = field(default_factory=list)
    inside: Path = ()  # the table of a policy for some customers, where its own values are looked for first

    def line(self, path: Path) -> int:
        """Tell the line of a path, or of the nearest table around it."""
        full = (*self.inside, *path)
        return next((self.lines[full[:end]] for end in range(len(full), 0, -1) if full[:end] in self.lines), 0)

    def own_line(self, paths: Sequence[Path]) -> int:
        """Tell the line of the first of these values that the document sets itself, not of the table around it."""
        full = [(*self.inside, *path) for path in paths]
        deeper = len(self.inside) + 1
        own = (
            self.lines[path[:end]] for path in full for end in range(len(path), deeper, -1) if path[:end] in self.lines
        )
        return next(own, self.line(paths[0]))

    def add(self, path: Path, text: str) -> None:
        """Note a problem at a path."""
        self.problems.append(Problem(self.line(path), text))


class Section:
    """One table of the document, read key by key; what is wrong is noted and the default is taken instead."""

    def __init__(self, table: object, defaults: Mapping[str, Any], path: Path, findings: Findings) -> None:
        """Open a table; something that is no table is a problem."""
        self.path = path
        self.findings = findings
        self.defaults = defaults
        self.asked: set[str] = set()
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
        self.asked.add(key)
        return self.table.get(key)

    def wrong(self, key: str, wanted: str) -> Any:
        """Note that a value is not what it should be, and give the default back."""
        path = (*self.path, key)
        value = self.table.get(key)
        self.findings.add(path, f"{_name(path)} must be {wanted}, not {_shown(value)}")
        return self.defaults.get(key)

    def refuse(self, key: str, why: str) -> None:
        """Note that a value does not go with the others."""
        path = (*self.path, key)
        self.findings.add(path, f"{_name(path)} {why}")

    def whole(self, key: str, low: int, high: int, why: str = "") -> int:
        """Read a whole number within limits."""
        value = self.raw(key)
        if type(value) is int and low <= value <= high:
            return value
        return int(self.wrong(key, f"a whole number from {low} to {high}{f' ({why})' if why else ''}"))

    def whole_or_off(self, key: str, low: int, high: int) -> int | None:
        """Read a whole number within limits, or "off"."""
        if self.raw(key) == "off":
            return None
        value = self.raw(key)
        if type(value) is int and low <= value <= high:
            return value
        default = self.wrong(key, f'"off" or a whole number from {low} to {high}')
        return None if default == "off" else int(default)

    def amount(self, key: str, low: Decimal, high: Decimal) -> Decimal:
        """Read an exact number within limits; text is allowed too."""
        number = as_decimal(self.raw(key))
        if number is not None and low <= number <= high:
            return number
        return as_decimal(self.wrong(key, f"a number from {low} to {high}")) or low

    def amounts(self, key: str) -> dict[str, Decimal]:
        """Read a table of sums per currency."""
        section = self.section(key)
        return {code: section.amount(code, Decimal(0), Decimal(10) ** 12) for code in section.currencies()}

    def currencies(self, *besides: str) -> list[str]:
        """List the keys of a table that is keyed by currency, refusing what is no currency code."""
        self.asked.update(self.table)
        good = [code for code in self.table if code in besides or re.fullmatch(r"[A-Z]{3}", code)]
        for code in self.table.keys() - set(good):
            self.findings.add(
                (*self.path, code), f"{_name((*self.path, code))} is no currency: write three capitals, EUR"
            )
        return good

    def choice(self, key: str, choices: Iterable[str]) -> str:
        """Read one of several words."""
        value = self.raw(key)
        words = list(choices)
        if isinstance(value, str) and value in words:
            return value
        return str(self.wrong(key, " or ".join(f'"{word}"' for word in words)))

    def choices(self, key: str, choices: Iterable[str]) -> list[str]:
        """Read a list of words out of several."""
        value = self.raw(key)
        words = list(choices)
        if isinstance(value, list) and all(word in words for word in value):
            return value
        return list(self.wrong(key, f"a list out of {', '.join(words)}") or [])

    def switch(self, key: str) -> bool:
        """Read true or false."""
        value = self.raw(key)
        return value if isinstance(value, bool) else bool(self.wrong(key, "true or false"))

    def has(self, key: str) -> bool:
        """Tell whether the table holds a key."""
        return key in self.table

    def texts(self, key: str) -> list[str]:
        """Read a list of texts that may be absent."""
        value = self.raw(key)
        if value is None or (isinstance(value, list) and all(isinstance(each, str) and each for each in value)):
            return value or []
        return list(self.wrong(key, "a list of texts") or [])

    def text(self, key: str, longest: int) -> str:
        """Read a text of one line that is not empty."""
        value = self.raw(key)
        if isinstance(value, str) and value.strip() and len(value) <= longest and value.isprintable():
            return value
        return str(self.wrong(key, f"a text of one line, at most {longest} letters"))

    def lines(self, key: str, most: int, longest: int) -> str:
        """Read a text of a few lines that may be empty."""
        value = self.raw(key)
        if isinstance(value, str) and len(value) <= longest:
            read = value.strip().split("\n")
            if len(read) <= most and all(line.isprintable() for line in read):
                return "\n".join(read)
        return str(self.wrong(key, f"a text of at most {most} lines and {longest} letters"))

    def day(self, key: str) -> date | None:
        """Read a date that may be absent."""
        value = self.raw(key)
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        return self.wrong(key, "a date like 2026-01-31, without quotes")  # type: ignore[no-any-return]

    def time_of_day(self, key: str) -> time:
        """Read a time of day."""
        value = self.raw(key)
        if isinstance(value, time):
            return value.replace(second=0, microsecond=0)
        if not (isinstance(value, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value)):
            value = self.wrong(key, 'a time like "08:00"')
        return time.fromisoformat(value)

    def done(self) -> None:
        """Refuse every key nobody asked for."""
        for key in self.table.keys() - self.asked:
            near = difflib.get_close_matches(key, self.asked, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.findings.add((*self.path, key), f"{_name((*self.path, key))} is not known here{hint}")


def as_decimal(value: object) -> Decimal | None:
    """Take a number, or a number written as text, as an exact decimal; ``None`` for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return Decimal(value)
    if isinstance(value, int | Decimal):
        number = Decimal(value)
        return number if number.is_finite() else None
    return None


def _name(path: Path) -> str:
    return f"[{'.'.join(path[:-1])}] {path[-1]}" if len(path) > 1 else path[0]


def _shown(value: object) -> str:
    if value is None:
        return "left out"
    return written(value)
