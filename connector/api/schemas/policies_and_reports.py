"""Response models for policies and reports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class ReportTitle(BaseModel):
    """An available report."""

    id: str
    title: str


class Column(BaseModel):
    """A column of a report; money is in the row's currency."""

    key: str
    heading: str
    kind: Literal["text", "number", "money", "days", "share", "day"]


class Report(BaseModel):
    """A report; each item has an ``id`` and the values that ``columns`` describes."""

    name: str
    title: str
    question: str
    formula: str
    notes: list[str]
    columns: list[Column]
    items: list[dict[str, Any]]
    next: str | None


class PolicyDocument(BaseModel):
    """A policy document; ``version`` is null for the default policy."""

    version: int | None
    document: str


class PolicyCheck(BaseModel):
    """Whether a policy document is valid; ``reason`` has its errors, ``notes`` what to know about its late fees."""

    ok: bool
    reason: str
    notes: list[str]


class PolicyVersionResponse(BaseModel):
    """The version of the current policy."""

    version: int
