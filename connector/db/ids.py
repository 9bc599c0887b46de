"""Ids as people and programs give them: how large one can be, and how a text is read as one."""

from __future__ import annotations

ID_MAX = 2**31 - 1  # what both databases count up to; PostgreSQL refuses to look for more


def parse_id(text: str) -> int | None:
    """Read a text as an id; ``None`` where it is none, or larger than any there is."""
    number = int(text) if text.isdecimal() and len(text) <= len(str(ID_MAX)) else None
    return number if number is not None and number <= ID_MAX else None
