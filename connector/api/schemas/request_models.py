"""The shapes of what goes in: nothing that is not named."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from connector.api.schemas.lists import Id, Mode

FreeText = Annotated[str, Field(max_length=500, description="In your words, for those who look later.")]
Ids = Annotated[list[Id], Field(min_length=1, max_length=500)]


class RequestModel(BaseModel):
    """What goes in: nothing that is not named."""

    model_config = ConfigDict(extra="forbid")


class ModeRequest(RequestModel):
    """Another mode."""

    mode: Mode


class PauseRequest(RequestModel):
    """A pause; without an end it lasts until it is resumed."""

    reason: FreeText = ""
    until_on: date | None = None


class OutboxEntriesRequest(RequestModel):
    """Entries, by id; with ``seen`` of each, by id, nothing is done if one says something else by now."""

    ids: Ids
    reason: FreeText = ""
    etags: dict[str, str] = {}


class EmailTextRequest(RequestModel):
    """Words for one mail that has not left; with none of them it is as duewell writes it."""

    subject: Annotated[str, Field(max_length=200)] | None = None
    heading: Annotated[str, Field(max_length=200)] | None = None
    opening: Annotated[str, Field(max_length=20_000)] | None = None
    closing: Annotated[str, Field(max_length=20_000)] | None = None
    etag: Annotated[str, Field(max_length=200)] = ""


class DeliveryOutcomeRequest(RequestModel):
    """Whether it arrived."""

    sent: bool


class ContactRequest(RequestModel):
    """Where mail goes."""

    name: Annotated[str, Field(max_length=200)] = ""
    email: Annotated[str, Field(max_length=254, pattern=r"^[^\s<>,;@]+@[^\s<>,;@]+\.[^\s<>,;@]+$")]


class CustomerSettingsRequest(RequestModel):
    """What is set for a customer: what is named is changed, null takes it back."""

    segment: Literal["strategic", "established", "new"] | None = None
    hold_until_on: date | None = None
    no_reminders: bool = False
    no_fees: bool = False
    fees_agreed_on: date | None = None
    contact: ContactRequest | None = None
    language: Annotated[str, Field(max_length=20)] | None = None
    owner: Annotated[str, Field(max_length=300)] | None = None
    sales_rep: Annotated[str, Field(max_length=300)] | None = None
    tags: Annotated[list[str], Field(max_length=50)] | None = None


class DisputeRequest(RequestModel):
    """What the customer says."""

    reason: FreeText = ""


class ResolveDisputeRequest(RequestModel):
    """How it was settled."""

    outcome: FreeText = ""


class PromiseRequest(RequestModel):
    """The day he will pay on; null takes the promise back."""

    promised_on: date | None
    reason: FreeText = ""


class InstalmentRequest(RequestModel):
    """A part and its day."""

    due_on: date
    amount: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=4)]


class PaymentPlanRequest(RequestModel):
    """A payment plan over everything that is due; null takes it back."""

    instalments: Annotated[list[InstalmentRequest], Field(min_length=1, max_length=60)] | None
    reason: FreeText = ""


class InvoicePauseRequest(RequestModel):
    """Until when; without a day, until it is resumed."""

    until_on: date | None = None
    reason: FreeText = ""


class TaskOutcomeRequest(RequestModel):
    """What came of a task; what the customer said counts from the next run on."""

    note: FreeText = ""
    promised_on: date | None = None
    disputed: FreeText | None = None
    paused_until_on: date | None = None
    retry_on: date | None = None
    contact: ContactRequest | None = None
    no_reminders: bool = False
    invoices: Annotated[list[str], Field(max_length=500)] = []


class CompleteTasksRequest(RequestModel):
    """Tasks, by id, that are done."""

    ids: Ids
    note: FreeText = ""


class AssignTasksRequest(RequestModel):
    """Tasks, by id, and who is to do them."""

    ids: Ids
    to: Annotated[str, Field(max_length=300)]


class DefaultOwnerRequest(RequestModel):
    """Who minds the customers that have no owner of their own."""

    owner: Annotated[str, Field(max_length=300)] | None


class ExceptionRequest(RequestModel):
    """Something odd, by its id."""

    id: Annotated[str, Field(max_length=500)]


class PolicyRequest(RequestModel):
    """A policy document: TOML."""

    document: Annotated[str, Field(max_length=500_000)]
    connection: Annotated[str, Field(max_length=200)] = ""
