"""The shapes of what goes in: nothing that is not named."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from connector.web.api.shapes.parts_of_lists import Id, Mode

Why = Annotated[str, Field(max_length=500, description="In your words, for those who look later.")]
Ids = Annotated[list[Id], Field(min_length=1, max_length=500)]


class Asking(BaseModel):
    """What goes in: nothing that is not named."""

    model_config = ConfigDict(extra="forbid")


class OfMode(Asking):
    """Another mode."""

    mode: Mode


class OfPause(Asking):
    """A pause; without an end it lasts until it is resumed."""

    why: Why = ""
    until_on: date | None = None


class OfEntries(Asking):
    """Entries, by id; with ``seen`` of each, by id, nothing is done if one says something else by now."""

    ids: Ids
    why: Why = ""
    seen: dict[str, str] = {}


class OfWords(Asking):
    """Words for one mail that has not left; with none of them it is as duewell writes it."""

    subject: Annotated[str, Field(max_length=200)] | None = None
    heading: Annotated[str, Field(max_length=200)] | None = None
    opening: Annotated[str, Field(max_length=20_000)] | None = None
    closing: Annotated[str, Field(max_length=20_000)] | None = None
    seen: Annotated[str, Field(max_length=200)] = ""


class OfDoubt(Asking):
    """Whether it arrived."""

    sent: bool


class OfContact(Asking):
    """Where mail goes."""

    name: Annotated[str, Field(max_length=200)] = ""
    email: Annotated[str, Field(max_length=254, pattern=r"^[^\s<>,;@]+@[^\s<>,;@]+\.[^\s<>,;@]+$")]


class OfCustomer(Asking):
    """What is set for a customer: what is named is changed, null takes it back."""

    segment: Literal["strategic", "established", "new"] | None = None
    hold_until_on: date | None = None
    no_reminders: bool = False
    no_fees: bool = False
    fees_agreed_on: date | None = None
    contact: OfContact | None = None
    language: Annotated[str, Field(max_length=20)] | None = None
    owner: Annotated[str, Field(max_length=300)] | None = None
    sales_rep: Annotated[str, Field(max_length=300)] | None = None
    tags: Annotated[list[str], Field(max_length=50)] | None = None


class OfDispute(Asking):
    """What the customer says."""

    why: Why = ""


class OfOutcome(Asking):
    """How it was settled."""

    outcome: Why = ""


class OfPromise(Asking):
    """The day he will pay on; null takes the promise back."""

    on: date | None
    why: Why = ""


class OfInstalment(Asking):
    """A part and its day."""

    on: date
    amount: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=4)]


class OfPlan(Asking):
    """A payment plan over everything that is due; null takes it back."""

    instalments: Annotated[list[OfInstalment], Field(min_length=1, max_length=60)] | None
    why: Why = ""


class OfInvoicePause(Asking):
    """Until when; without a day, until it is resumed."""

    until_on: date | None = None
    why: Why = ""


class OfTask(Asking):
    """What came of a task; what the customer said counts from the next run on."""

    note: Why = ""
    promised_on: date | None = None
    disputed: Why | None = None
    paused_until_on: date | None = None
    again_on: date | None = None
    contact: OfContact | None = None
    no_reminders: bool = False
    invoices: Annotated[list[str], Field(max_length=500)] = []


class OfTasks(Asking):
    """Tasks, by id, that are done."""

    ids: Ids
    note: Why = ""


class OfOwner(Asking):
    """Tasks, by id, and who is to do them."""

    ids: Ids
    to: Annotated[str, Field(max_length=300)]


class OfOwnerOfAll(Asking):
    """Who minds the customers that have no owner of their own."""

    owner: Annotated[str, Field(max_length=300)] | None


class OfOddity(Asking):
    """Something odd, by its id."""

    id: Annotated[str, Field(max_length=500)]


class OfPolicy(Asking):
    """A policy document: TOML."""

    document: Annotated[str, Field(max_length=500_000)]
    connection: Annotated[str, Field(max_length=200)] = ""
