"""What the web app, the API and the command line share of a result: its base class, and how amounts are written."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

# An exact amount as text, beside its currency: a JSON number would lose cents
Amount = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["1200.00"])]


class Result(BaseModel):
    """A result that cannot be changed; ``_at`` is an instant in UTC, ``_on`` a date."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True, defer_build=True)  # a command uses few


def optional(default: Any = None) -> Any:
    """Return a field that is left out of JSON where it is empty."""
    return Field(default=default, exclude_if=lambda value: not value)
