"""JSON as every door writes it: results by field, dates and instants as ISO 8601, anything else as its text."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel


def json_default(value: object) -> object:
    """Return what stands in JSON for a value that it has no form for."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)
