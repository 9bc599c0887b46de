"""Response models for customers and exceptions."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel


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


class RevokedLinks(BaseModel):
    """The number of revoked portal links."""

    id: str
    customer: str
    revoked: int
