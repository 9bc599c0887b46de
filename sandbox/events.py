"""The events of a simulated company, which each service applies to its own documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

_CENT = Decimal("0.01")


class PaymentSpeed(StrEnum):
    """How a customer pays: on time, some weeks late, or months late."""

    PROMPT = "prompt"
    SLOW = "slow"
    CHRONIC = "chronic"


@dataclass(frozen=True, slots=True)
class Customer:
    """A simulated customer; the payment terms have ``discount_percent`` (0 for none) within ``discount_days``."""

    key: str
    name: str
    first_name: str
    last_name: str
    email: str
    street: str
    city: str
    region: str
    postcode: str
    country: str
    currency: str
    payment_speed: PaymentSpeed
    terms_days: int
    discount_percent: int = 0
    discount_days: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an invoice or credit note; ``tax_percent`` is added."""

    item: str
    description: str
    quantity: Decimal
    unit_price: Decimal
    tax_percent: int

    @property
    def net(self) -> Decimal:
        """The line's amount before tax, to the cent."""
        return (self.quantity * self.unit_price).quantize(_CENT, ROUND_HALF_UP)

    @property
    def tax(self) -> Decimal:
        """The line's tax, to the cent."""
        return (self.net * self.tax_percent / 100).quantize(_CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Event:
    """Something a bookkeeper entered at the instant ``at``; ``on`` is the date of the document."""

    at: datetime
    on: date


@dataclass(frozen=True, slots=True)
class CustomerAdded(Event):
    """A customer is entered."""

    customer: Customer


@dataclass(frozen=True, slots=True)
class EmailChanged(Event):
    """A customer's address changes."""

    customer_key: str
    email: str


@dataclass(frozen=True, slots=True)
class CustomerArchived(Event):
    """A customer is archived (made inactive)."""

    customer_key: str


@dataclass(frozen=True, slots=True)
class InvoiceIssued(Event):
    """A sales invoice is entered and, unless ``draft``, approved and sent. ``total`` includes tax."""

    key: str
    number: str
    customer_key: str
    currency: str
    due_on: date
    lines: tuple[Line, ...]
    total: Decimal
    draft: bool = False
    reference: str = ""


@dataclass(frozen=True, slots=True)
class PaymentReceived(Event):
    """A payment is received: ``applied`` are (invoice key, amount) pairs, the rest stays unapplied.

    With ``on_account`` it was not meant for an invoice (a prepayment); otherwise an excess is an overpayment.
    """

    key: str
    customer_key: str
    currency: str
    amount: Decimal
    applied: tuple[tuple[str, Decimal], ...]
    on_account: bool = False


@dataclass(frozen=True, slots=True)
class PaymentDeleted(Event):
    """A payment is deleted (a returned cheque, a wrong entry)."""

    payment_key: str


@dataclass(frozen=True, slots=True)
class CreditNoteIssued(Event):
    """A credit note is entered: ``applied`` are (invoice key, amount) pairs, the rest stays as unapplied credit."""

    key: str
    number: str
    customer_key: str
    currency: str
    lines: tuple[Line, ...]
    total: Decimal
    applied: tuple[tuple[str, Decimal], ...] = ()


@dataclass(frozen=True, slots=True)
class CreditNoteApplied(Event):
    """An earlier credit note is applied to an invoice."""

    credit_key: str
    invoice_key: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class InvoiceVoided(Event):
    """An unpaid invoice is voided."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class NoteWritten(Event):
    """A bookkeeper writes a note on an invoice, for example about a dispute, for which no ledger has a field."""

    invoice_key: str
    text: str


@dataclass(frozen=True, slots=True)
class BillReceived(Event):
    """A supplier's bill: not a receivable; it exposes clients that forget to filter."""

    key: str
    number: str
    supplier: str
    currency: str
    due_on: date
    total: Decimal
    paid_on: date | None
