"""Request models; unknown fields are rejected."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from connector.api.schemas.lists import Id, Mode
from policies.receivables import Segment

FreeText = Annotated[str, Field(max_length=500, description="A note for your colleagues.")]
Ids = Annotated[list[Id], Field(min_length=1, max_length=500)]


class RequestModel(BaseModel):
    """A request body; unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid")


class ModeRequest(RequestModel):
    """The new mode of a connection."""

    mode: Mode


class PauseRequest(RequestModel):
    """A pause; without an end date it lasts until resumed."""

    reason: FreeText = ""
    until_on: date | None = None


class OutboxEntriesRequest(RequestModel):
    """Outbox entries by id; with the ``etags`` you read, by id, nothing is done if one has changed since."""

    ids: Ids
    reason: FreeText = ""
    etags: dict[str, str] = {}


class EmailTextRequest(RequestModel):
    """New texts for an email that has not been sent; without any, the original text is restored."""

    subject: Annotated[str, Field(max_length=200)] | None = None
    heading: Annotated[str, Field(max_length=200)] | None = None
    opening: Annotated[str, Field(max_length=20_000)] | None = None
    closing: Annotated[str, Field(max_length=20_000)] | None = None
    etag: Annotated[str, Field(max_length=200)] = ""


class DeliveryOutcomeRequest(RequestModel):
    """Whether an unconfirmed outbox entry was sent."""

    sent: bool


class ContactRequest(RequestModel):
    """Who gets the emails."""

    name: Annotated[str, Field(max_length=200)] = ""
    email: Annotated[str, Field(max_length=254, pattern=r"^[^\s<>,;@]+@[^\s<>,;@]+\.[^\s<>,;@]+$")]


class CustomerSettingsRequest(RequestModel):
    """Changes to a customer's settings: only the fields you send are changed, and null removes a value."""

    segment: Segment | None = None
    hold_until_on: date | None = None
    no_reminders: bool = False
    no_fees: bool = False
    fees_agreed_on: date | None = None
    contact: ContactRequest | None = None
    language: Annotated[str, Field(max_length=20)] | None = None
    owner: Annotated[str, Field(max_length=300)] | None = None
    sales_rep: Annotated[str, Field(max_length=300)] | None = None
    tags: Annotated[list[str], Field(max_length=50)] | None = None
    withholding_percent: Annotated[Decimal, Field(ge=0, le=50, decimal_places=4)] | None = None


class DisputeRequest(RequestModel):
    """What the customer disputes."""

    reason: FreeText = ""


class ResolveDisputeRequest(RequestModel):
    """How the dispute was resolved."""

    outcome: FreeText = ""


class PromiseRequest(RequestModel):
    """The date on which the customer promised to pay; null withdraws the promise."""

    promised_on: date | None
    reason: FreeText = ""


class InstalmentRequest(RequestModel):
    """An instalment of a payment plan."""

    due_on: date
    amount: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=4)]


class PaymentPlanRequest(RequestModel):
    """A payment plan over the whole amount due; null withdraws it."""

    instalments: Annotated[list[InstalmentRequest], Field(min_length=1, max_length=60)] | None
    reason: FreeText = ""


class InvoicePauseRequest(RequestModel):
    """How long reminders are paused; without a date, until they are resumed."""

    until_on: date | None = None
    reason: FreeText = ""


class TaskOutcomeRequest(RequestModel):
    """The outcome of a task; promises, disputes and pauses apply from the next sync."""

    note: FreeText = ""
    promised_on: date | None = None
    disputed: FreeText | None = None
    paused_until_on: date | None = None
    retry_on: date | None = None
    contact: ContactRequest | None = None
    no_reminders: bool = False
    invoices: Annotated[list[str], Field(max_length=500)] = []


class CompleteTasksRequest(RequestModel):
    """Tasks to mark as completed, by id."""

    ids: Ids
    note: FreeText = ""


class AssignTasksRequest(RequestModel):
    """Tasks by id, and their new owner."""

    ids: Ids
    to: Annotated[str, Field(max_length=300)]


class DefaultOwnerRequest(RequestModel):
    """The default account owner, for customers that have none of their own."""

    owner: Annotated[str, Field(max_length=300)] | None


class ExceptionRequest(RequestModel):
    """An exception, by its id."""

    id: Annotated[str, Field(max_length=500)]


class PolicyRequest(RequestModel):
    """A policy document in TOML."""

    document: Annotated[str, Field(max_length=500_000)]
    connection: Annotated[str, Field(max_length=200)] = ""
