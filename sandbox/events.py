"""What happens in a make-believe company's books: dated events that a vendor applies to its own documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

_CENT = Decimal("0.01")


class PaymentSpeed(StrEnum):
    """How a customer pays: on time, some weeks late, or only after long."""

    PROMPT = "prompt"
    SLOW = "slow"
    CHRONIC = "chronic"


@dataclass(frozen=True, slots=True)
class Customer:
    """A make-believe customer. ``discount_percent`` within ``discount_days`` is what his terms offer, 0 if nothing."""

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
    """One line of an invoice or credit note; ``tax_percent`` comes on top."""

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
    """Something a bookkeeper entered at the instant ``at``; ``on`` is the day written on the document."""

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
    """Money came in: ``applied`` are (invoice key, amount) pairs; what is over stays unapplied with the customer.

    ``on_account`` says that it was meant for no invoice (a prepayment), otherwise an excess is an overpayment.
    """

    key: str
    customer_key: str
    currency: str
    amount: Decimal
    applied: tuple[tuple[str, Decimal], ...]
    on_account: bool = False


@dataclass(frozen=True, slots=True)
class PaymentDeleted(Event):
    """A payment is taken back (a returned cheque, a wrong booking)."""

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
    """A bookkeeper writes a note on an invoice: how a dispute is told, as no ledger has a field for it."""

    invoice_key: str
    text: str


@dataclass(frozen=True, slots=True)
class BillReceived(Event):
    """A supplier's bill: not receivable, there so that a client which forgets to filter notices."""

    key: str
    number: str
    supplier: str
    currency: str
    due_on: date
    total: Decimal
    paid_on: date | None
