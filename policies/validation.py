"""Validate the tables of a policy document: every problem at once, in plain words, with its line.

A reader is a function that turns a value of the document into a setting, or raises ``invalid(...)`` with the sentence
that a person reads. ``Reads(reader)`` annotates the field of a model with it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from policies.bank_numbers import WHERE_TO_ENTER, find_bank_account
from policies.document import KeyPath, ProblemCollector, Table, format_path, format_value, parse_decimal

T = TypeVar("T")
K = TypeVar("K")
E = TypeVar("E", bound=StrEnum)
S = TypeVar("S", bound="Section")
Reader = Callable[[object], T]
Reads = PlainValidator


PROBLEMS_MAX = 100  # shown at once; looking for each in the document takes longer the more there are


class Section(BaseModel):
    """One table of the policy document."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def refused(reason: str, *, key: str = "") -> PydanticCustomError:
    """Return the error for a value that is refused for a reason; ``key`` names the value inside a table."""
    return PydanticCustomError("refused", "{reason}", {"reason": reason, "key": key})


def invalid(expected: str, value: object) -> PydanticCustomError:
    """Return the error for a value that is not what is expected."""
    return refused(f"must be {expected}, not {'left out' if value is None else format_value(value)}")


def validate(
    model: type[S],
    table: Mapping[str, object],
    defaults: Mapping[str, object],
    problems: ProblemCollector,
    reported: frozenset[KeyPath] = frozenset(),
) -> S:
    """Return the settings of a table. What is wrong is noted, and its default is used instead.

    A rule about a whole table is not checked again where one of its values was already reported.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        if table == defaults:
            raise
        found = [(tuple(str(key) for key in detail["loc"]), detail) for detail in error.errors(include_url=False)]
        if len(found) > PROBLEMS_MAX:
            for path, detail in found[:PROBLEMS_MAX]:
                problems.add(*_describe(model, path, detail))
            problems.add((), f"and there are {len(found) - PROBLEMS_MAX:,} more problems like these")
            return model.model_validate(defaults)
        for path, detail in found:
            if not any(each[: len(path)] == path for each in reported):
                problems.add(*_describe(model, path, detail))
            table = _with_default(table, defaults, path)
        return validate(model, table, defaults, problems, reported | {path for path, _ in found})


def _describe(model: type[Section], path: KeyPath, detail: ErrorDetails) -> tuple[KeyPath, str]:
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], _known_keys(model, path[:-1]), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return path, f"{format_path(path)} is not known here{hint}"
    if detail["type"] != "refused":
        return path, f"[{'.'.join(path)}] must be a table"
    key = detail["ctx"]["key"]
    path = (*path, key) if key else path
    return path, f"{format_path(path)} {detail['msg']}"


def _known_keys(model: type[Section], path: KeyPath) -> list[str]:
    for key in path:
        model = next(each.annotation for name, each in model.model_fields.items() if key == (each.alias or name))  # type: ignore[assignment]
    return [each.alias or name for name, each in model.model_fields.items()]


def _with_default(table: Mapping[str, object], defaults: Mapping[str, object], path: KeyPath) -> Table:
    """Return the table with the value at a path replaced by its default, or taken out where it has none."""
    key, rest = path[0], path[1:]
    inner, default = table.get(key), defaults.get(key)
    if rest and isinstance(inner, Mapping):
        return {**table, key: _with_default(inner, default if isinstance(default, Mapping) else {}, rest)}
    if key in defaults:
        return {**table, key: default}
    return {name: value for name, value in table.items() if name != key}


def whole_number(low: int, high: int, reason: str = "") -> Reader[int]:
    """Return a reader of whole numbers within limits."""

    def read(value: object) -> int:
        if type(value) is int and low <= value <= high:
            return value
        raise invalid(f"a whole number from {low} to {high}{f' ({reason})' if reason else ''}", value)

    return read


def whole_number_or_off(low: int, high: int) -> Reader[int | None]:
    """Return a reader of whole numbers within limits, or "off"."""

    def read(value: object) -> int | None:
        if value == "off":
            return None
        if type(value) is int and low <= value <= high:
            return value
        raise invalid(f'"off" or a whole number from {low} to {high}', value)

    return read


def number(high: int, low: int = 0) -> Reader[Decimal]:
    """Return a reader of exact numbers within limits; a number written as text is allowed."""

    def read(value: object) -> Decimal:
        found = parse_decimal(value)
        if found is not None and low <= found <= high:
            return found
        raise invalid(f"a number from {low} to {high}", value)

    return read


def one_of(choices: Iterable[E]) -> Reader[E]:
    """Return a reader of one of several words."""
    members = list(choices)

    def read(value: object) -> E:
        if isinstance(value, str) and value in members:
            return next(member for member in members if member == value)
        raise invalid(" or ".join(f'"{member}"' for member in members), value)

    return read


def list_out_of(choices: Mapping[str, T]) -> Reader[frozenset[T]]:
    """Return a reader of a list of several words."""

    def read(value: object) -> frozenset[T]:
        if isinstance(value, list) and all(isinstance(each, str) and each in choices for each in value):
            return frozenset(choices[each] for each in value)
        raise invalid(f"a list out of {', '.join(choices)}", value)

    return read


def switch(value: object) -> bool:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    raise invalid("true or false", value)


def texts(value: object) -> frozenset[str]:
    """Read a list of texts."""
    if isinstance(value, list) and all(isinstance(each, str) and each for each in value):
        return frozenset(value)
    raise invalid("a list of texts", value)


def folded_texts(value: object) -> frozenset[str]:
    """Read a list of texts that are compared without regard to case."""
    return frozenset(each.casefold() for each in texts(value))


def line_of_text(max_length: int) -> Reader[str]:
    """Return a reader of one line of text that is not empty."""

    def read(value: object) -> str:
        if isinstance(value, str) and value.strip() and len(value) <= max_length and value.isprintable():
            return value
        raise invalid(f"a text of one line, at most {max_length} characters", value)

    return read


def lines_of_text(max_lines: int, max_length: int) -> Reader[str]:
    """Return a reader of a few lines of text that may be empty."""

    def read(value: object) -> str:
        if isinstance(value, str) and len(value) <= max_length:
            lines = value.strip().split("\n")
            if len(lines) <= max_lines and all(line.isprintable() for line in lines):
                return "\n".join(lines)
        raise invalid(f"a text of at most {max_lines} lines and {max_length} characters", value)

    return read


def payment_text(max_lines: int, max_length: int) -> Reader[str]:
    """Return a reader of a few lines about how to pay, without a bank account."""
    read_lines = lines_of_text(max_lines, max_length)

    def read(value: object) -> str:
        text = read_lines(value)
        if account := find_bank_account(text):
            raise refused(f"{account!r} is a bank account. {WHERE_TO_ENTER} (duewell bank-details set)")
        return text

    return read


def calendar_date(value: object) -> date:
    """Read a date."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise invalid("a date like 2026-01-31, without quotes", value)


