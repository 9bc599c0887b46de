"""Row ids as users and programs type them."""

from __future__ import annotations

ID_MAX = 2**31 - 1  # of both databases; PostgreSQL refuses to compare with more


def parse_id(text: str) -> int | None:
    """Return a text as an id; None where it is not one, or larger than any id."""
    number = int(text) if text.isdecimal() and len(text) <= len(str(ID_MAX)) else None
    return number if number is not None and number <= ID_MAX else None
