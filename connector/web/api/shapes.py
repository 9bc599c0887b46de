"""The shapes of what goes in and comes out, for the OpenAPI document; ``people`` makes the very objects.

Sums are texts with their currency beside them: a number would lose cents on the way. ``_at`` is an instant in UTC,
``_on`` a day.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")
Sum = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["1200.00"])]
State = Literal["planned", "waiting", "calling", "done", "refused", "doubt"]
Mode = Literal["observe", "approve", "live"]
Why = Annotated[str, Field(max_length=500, description="In your words, for those who look later.")]
Ids = Annotated[list[int], Field(min_length=1, max_length=500)]


class Page(BaseModel, Generic[T]):
    """A part of a list; ``next`` is the cursor of the part after it, null at the end."""

    items: list[T]
    next: str | None


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


class Oddity(BaseModel):
    """Something in the books that is worth a person's eye."""

    id: str
    connection: str
    code: str
    customer: str
    customer_id: str
    invoice: str
    why: str


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


class CustomerSet(BaseModel):
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
    suppressed_why: str | None = None


class Customer(BaseModel):
    """A customer; ``owes`` names a sum for each currency."""

    id: str
    connection: str
    name: str
    emails: str
    country: str
    active: bool
    owes: dict[str, Sum]
    set: CustomerSet


class CustomerNow(BaseModel):
    """A customer after something was set."""

    id: str
    connection_id: int
    name: str
    set: CustomerSet


class CardInvoice(BaseModel):
    """An open invoice of a customer, and when it may be paid."""

    id: str
    number: str
    due: Sum
    currency: str
    due_on: date | None
    size_why: str
    expected_on: date | None
    earliest_on: date | None = None
    latest_on: date | None = None
    expected_why: str


class SaidOf(BaseModel):
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
    why: str
    state: Literal["open", "done", "moot"]
    outcome: str
    made_at: datetime
    ended_at: datetime | None
    ended_by: str
    connection: str
    customer: str
    invoices: list[str]


class Habits(BaseModel):
    """How a customer pays, from what he paid."""

    settled: int
    median: str
    interval: str
    late_percent: int
    weekday: str
    on_time_run: int
    broke_promise: bool


class Card(BaseModel):
    """All that is known about a customer, each judgement with its inputs."""

    id: str
    connection: str
    name: str
    emails: str
    set: CustomerSet
    owner: str
    sales_rep: str
    policy_version: int | None
    said: list[SaidOf]
    tasks: list[Task]
    segment: str | None
    segment_why: str
    score: int | float | None = None
    habits_why: str | None = None
    habits: Habits | None = None
    invoices: list[CardInvoice]


class Said(BaseModel):
    """What a person said about an invoice and counts now; what was not said is not there."""

    disputed_on: date | None = None
    dispute_why: str | None = None
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
    total: Sum
    due: Sum
    due_on: date | None
    status: str
    said: Said


class SaidNow(BaseModel):
    """An invoice after something was said about it."""

    id: str
    number: str
    said: Said


class TaskNow(BaseModel):
    """A task after something was said about it."""

    id: int
    state: Literal["open", "done", "moot"]
    outcome: str
    due_on: date


class Link(BaseModel):
    """The link to a customer's own page; "" once it is of no use."""

    id: str
    customer: str
    link: str
    state: str
    made_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class Revoked(BaseModel):
    """How many links of a customer were ended."""

    id: str
    customer: str
    revoked: int


class ReportName(BaseModel):
    """A report there is."""

    id: str
    title: str


class Column(BaseModel):
    """A figure of a report's rows; money is in the row's currency."""

    key: str
    heading: str
    kind: Literal["text", "number", "money", "days", "share", "day"]


class Report(BaseModel):
    """A report; each item has an ``id`` and what ``columns`` name."""

    name: str
    title: str
    question: str
    formula: str
    notes: list[str]
    columns: list[Column]
    items: list[dict[str, Any]]
    next: str | None


class Policy(BaseModel):
    """A policy document; ``version`` is null for the one that comes with duewell."""

    version: int | None
    document: str


class Verdict(BaseModel):
    """Whether a document is a policy; ``why`` says where it breaks a rule."""

    ok: bool
    why: str


class PolicyVersion(BaseModel):
    """A version that was set."""

    id: int
    connection: str
    connection_id: int | None
    own: bool
    set_at: datetime
    set_by: str
    in_force: bool


class Version(BaseModel):
    """The version that is in force now."""

    version: int


class Problem(BaseModel):
    """What went wrong (RFC 9457): what happened, what it means, what to do."""

    type: str
    title: str
    status: int
    detail: str
    means: str
    todo: str


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


class OfPolicy(Asking):
    """A policy document: TOML."""

    document: Annotated[str, Field(max_length=500_000)]
    connection: Annotated[str, Field(max_length=200)] = ""
