"""JSON as every door writes it: dates and instants as ISO 8601, whatever else JSON does not know as its text."""

from __future__ import annotations

from datetime import date, datetime


def json_default(value: object) -> object:
    """Return what stands in JSON for a value it has no form for: ISO 8601 for dates and instants, else its text."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)
