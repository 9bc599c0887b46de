"""The documents of a simulated Xero organisation.

Always, ``Invoice.amount_due == total - deduction - amount_paid - amount_credited`` and ``Credit.remaining == total -
allocated``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

ZERO = Decimal("0.00")


class ContactPerson(NamedTuple):
    """An additional contact person; Xero emails invoices to those with ``include_in_emails``."""

    first_name: str
    last_name: str
    email: str
    include_in_emails: bool


class ContactPhone(NamedTuple):
    """A telephone number; ``type`` is DEFAULT, DDI, MOBILE or FAX."""

    type: str
    number: str
    area_code: str = ""
    country_code: str = ""


class LineItem(NamedTuple):
    """A line of an invoice or credit note; ``line_amount`` is before tax if amounts are exclusive."""

    description: str
    quantity: Decimal
    unit_amount: Decimal
    item_code: str
    account_code: str
    tax_type: str
    tax_amount: Decimal
    line_amount: Decimal


@dataclass(slots=True, eq=False)
class Document:
    """What all documents have: id, time of the last change, notes, and the JSON until the next change."""

    id: str
    updated_at: datetime
    notes: list[tuple[datetime, str]] = field(default_factory=list, kw_only=True)
    json: bytes | None = field(default=None, kw_only=True, repr=False)


@dataclass(slots=True, eq=False)
class Contact(Document):
    """A customer or supplier."""

    name: str
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    street: str = ""
    city: str = ""
    region: str = ""
    postcode: str = ""
    country: str = ""
    currency: str = ""
    terms_days: int = 30
    status: str = "ACTIVE"
    merged_into: str = ""
    customer: bool = True
    persons: tuple[ContactPerson, ...] = ()
    phones: tuple[ContactPhone, ...] = ()
    groups: tuple[str, ...] = ()
    outstanding: Decimal | None = None  # the balance that Xero shows, where a test sets it


@dataclass(slots=True, eq=False)
class Payment(Document):
    """A payment of one invoice."""

    invoice: Invoice
    amount: Decimal
    on: date
    status: str = "AUTHORISED"
    reference: str = ""
    account: str = "090"  # the code of where it was paid to
    rate: Decimal = Decimal(1)  # how much of the invoice's currency one of the organisation's own was


class Allocation(NamedTuple):
    """A part of a credit that is allocated to an invoice."""

    id: str
    credit: Credit
    invoice: Invoice
    amount: Decimal
    on: date


@dataclass(slots=True, eq=False)
class Credit(Document):
    """A credit note, overpayment or prepayment (``kind``) with its allocations to invoices."""

    kind: str
    number: str
    contact: Contact
    currency: str
    on: date
    lines: Sequence[LineItem]
    total: Decimal
    total_tax: Decimal = ZERO
    status: str = "AUTHORISED"
    allocations: list[Allocation] = field(default_factory=list)

    @property
    def remaining(self) -> Decimal:
        """The part that is not allocated yet."""
        return self.total - sum((a.amount for a in self.allocations), ZERO)


@dataclass(slots=True, eq=False)
class Invoice(Document):
    """A sales invoice (ACCREC) or a bill (ACCPAY)."""

    type: str
    number: str
    contact: Contact
    currency: str
    on: date
    due_on: date | None
    lines: Sequence[LineItem]
    total: Decimal
    total_tax: Decimal = ZERO
    status: str = "AUTHORISED"
    reference: str = ""
    amounts: str = "Exclusive"
    url: str = ""
    branding_theme: str = ""
    sent: bool = True
    expected_on: date | None = None
    created_by_app: bool = False
    fully_paid_on: date | None = None
    deduction: Decimal = ZERO  # under the Construction Industry Scheme (CIS): the customer pays it to the tax office
    payments: list[Payment] = field(default_factory=list)
    allocations: list[Allocation] = field(default_factory=list)

    @property
    def amount_paid(self) -> Decimal:
        """The amount paid by payments, overpayments and prepayments."""
        paid = sum((p.amount for p in self.payments), ZERO)
        return paid + sum((a.amount for a in self.allocations if a.credit.kind != "CreditNote"), ZERO)

    @property
    def amount_credited(self) -> Decimal:
        """The amount credited by credit notes."""
        return sum((a.amount for a in self.allocations if a.credit.kind == "CreditNote"), ZERO)

    @property
    def amount_due(self) -> Decimal:
        """The amount still due."""
        return self.total - self.deduction - self.amount_paid - self.amount_credited


def round_to_cents(amount: Decimal) -> Decimal:
    """Round half up to two decimals, as Xero does."""
    return amount.quantize(ZERO, ROUND_HALF_UP)


def line_totals(lines: Iterable[LineItem], amounts: str) -> tuple[Decimal, Decimal]:
    """Return total and total tax of lines whose amounts are Exclusive, Inclusive or NoTax."""
    net = tax = ZERO
    for line in lines:
        net += line.line_amount
        tax += line.tax_amount
    return (net + tax if amounts == "Exclusive" else net), tax
