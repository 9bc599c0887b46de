"""The shapes of what leaves: entries of the outbox, mails, late fees."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from connector.web.api.shapes.parts_of_lists import State, Sum


class Entry(BaseModel):
    """An effect outside: a mail, a note, a late fee."""

    id: int
    kind: str
    state: State
    key: str
    short_key: str
    why: str
    connection: str
    customer: str
    customer_id: str
    invoice_id: str
    step: str
    currency: str
    to: list[str]
    invoices: list[str]
    amount: Sum | None
    annual_rate: str | None
    leaves_from: datetime | None
    planned_at: datetime
    ended_at: datetime | None
    attempts: int
    answer: str
    reference: str
    delivery: str
    worded_by: Annotated[str, Field(description="Who gave the mail words of its own.")]
    seen: Annotated[str, Field(description="Stands for what it says now: send it back with an approval.")]


class Settled(BaseModel):
    """What became of an entry."""

    id: int
    state: State
    answer: str | None = None


class Letter(BaseModel):
    """A mail as the customer will read it."""

    to: list[str]
    subject: str
    text: str
    html: str


class Fee(BaseModel):
    """A late fee; ``annual_rate`` is in percent."""

    id: int
    state: str
    invoice: str
    amount: Sum
    currency: str
    annual_rate: str
    number: str
    parts: list[Any]
    connection: str
    customer: str
    why: str
    answer: str
