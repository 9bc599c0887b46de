"""Request models of the API: what programs may send, with its limits.

Amounts are strings, or numbers, beside their currency; ``_on`` is a date.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from connector.api.iso_dates import IsoDate, IsoInstant
from connector.branding.pictures import UPLOAD_BYTES_MAX
from connector.db.ids import ID_MAX
from connector.vocabulary import ConnectionMode
from policies.fee_rules import FeePreset
from policies.receivables import Segment


def _decimal_schema(pattern: str, limits: dict[str, int]) -> WithJsonSchema:
    """Return how an exact decimal is documented: text; a number is taken as well."""
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": pattern}, {"type": "number", **limits}]})


PICTURE_BASE64_MAX = UPLOAD_BYTES_MAX * 4 // 3 + 4  # as much as the web app takes
Id = Annotated[int, Interval(ge=0, le=ID_MAX)]
FreeText = Annotated[str, Field(max_length=500, description="A note for your colleagues.")]
Ids = Annotated[list[Id], Field(min_length=1, max_length=500)]


class RequestModel(BaseModel):
    """A request body; unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid")


class ModeRequest(RequestModel):
    """The new mode of a connection."""

    mode: ConnectionMode


class PauseRequest(RequestModel):
    """A pause; without an end date it lasts until resumed."""

    reason: FreeText = ""
    until_on: IsoDate | None = None


class DisconnectRequest(RequestModel):
    """The end of the access to a company, and why."""

    reason: FreeText = ""


class OutboxEntriesRequest(RequestModel):
    """Outbox entries by id; with the ``etags`` you read, by id, nothing is done if one has changed since."""

    ids: Ids
    reason: FreeText = ""
    etags: dict[str, str] = {}


class WaiveFeesRequest(OutboxEntriesRequest):
    """Late fees to waive; with an ``amount``, only that much of each."""

    amount: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=4)] | None = None


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
    hold_until_on: IsoDate | None = None
    no_reminders: bool = False
    no_fees: bool = False
    fees_agreed_on: IsoDate | None = None
    contact: ContactRequest | None = None
    phone: Annotated[str, Field(max_length=60)] | None = None
    language: Annotated[str, Field(max_length=20)] | None = None
    owner: Annotated[str, Field(max_length=300)] | None = None
    sales_rep: Annotated[str, Field(max_length=300)] | None = None
    second_contact: Annotated[str, Field(max_length=300)] | None = None
    stopped_emails: Annotated[list[Annotated[str, Field(max_length=254)]], Field(max_length=50)] | None = None
    tags: Annotated[list[str], Field(max_length=50)] | None = None
    withholding_percent: (
        Annotated[
            Decimal,
            Field(ge=0, le=50, decimal_places=4),
            _decimal_schema(r"^([0-4]?[0-9](\.[0-9]{1,4})?|50)$", {"minimum": 0, "maximum": 50}),
        ]
        | None
    ) = None


class DisputeRequest(RequestModel):
    """What the customer disputes."""

    reason: FreeText = ""


class ResolveDisputeRequest(RequestModel):
    """How the dispute was resolved."""

    outcome: FreeText = ""


class PromiseRequest(RequestModel):
    """The date on which the customer promised to pay, and what; null withdraws the promise.

    Without an amount it is all that is due.
    """

    promised_on: IsoDate | None
    promised_amount: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=4)] | None = None
    reason: FreeText = ""


class InstalmentRequest(RequestModel):
    """An instalment of a payment plan."""

    due_on: IsoDate
    amount: Annotated[
        Decimal,
        Field(gt=0, max_digits=18, decimal_places=4),
        _decimal_schema(r"^([1-9][0-9]{0,13}(\.[0-9]{1,4})?|0\.[0-9]{0,3}[1-9])$", {"exclusiveMinimum": 0}),
    ]


class PaymentPlanRequest(RequestModel):
    """A payment plan over the whole amount due; null withdraws it."""

    instalments: Annotated[list[InstalmentRequest], Field(min_length=1, max_length=60)] | None
    reason: FreeText = ""


class InvoicePauseRequest(RequestModel):
    """How long reminders are paused; without a date, until they are resumed."""

    until_on: IsoDate | None = None
    reason: FreeText = ""


