"""The policy document as text: parse it, merge documents, and report problems with the line they are on."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import NamedTuple

Table = dict[str, object]
KeyPath = tuple[str, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_DOTTED})\s*\]")
_ASSIGNMENT = re.compile(rf"^\s*({_DOTTED})\s*=")
LENGTH_MAX = 200_000  # characters: twenty times the default policy
DEPTH_MAX = 8  # parts of a key, and brackets in brackets; a real document has five
_LONG_KEY = re.compile(rf"{_KEY}(?:\s*\.\s*{_KEY}){{{DEPTH_MAX}}}")
_QUOTED = re.compile(r""""(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*""")
_BRACKET = re.compile(r"[\[\]{}]")
_AT_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)")


class Problem(NamedTuple):
    """One thing that is wrong with a document; ``line`` is 0 where it is not in the document itself.

    ``paths`` are the settings it is about, with dots, as a form names them: ``past_due.new.large``.
    """

    line: int
    text: str
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Format it as one line."""
        return f"line {self.line}: {self.text}" if self.line else self.text


class PolicyError(ValueError):
    """A policy document that cannot be used; ``problems`` are all that were found, in the order of the document."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Sort the problems by line and drop repeated ones."""
        self.problems = tuple(sorted(dict.fromkeys(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def parse_toml(text: str) -> Table:
    """Parse TOML with exact decimals.

    Raises:
        PolicyError: the text is not TOML, or larger or deeper than any policy.

    """
    _refuse_excess(text)
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        raise PolicyError([Problem(line, f"this is not TOML: {_AT_LINE.sub('', str(error))}")]) from error
    except RecursionError as error:
        raise PolicyError([Problem(0, "this is nested too deeply for a policy")]) from error
    except (ValueError, ArithmeticError) as error:  # of thousands of digits
        raise PolicyError([Problem(0, "this holds a number that is too long for a policy")]) from error


def _refuse_excess(text: str) -> None:
    """Refuse what no policy needs before it is parsed: parsers take ever longer for it, or give up in their own way."""
    if len(text) > LENGTH_MAX:
        raise PolicyError([Problem(0, f"a policy has at most {LENGTH_MAX:,} characters, and this has {len(text):,}")])
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") >= DEPTH_MAX and _LONG_KEY.match(line.lstrip(" \t[")):
            raise PolicyError([Problem(number, f"a key has at most {DEPTH_MAX} parts")])
    depth, bare = 0, _QUOTED.sub("", text)
    for bracket in _BRACKET.finditer(bare):
        depth = max(0, depth + (1 if bracket[0] in "[{" else -1))
        if depth > DEPTH_MAX:
            at_line = bare.count("\n", 0, bracket.start()) + 1
            raise PolicyError([Problem(at_line, f"there are more than {DEPTH_MAX} brackets inside each other")])


def format_value(value: object) -> str:
    """Format one value as TOML, inline."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{format_key(key)} = {format_value(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(format_value(each) for each in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's escapes are TOML's as well
    return str(value)


def format_key(key: str) -> str:
    """Format a key as TOML, quoted where it has to be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else format_value(key)


def format_path(path: KeyPath) -> str:
    """Format the path of a value as people read it: ``[frequency] max_in_7_days``."""
    return f"[{'.'.join(path[:-1])}] {path[-1]}" if len(path) > 1 else "".join(path)


def parse_decimal(value: object) -> Decimal | None:
    """Return a number, or a number written as text, as an exact decimal; ``None`` for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return Decimal(value)
    if isinstance(value, int | Decimal):
        number = Decimal(value)
        return number if number.is_finite() else None
    return None


def value_at(document: Mapping[str, object], path: Sequence[str]) -> object:
    """Return the value at a path; one value in place of a table stands for everything inside it."""
    found: object = document
    for key in path:
        if not isinstance(found, Mapping):
            return found
        found = found.get(key)
    return found


def merge_tables(base: Mapping[str, object], override: Mapping[str, object]) -> Table:
    """Merge two documents: tables key by key; any other value of ``override`` replaces the one of ``base``."""
    merged: Table = dict(base)
    for key, value in override.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge_tables(below, value) if both else value  # type: ignore[arg-type]
    return merged


def diff_tables(target: Mapping[str, object], base: Mapping[str, object]) -> Table:
    """Return what has to be merged into ``base`` to get ``target``, which has all keys of ``base``."""
    table: Table = {}
    for key, value in target.items():
        below = base.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            inside = diff_tables(value, below)
            table |= {key: inside} if inside else {}
        elif value != below:
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
    """The problems found so far. ``prefix`` is the table of a customer policy, whose own lines come first."""

    line_numbers: dict[KeyPath, int]
    problems: list[Problem] = field(default_factory=list)
    prefix: KeyPath = ()

    def line(self, path: KeyPath) -> int:
        """Return the line of a path, or of the nearest table around it."""
        full = (*self.prefix, *path)
        found = (self.line_numbers.get(full[:end]) for end in range(len(full), 0, -1))
        return next((line for line in found if line), 0)

    def explicit_line(self, paths: Sequence[KeyPath]) -> int:
        """Return the line of the first of these values that the document sets itself, not just a table around it."""
        full = [(*self.prefix, *path) for path in paths]
        deeper = len(self.prefix) + 1
        found = (self.line_numbers.get(path[:end]) for path in full for end in range(len(path), deeper, -1))
        return next((line for line in found if line), self.line(paths[0]))

    def add(self, path: KeyPath, text: str) -> None:
        """Note a problem at a path."""
        self.problems.append(Problem(self.line(path), text, (".".join(path),)))
