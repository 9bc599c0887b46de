"""The shapes of connections, their runs, the log, and what is to come."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from connector.api.schemas.lists import Amount, Mode
from connector.vocabulary import RunOutcome


class Connection(BaseModel):
    """One company's books."""

    id: int
    short_name: str
    provider: str
    name: str
    mode: Mode
    health: str
    health_reason: str
    pause_reason: str
    paused_until_on: date | None
    external_id: str


class LastRun(BaseModel):
    """How the last run ended."""

    id: int
    outcome: RunOutcome | None
    reason: str
    ended_at: datetime | None
    counts: dict[str, int] | None


class ApiBudget(BaseModel):
    """What is left of a vendor's limit."""

    limit: str
    used: int
    remaining: int | None
    blocked_until_at: datetime | None


class NeedsAttention(BaseModel):
    """How much waits for a person."""

    approvals: int
    unconfirmed: int
    tasks: int


class ConnectionStatus(Connection):
    """How a connection is."""

    running: bool
    last_run_at: datetime | None
    last_run: LastRun | None
    next_run_at: datetime | None
    budget: list[ApiBudget]
    reconciled_at: Annotated[
        datetime | None, Field(description="When its open documents were last compared, one by one.")
    ]
    drift: Annotated[int, Field(description="How many documents those comparisons had to mend.")]
    provider_reads_this_month: Annotated[int, Field(description="Reads this month of all companies at this vendor.")]
    webhooks_complete_since_at: datetime | None
    needs_attention: NeedsAttention


class LogVerification(BaseModel):
    """Whether the log's chain of hashes holds."""

    ok: bool
    entries: int
    head: str
    broken_at_id: int | None
    reason: str


class PlannedAction(BaseModel):
    """What would go out. ``amount`` is "" for a task."""

    id: str
    connection: str
    mode: Mode
    at: datetime
    on: date
    kind: Literal["email", "owner_email", "task", "late_fee"]
    step: str
    customer_id: str
    customer: str
    invoices: list[str]
    currency: str
    amount: Literal[""] | Amount
    reason: str


class PlanChange(PlannedAction):
    """What a policy would alter: ``-`` falls away, ``+`` comes, ``~`` says other things."""

    change: Literal["-", "+", "~"]
