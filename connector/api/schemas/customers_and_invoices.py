"""The shapes of customers, invoices and tasks, and of what was said about them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel

from connector.api.schemas.lists import Amount


class ExceptionItem(BaseModel):
    """Something in the books that is worth a person's eye."""

    id: str
    connection: str
    code: str
    customer: str
    customer_id: str
    invoice: str
    reason: str


class CustomerSettings(BaseModel):
    """What a person set for a customer; what was not set is not there."""

    segment: str | None = None
    hold_until_on: date | None = None
    no_reminders: bool | None = None
    no_fees: bool | None = None
    fees_agreed_on: date | None = None
    emails: str | None = None
    contact_name: str | None = None
    language: str | None = None
    owner: str | None = None
    sales_rep: str | None = None
    tags: str | None = None
    suppression_reason: str | None = None


class Customer(BaseModel):
    """A customer; ``owes`` names a sum for each currency."""

    id: str
    connection: str
    name: str
    emails: str
    country: str
    active: bool
    open_balance: dict[str, Amount]
    settings: CustomerSettings


class CustomerSettingsResponse(BaseModel):
    """A customer after something was set."""

    id: str
    connection_id: int
    name: str
    settings: CustomerSettings


class CustomerInvoice(BaseModel):
    """An open invoice of a customer, and when it may be paid."""

    id: str
    number: str
    due: Amount
    currency: str
    due_on: date | None
    size_reason: str
    expected_on: date | None
    earliest_on: date | None = None
    latest_on: date | None = None
    expected_reason: str


class CustomerAgreement(BaseModel):
    """Something that was said about an invoice of a customer."""

    invoice: str | None
    kind: str
    state: str
    text: str


class Task(BaseModel):
    """Work for a person."""

    id: int
    code: str
    step: str
    due_on: date
    owner: str
    reason: str
    state: Literal["open", "done", "cancelled"]
    outcome: str
    created_at: datetime
    ended_at: datetime | None
    ended_by: str
    connection: str
    customer: str
    invoices: list[str]


class PaymentBehaviour(BaseModel):
    """How a customer pays, from what he paid."""

    closed_invoices: int
    median: str
    typical_range: str
    late_percent: int
    weekday: str
    on_time_streak: int
    has_broken_promise: bool


class CustomerDetail(BaseModel):
    """All that is known about a customer, each judgement with its inputs."""

    id: str
    connection: str
    name: str
    emails: str
    settings: CustomerSettings
    owner: str
    sales_rep: str
    policy_version: int | None
    agreements: list[CustomerAgreement]
    tasks: list[Task]
    segment: str | None
    segment_reason: str
    score: int | float | None = None
    payment_behaviour_reason: str | None = None
    payment_behaviour: PaymentBehaviour | None = None
    invoices: list[CustomerInvoice]


class ActiveAgreements(BaseModel):
    """What a person said about an invoice and counts now; what was not said is not there."""

    disputed_on: date | None = None
    dispute_reason: str | None = None
    promised_on: date | None = None
    paused: bool | None = None
    paused_until_on: date | None = None
    plan: str | None = None


class Invoice(BaseModel):
    """An invoice."""

    id: str
    connection: str
    number: str
    customer: str
    currency: str
    total: Amount
    due: Amount
    due_on: date | None
    status: str
    active_agreements: ActiveAgreements


class InvoiceAgreementsResponse(BaseModel):
    """An invoice after something was said about it."""

    id: str
    number: str
    active_agreements: ActiveAgreements


class TaskResponse(BaseModel):
    """A task after something was said about it."""

    id: int
    state: Literal["open", "done", "cancelled"]
    outcome: str
    due_on: date


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
