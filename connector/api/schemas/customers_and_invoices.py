"""The shapes of customers, invoices and tasks, and of what was said about them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel


class ExceptionItem(BaseModel):
    """Something in the books that is worth a person's eye."""

    id: str
    connection: str
    code: str
    customer: str
    customer_id: str
    invoice: str
    reason: str


class PortalLink(BaseModel):
    """The link to a customer's own page; "" once it is of no use."""

    id: str
    customer: str
    link: str
    state: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class RevokedLinks(BaseModel):
    """How many links of a customer were ended."""

    id: str
    customer: str
    revoked: int
