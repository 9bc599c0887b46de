"""What the shapes of the API share: parts of lists, problems, and how sums are written."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from annotated_types import Interval
from pydantic import BaseModel, Field

from connector.db.ids import ID_MAX

T = TypeVar("T")
Amount = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["1200.00"])]
OutboxState = Literal["planned", "awaiting_approval", "sending", "done", "rejected", "unconfirmed"]
Mode = Literal["observe", "approve", "live"]


Id = Annotated[int, Interval(ge=0, le=ID_MAX)]


class Page(BaseModel, Generic[T]):
    """A part of a list; ``next`` is the cursor of the part after it, null at the end."""

    items: list[T]
    next: str | None


class Problem(BaseModel):
    """What went wrong (RFC 9457): what happened, what it means, what to do."""

    type: str
    title: str
    status: int
    detail: str
    meaning: str
    action: str
