"""The shapes of policies and reports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class ReportTitle(BaseModel):
    """A report there is."""

    id: str
    title: str


class Column(BaseModel):
    """A figure of a report's rows; money is in the row's currency."""

    key: str
    heading: str
    kind: Literal["text", "number", "money", "days", "share", "day"]


class Report(BaseModel):
    """A report; each item has an ``id`` and what ``columns`` name."""

    name: str
    title: str
    question: str
    formula: str
    notes: list[str]
    columns: list[Column]
    items: list[dict[str, Any]]
    next: str | None


class PolicyDocument(BaseModel):
    """A policy document; ``version`` is null for the one that comes with duewell."""

    version: int | None
    document: str


class PolicyCheck(BaseModel):
    """Whether a document is a policy; ``why`` says where it breaks a rule."""

    ok: bool
    reason: str


class PolicyVersionResponse(BaseModel):
    """The version that is in force now."""

    version: int
