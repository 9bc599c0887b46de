"""Decoding of records with odd values whose meaning is plain, so that an odd field does not cost the whole record.

A program writes null, "" or an empty object for what is absent, and a number for a text. What only describes a record,
such as a telephone number, is left out where nothing can be made of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from providers.record_values import repair_text

R = TypeVar("R", bound=Struct)

_REPAIRS_MAX: Final = 40  # of one record: more is no record
_PATH: Final = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING: Final = re.compile(r"Object missing required field `([^`]*)`(?: - at `\$\.?([^`]*)`)?")
_EXPECTED: Final = re.compile(r"Expected `([a-z]+)[^`]*`, got `([a-z]+)`(?: - at `\$\.?([^`]*)`)?")
_TYPE_NAMES: Final = {
    "array": "a list", "bool": "yes or no", "decimal": "a number", "float": "a number", "int": "a whole number",
    "object": "a record", "str": "a text",
}  # fmt: skip
_PLAIN: Final = {
    "RFC3339": "a date",
    "decimal string": "a number",
    "an amount below 10^14": "an amount below 10^14",
    "an amount": "an amount",
}
_NUMBER_LENGTH_MAX: Final = 40
_STEP: Final = re.compile(r"\[(\d+)\]|([^.\[]+)")
_DATE_WITH_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT")
_NO_DATE: Final = "0000-00-00"


def decode_leniently(raw: Raw | bytes, schema: type[R], descriptive: Collection[str] = ()) -> R:
    """Decode a record that is not as documented, where its odd values have a plain meaning.

    Args:
        raw: the record's JSON.
        schema: what it should be.
        descriptive: the paths of fields without which the record is understood all the same: ``MetaData.CreateTime``.

    Raises:
        msgspec.ValidationError: where the meaning of a value is not plain; it names the field.

    """
    try:
        record = json.loads(repair_text(bytes(raw)), parse_float=Decimal)
    except (ValueError, RecursionError):
        return msgspec.json.decode(raw, type=schema)  # raises what is wrong
    for _attempt in range(_REPAIRS_MAX):
        try:
            return msgspec.convert(record, schema, strict=False)
        except msgspec.ValidationError as error:
            if not _repair(record, str(error), descriptive):
                break
    return msgspec.json.decode(repair_text(bytes(raw)), type=schema, strict=False)  # raises what the record's error is


def text_at(raw: Raw | bytes, *path: str) -> str:
    """Return the text at a path of a record, however odd the rest is; "" where there is none."""
    try:
        found = json.loads(repair_text(bytes(raw)))
    except (ValueError, RecursionError):
        return ""
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def describe_problem(error: Exception, raw: Raw | bytes, *number_fields: str) -> str:
    """Return what is wrong with a record in plain words: the field, never its content, and the record's number.

    Args:
        error: what decoding or checking it raised.
        raw: the record's JSON.
        number_fields: the fields that may hold the number that people know it by.

    """
    number = next(filter(None, (text_at(raw, each) for each in number_fields)), "")[:_NUMBER_LENGTH_MAX]
    return f"{_describe(error)} (number {number})" if number else _describe(error)


def _describe(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "a text is not valid UTF-8"
    if isinstance(error, InvalidOperation):
        return "an amount is not a number"
    text = str(error)
    if missing := _MISSING.fullmatch(text):
        return f"{f'{missing[2]}.' if missing[2] else ''}{missing[1]} is missing"
    if expected := _EXPECTED.fullmatch(text):
        name, wanted, found = expected[3] or "the record", expected[1], expected[2]
        if found == "null":
            return f"{name} is empty"
        return f"{name} is {_TYPE_NAMES.get(found, found)}, not {_TYPE_NAMES.get(wanted, wanted)}"
    if place := _PATH.search(text):
        plain = next((plain for said, plain in _PLAIN.items() if said in text), "")
        problem = f"is not {plain}" if plain else f"is not as documented ({text[: place.start()]})"
        return f"{place[1] or 'the record'} {problem}"
    return text


def _repair(record: Any, error: str, descriptive: Collection[str]) -> bool:
    """Repair the value that an error is about; return whether there was something to repair."""
    found = _PATH.search(error)
    if found is None:
        return False
    steps = [int(index) if index else key for index, key in _STEP.findall(found[1])]
    keys = [each for each in steps if isinstance(each, str)]
    if _change(record, steps, error):
        return True
    left_out = next((each.split(".") for each in descriptive if keys[: each.count(".") + 1] == each.split(".")), None)
    if left_out is None:
        return False
    return _remove(record, steps[: steps.index(left_out[-1]) + 1])


def _change(record: Any, steps: list[int | str], error: str) -> bool:
    """Remove an empty value, or write a number as text and an instant as date where these are expected."""
    parent, key = _parent(record, steps), steps[-1]
    value = parent[key]
    if _is_empty(value):
        del parent[key]
    elif (text := _as_expected(value, error)) is not None:
        parent[key] = text
    else:
        return False
    return True


def _remove(record: Any, steps: list[int | str]) -> bool:
    del _parent(record, steps)[steps[-1]]
    return True


def _parent(record: Any, steps: list[int | str]) -> Any:
    for step in steps[:-1]:
        record = record[step]
    return record


def _is_empty(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip() or value.startswith(_NO_DATE)
    return value is None or value in ([], {})


def _as_expected(value: Any, error: str) -> str | None:
    if error.startswith("Expected `str") and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    if "RFC3339" in error and isinstance(value, str) and _DATE_WITH_TIME.match(value):
        return value[:10]
    return None