def closing_days(value: object) -> frozenset[str]:
    """Read a list of days, each of one year ("2026-12-31") or of every year ("12-24")."""
    if isinstance(value, list) and all(isinstance(each, str) and _is_day(each) for each in value):
        return frozenset(value)
    raise invalid('a list of days like "12-24" (every year) or "2026-12-31"', value)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text if len(text) > len("12-24") else f"2028-{text}")  # a leap year: 02-29 is a day
    except ValueError:
        return False
    return "-" in text


def time_of_day(value: object) -> time:
    """Read a time of day, with or without quotes."""
    if isinstance(value, time):
        return value.replace(second=0, microsecond=0)
    if isinstance(value, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        return time.fromisoformat(value)
    raise invalid('a time like "08:00"', value)


def currency_code(key: str) -> str:
    """Read a key that is a currency."""
    if re.fullmatch(r"[A-Z]{3}", key):
        return key
    raise refused("is not a currency: write its three capital letters, like EUR")


def table_of(read_key: Callable[[str], K], read_value: Reader[T]) -> Reader[dict[K, T]]:
    """Return a reader of a table whose keys are not fixed; each wrong entry is an error of its own."""

    def read(value: object) -> dict[K, T]:
        if not isinstance(value, Mapping):
            raise PydanticCustomError("table_type", "must be a table")
        found: dict[K, T] = {}
        errors: list[InitErrorDetails] = []
        for key, item in value.items():
            try:
                found[read_key(key)] = read_value(item)
            except PydanticCustomError as error:
                errors.append(InitErrorDetails(type=error, loc=(key,), input=item))
            except ValidationError as error:
                errors += [_inside(key, detail) for detail in error.errors(include_url=False)]
        if errors:
            raise ValidationError.from_exception_data("table", errors)
        return found

    return read


def _inside(key: str, detail: ErrorDetails) -> InitErrorDetails:
    error = PydanticCustomError(detail["type"], "{reason}", detail["ctx"])
    return InitErrorDetails(type=error, loc=(key, *detail["loc"]), input=detail["input"])


def by_currency(read_value: Reader[T]) -> Reader[dict[str, T]]:
    """Return a reader of a table of values by currency."""
    return table_of(currency_code, read_value)