class InvoicesPauseRequest(InvoicePauseRequest):
    """Invoices of one connection, by id or number, whose reminders are paused together."""

    connection: Annotated[str, Field(max_length=200)]
    invoices: Annotated[list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=500)]


class UndoRequest(RequestModel):
    """The instant of what is undone, as the reply to it named it; without one, the last that this token recorded."""

    recorded_at: IsoInstant | None = None


class TaskOutcomeRequest(RequestModel):
    """The outcome of a task; promises, disputes and pauses apply from the next sync."""

    note: FreeText = ""
    promised_on: IsoDate | None = None
    promised_amount: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=4)] | None = None
    disputed: FreeText | None = None
    paused_until_on: IsoDate | None = None
    retry_on: IsoDate | None = None
    contact: ContactRequest | None = None
    no_reminders: bool = False
    invoices: Annotated[list[str], Field(max_length=500)] = []


class CompleteTasksRequest(RequestModel):
    """Tasks to mark as completed, by id."""

    ids: Ids
    note: Annotated[str, Field(min_length=1, max_length=500, description="The outcome: what came of them.")]


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


class BankDetailsRequest(RequestModel):
    """A bank account: an IBAN, or a bank code (sort code, routing number, BSB) with an account number.

    The address is the payee's own; the Swiss payment code needs it.
    """

    payee: Annotated[str, Field(max_length=500, description="The account's name, as the bank has it.")]
    iban: Annotated[str, Field(max_length=50)] = ""
    bank_code: Annotated[str, Field(max_length=20)] = ""
    account_number: Annotated[str, Field(max_length=30)] = ""
    bic: Annotated[str, Field(max_length=20)] = ""
    street: Annotated[str, Field(max_length=200)] = ""
    building_number: Annotated[str, Field(max_length=50)] = ""
    postcode: Annotated[str, Field(max_length=50)] = ""
    town: Annotated[str, Field(max_length=100)] = ""
    country: Annotated[str, Field(max_length=100)] = ""
    use_creditor_reference: Annotated[
        bool, Field(description="Give single invoices an ISO 11649 reference instead of their number.")
    ] = False


class BrandRequest(RequestModel):
    """What to change of a brand; what is not named, or null, stays. Pictures are PNG or JPEG in base64, "" for none."""

    accent_colour: Annotated[str | None, Field(max_length=20, description="Six digits, such as #0b5fa5.")] = None
    logo: Annotated[str | None, Field(max_length=PICTURE_BASE64_MAX)] = None
    signer_name: Annotated[str | None, Field(max_length=80)] = None
    portrait: Annotated[str | None, Field(max_length=PICTURE_BASE64_MAX)] = None
    signature: Annotated[str | None, Field(max_length=1000)] = None
    legal_footer: Annotated[str | None, Field(max_length=2000)] = None
    links: Annotated[list[str] | None, Field(max_length=5, description="Each a text and its https address.")] = None


class BankStatementRequest(RequestModel):
    """A bank statement in base64. The other fields say how a CSV file is read, where it does not say so itself.

    ``columns`` are names of columns by field: booked_on, amount, credit, debit, payer, text and others.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    content: Annotated[str, Field(min_length=1, max_length=1_000_000)]
    date_order: Annotated[str, Field(pattern="^(dmy|mdy|ymd)?$")] = ""
    decimal_mark: Annotated[str, Field(pattern="^[,.]?$")] = ""
    currency: Annotated[str, Field(pattern="^([A-Z]{3})?$")] = ""
    columns: Annotated[dict[str, str], Field(max_length=20)] = {}


class AssignReceiptRequest(RequestModel):
    """The number of the invoice that money pays."""

    invoice: Annotated[str, Field(min_length=1, max_length=80)]


class RateRequest(RequestModel):
    """The statutory rate of a half-year, in percent a year, where it was read and when."""

    preset: FeePreset
    from_on: IsoDate
    rate: Annotated[str, Field(max_length=10, examples=["11.75"])]
    source: Annotated[str, Field(max_length=300)]
    checked_on: IsoDate
    connection: Annotated[str, Field(max_length=200)] = ""
    replace: bool = False
