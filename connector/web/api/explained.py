"""The shape of an invoice's whole story: the facts, what happened, what was decided and why, what comes next."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel

from connector.web.api.shapes import Connection, CustomerSet, Said, State, Sum


class InvoiceFacts(BaseModel):
    """What the books say of it."""

    number: str
    status: str
    currency: str
    total: Sum
    due: Sum
    issued_on: date
    due_on: date | None
    settled_on: date | None
    sent_to_customer: bool
    updated_at: datetime | None


class CustomerFacts(BaseModel):
    """Who owes it."""

    id: str
    name: str
    emails: str
    set: CustomerSet | None = None


class Applied(BaseModel):
    """Money that was put on it."""

    kind: str
    id: str
    on: date
    amount: Sum


class Unapplied(BaseModel):
    """Money of the customer that is on no invoice yet."""

    kind: str
    id: str
    left: Sum


class Event(BaseModel):
    """Something that happened; ``at`` is null where the books know only the day."""

    on: date
    at: datetime | None
    kind: str
    text: str


class Next(BaseModel):
    """Something that comes, if nothing changes."""

    on: date
    kind: str
    step: str
    why: str


class Decision(BaseModel):
    """A recorded decision, made again from the facts of its day."""

    id: int
    at: datetime
    run_id: int
    policy_version: int | None
    kind: str
    code: str
    why: str
    same_again: bool
    note: str


class Agreement(BaseModel):
    """A promise, plan, dispute or pause, and what became of it."""

    id: int
    kind: str
    state: str
    since_on: date
    until_on: date | None
    instalments: list[Any] | None
    why: str
    said_by: str
    said_at: datetime
    ended_at: datetime | None
    outcome: str
    ended_by: str


class Answer(BaseModel):
    """What is decided about it."""

    kind: str
    code: str
    why: str
    next_step: str | None
    next_on: date | None
    policy_version: int | None
    since_at: datetime | None = None


class Taken(BaseModel):
    """A step that was taken for it."""

    step: str
    at: datetime
    on: date
    outbox_id: int | None
    task_id: int | None


class Left(BaseModel):
    """An effect that is about it."""

    id: int
    kind: str
    state: State
    step: str
    key: str
    why: str
    answer: str
    planned_at: datetime
    called_at: datetime | None
    ended_at: datetime | None


class LogLine(BaseModel):
    """A line of the log about it."""

    id: int
    at: datetime
    kind: str
    text: str


class Explained(BaseModel):
    """Everything that bears on one invoice."""

    id: str
    invoice: InvoiceFacts
    connection: Connection
    customer: CustomerFacts
    said: Said
    applied: list[Applied]
    unapplied: list[Unapplied]
    story: list[Event]
    next: list[Next]
    decisions: list[Decision]
    agreements: list[Agreement]
    answer: Answer | None
    now: Answer | None
    done: list[Taken]
    outbox: list[Left]
    log: list[LogLine]
