"""Response models of the API, beside the results of ``services`` that it returns as they are.

Amounts are strings with their currency beside them: a JSON number would lose cents. ``_at`` is an instant in UTC,
``_on`` a date.
"""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel

from connector.reports.report import ColumnKind

T = TypeVar("T")


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


class LogVerification(BaseModel):
    """Whether the log's hash chain is intact."""

    ok: bool
    entries: int
    head: str
    broken_at_id: int | None
    reason: str


class ExceptionItem(BaseModel):
    """Something that looks wrong in the accounting system."""

    id: str
    connection: str
    code: str
    customer: str
    customer_id: str
    invoice: str
    reason: str


class PortalLink(BaseModel):
    """The link to the customer portal; ``link`` is "" once it is revoked or expired."""

    id: str
    customer: str
    link: str
    state: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class PortalFileItem(BaseModel):
    """A file that a customer sent; its content is in the export of the customer's data."""

    id: int
    filename: str
    content_type: str
    size_bytes: int
    stored_at: datetime


class PortalReport(BaseModel):
    """What a customer reported in the portal; ``matches`` are unapplied payments and credits that fit it."""

    id: int
    kind: str
    state: str
    responded_at: datetime
    text: str
    matches: list[str]
    files: list[PortalFileItem]


class RevokedLinks(BaseModel):
    """The number of revoked portal links."""

    id: str
    customer: str
    revoked: int


class ReportTitle(BaseModel):
    """An available report."""

    id: str
    title: str


class Column(BaseModel):
    """A column of a report; money is in the row's currency."""

    key: str
    heading: str
    kind: ColumnKind


class Report(BaseModel):
    """A report; each item has an ``id`` and the values that ``columns`` describes."""

    name: str
    title: str
    question: str
    formula: str
    notes: list[str]
    columns: list[Column]
    items: list[dict[str, str | int | float | bool | None]]
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
