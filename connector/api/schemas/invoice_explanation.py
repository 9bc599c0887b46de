"""The shape of an invoice's whole story: the facts, what happened, what was decided and why, what comes next."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel

from connector.api.schemas import Amount, Connection, OutboxState
from connector.arrangements.customer_settings import CustomerSettings
from connector.services.invoices import ActiveAgreements


class InvoiceDetails(BaseModel):
    """What the books say of it."""

    number: str
    status: str
    currency: str
    total: Amount
    due: Amount
    issued_on: date
    due_on: date | None
    closed_on: date | None
    sent_to_customer: bool
    updated_at: datetime | None


class CustomerDetails(BaseModel):
    """Who owes it."""

    id: str
    name: str
    emails: str
    settings: CustomerSettings | None = None


class AppliedAmount(BaseModel):
    """Money that was put on it."""

    kind: str
    id: str
    on: date
    amount: Amount


class UnappliedAmount(BaseModel):
    """Money of the customer that is on no invoice yet."""

    kind: str
    id: str
    remaining: Amount


class TimelineEvent(BaseModel):
    """Something that happened; ``at`` is null where the books know only the day."""

    on: date
    at: datetime | None
    kind: str
    text: str


class UpcomingAction(BaseModel):
    """Something that comes, if nothing changes."""

    on: date
    kind: str
    step: str
    reason: str


class DecisionAudit(BaseModel):
    """A recorded decision, made again from the facts of its day."""

    id: int
    at: datetime
    run_id: int
    policy_version: int | None
    kind: str
    code: str
    reason: str
    reproduced: bool
    note: str


class Agreement(BaseModel):
    """A promise, plan, dispute or pause, and what became of it."""

    id: int
    kind: str
    state: str
    since_on: date
    until_on: date | None
    instalments: list[Any] | None
    reason: str
    recorded_by: str
    recorded_at: datetime
    ended_at: datetime | None
    outcome: str
    ended_by: str


class InvoiceDecision(BaseModel):
    """What is decided about it."""

    kind: str
    code: str
    reason: str
    next_step: str | None
    next_on: date | None
    policy_version: int | None
    since_at: datetime | None = None


class CompletedStep(BaseModel):
    """A step that was taken for it."""

    step: str
    at: datetime
    on: date
    outbox_id: int | None
    task_id: int | None


class InvoiceOutboxEntry(BaseModel):
    """An effect that is about it."""

    id: int
    kind: str
    state: OutboxState
    step: str
    key: str
    reason: str
    response: str
    planned_at: datetime
    dispatched_at: datetime | None
    ended_at: datetime | None


class InvoiceLogEntry(BaseModel):
    """A line of the log about it."""

    id: int
    at: datetime
    kind: str
    text: str


class InvoiceExplanation(BaseModel):
    """Everything that bears on one invoice."""

    id: str
    invoice: InvoiceDetails
    connection: Connection
    customer: CustomerDetails
    active_agreements: ActiveAgreements
    applied: list[AppliedAmount]
    unapplied: list[UnappliedAmount]
    timeline: list[TimelineEvent]
    upcoming: list[UpcomingAction]
    decision_audit: list[DecisionAudit]
    agreements: list[Agreement]
    decision: InvoiceDecision | None
    current_decision: InvoiceDecision | None
    completed_steps: list[CompletedStep]
    outbox: list[InvoiceOutboxEntry]
    log: list[InvoiceLogEntry]
