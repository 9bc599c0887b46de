"""What is said about a value that a request does not take: what it takes, and what was sent, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN_MAX = 60
# By the validator's type of error; the names in braces are what it knows about the limit
_TEXTS = {
    "missing": "is missing",
    "extra_forbidden": "is not known here; leave it out",
    "int_parsing": "takes a whole number",
    "int_type": "takes a whole number",
    "int_from_float": "takes a whole number",
    "decimal_parsing": "takes an amount such as 12.50",
    "decimal_type": "takes an amount such as 12.50",
    "decimal_max_digits": "takes at most {max_digits} digits",
    "decimal_max_places": "takes at most {decimal_places} decimal places",
    "decimal_whole_digits": "takes at most {whole_digits} digits before the decimal point",
    "finite_number": "takes an amount such as 12.50",
    "greater_than_equal": "takes at least {ge}",
    "greater_than": "takes more than {gt}",
    "less_than_equal": "takes at most {le}",
    "less_than": "takes less than {lt}",
    "string_type": "takes a text",
    "string_pattern_mismatch": "takes a text of the form {pattern}",
    "string_too_long": "takes at most {max_length} characters",
    "string_too_short": "takes at least {min_length} characters",
    "too_long": "takes at most {max_length} values",
    "too_short": "takes at least {min_length} values",
    "list_type": "takes a list",
    "dict_type": "takes an object",
    "model_attributes_type": "takes an object",
    "bool_parsing": "takes true or false",
    "bool_type": "takes true or false",
    "enum": "takes one of {expected}",
    "literal_error": "takes one of {expected}",
    "date_parsing": "takes a date such as 2026-12-31",
    "date_type": "takes a date such as 2026-12-31",
    "date_from_datetime_parsing": "takes a date such as 2026-12-31",
    "datetime_parsing": "takes an instant such as 2026-12-31T08:00:00Z",
    "datetime_type": "takes an instant such as 2026-12-31T08:00:00Z",
    "datetime_from_date_parsing": "takes an instant such as 2026-12-31T08:00:00Z",
}
_WITHOUT_VALUE = {"missing", "extra_forbidden"}


def describe_error(error: Mapping[str, Any]) -> str:
    """Return what is wrong with one value: ``limit takes at most 500, not '900'``."""
    if error["type"] == "json_invalid":
        return "The body is no JSON document."
    place = error["loc"]
    name = ".".join(map(str, place[1:])) or str(place[0])
    text = _TEXTS.get(error["type"])
    if text is None:
        return f"{name}: {error['msg'].removeprefix('Value error, ')}"
    takes = text.format_map({each: str(limit).replace("'", "") for each, limit in error.get("ctx", {}).items()})
    value = error.get("input")
    shown = repr(value) if isinstance(value, str | int | float) else ""
    is_shown = shown and error["type"] not in _WITHOUT_VALUE and len(shown) <= _SHOWN_MAX
    return f"{name} {takes}, not {shown}" if is_shown else f"{name} {takes}"
