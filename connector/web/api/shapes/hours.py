"""The shapes of connections, their runs, the log, and what is to come."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from connector.web.api.shapes.parts_of_lists import Mode, Sum


class Connection(BaseModel):
    """One company's books."""

    id: int
    short_name: str
    provider: str
    name: str
    mode: Mode
    health: str
    health_why: str
    paused: str
    paused_until_on: date | None
    external_id: str


class LastRun(BaseModel):
    """How the last run ended."""

    id: int
    outcome: str
    why: str
    ended_at: datetime | None
    numbers: dict[str, int] | None


class BudgetLine(BaseModel):
    """What is left of a vendor's limit."""

    limit: str
    used: int
    left: int | None
    blocked_until_at: datetime | None


class Waiting(BaseModel):
    """How much waits for a person."""

    approvals: int
    doubts: int
    tasks: int


class Status(Connection):
    """How a connection is."""

    running: bool
    last_run_at: datetime | None
    last_run: LastRun | None
    next_run_at: datetime | None
    budget: list[BudgetLine]
    compared_at: Annotated[
        datetime | None, Field(description="When its open documents were last compared, one by one.")
    ]
    drift: Annotated[int, Field(description="How many documents those comparisons had to mend.")]
    reads_of_all: Annotated[int, Field(description="Reads this month of all companies at this vendor.")]
    webhook_trusted_since_at: datetime | None
    waiting: Waiting


class Run(BaseModel):
    """A run of the hour. ``outcome`` is "" while it is under way."""

    id: int
    connection: str
    started_at: datetime
    ended_at: datetime | None
    outcome: Literal["", "ok", "later", "person", "failed"]
    why: str
    dry: bool
    numbers: dict[str, int] | None


class Line(BaseModel):
    """A line of the sync log."""

    id: int
    at: datetime
    connection: str
    kind: str
    run_id: int | None
    customer_id: str
    invoice_id: str
    text: str
    facts: dict[str, Any]


class Chain(BaseModel):
    """Whether the log's chain of hashes holds."""

    ok: bool
    entries: int
    head: str
    broken_at_id: int | None
    why: str


class Coming(BaseModel):
    """What would go out. ``amount`` is "" for a task."""

    id: str
    connection: str
    mode: Mode
    at: datetime
    on: date
    kind: Literal["mail", "owner_mail", "task", "late_fee"]
    step: str
    customer_id: str
    customer: str
    invoices: list[str]
    currency: str
    amount: Literal[""] | Sum
    why: str


class Change(Coming):
    """What a policy would alter: ``-`` falls away, ``+`` comes, ``~`` says other things."""

    change: Literal["-", "+", "~"]
