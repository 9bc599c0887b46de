"""Writes a policy document as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any


def to_toml(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """Write a document as TOML: plain keys first, then its tables; tables inside a table of the first level inline."""
    plain = {key: value for key, value in table.items() if path or not isinstance(value, Mapping)}
    lines = [f"{_format_key(key)} = {format_value(value)}" for key, value in plain.items()]
    tables = [] if path else [key for key in table if key not in plain]
    parts = ["\n".join(lines)] if lines else []
    parts += [f"[{_format_key(key)}]\n{to_toml(table[key], (key,))}".rstrip() for key in tables]
    return "\n\n".join(parts) + ("" if path else "\n")


def _format_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else format_value(key)


def format_value(value: object) -> str:
    """Write one value."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_format_key(key)} = {format_value(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(format_value(each) for each in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # JSON's escapes are TOML's as well
    return str(value)
