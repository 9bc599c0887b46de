"""The shapes of customers, invoices and tasks, and of what was said about them."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel

from connector.api.schemas.lists import Amount
from connector.arrangements.customer_settings import CustomerSettings
from connector.arrangements.tasks import TaskItem


class ExceptionItem(BaseModel):
    """Something in the books that is worth a person's eye."""

    id: str
    connection: str
    code: str
    customer: str
    customer_id: str
    invoice: str
    reason: str


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
    tasks: list[TaskItem]
    segment: str | None
    segment_reason: str
    score: int | float | None = None
    payment_behaviour_reason: str | None = None
    payment_behaviour: PaymentBehaviour | None = None
    invoices: list[CustomerInvoice]


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
