"""Models that several operations share: pages, problems, amounts and ids."""

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
    """A page of a list; ``next`` is the cursor of the following page, null on the last one."""

    items: list[T]
    next: str | None


class Problem(BaseModel):
    """An error (RFC 9457): what happened, what it means and what to do."""

    type: str
    title: str
    status: int
    detail: str
    meaning: str
    action: str
