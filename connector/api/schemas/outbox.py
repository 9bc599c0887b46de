"""The shapes of what leaves: entries of the outbox, mails, late fees."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from connector.api.schemas.lists import Amount, OutboxState


class OutboxEntry(BaseModel):
    """An effect outside: a mail, a note, a late fee."""

    id: int
    kind: str
    state: OutboxState
    key: str
    short_key: str
    reason: str
    connection: str
    customer: str
    customer_id: str
    invoice_id: str
    step: str
    currency: str
    to: list[str]
    invoices: list[str]
    amount: Amount | None
    annual_rate: str | None
    send_after: datetime | None
    planned_at: datetime
    ended_at: datetime | None
    attempts: int
    response: str
    reference: str
    delivery_status: str
    edited_by: Annotated[str, Field(description="Who gave the mail words of its own.")]
    etag: Annotated[str, Field(description="Stands for what it says now: send it back with an approval.")]


class OutboxEntryState(BaseModel):
    """What became of an entry."""

    id: int
    state: OutboxState
    response: str | None = None


class EmailPreview(BaseModel):
    """A mail as the customer will read it."""

    to: list[str]
    subject: str
    text: str
    html: str


class LateFee(BaseModel):
    """A late fee; ``annual_rate`` is in percent."""

    id: int
    state: str
    invoice: str
    amount: Amount
    currency: str
    annual_rate: str
    number: str
    calculation: list[Any]
    connection: str
    customer: str
    reason: str
    response: str
