"""Xero's JSON as typed structs: only the fields we read, optional where they may be missing, and exact amounts.

Enumerations are plain text here: a value that Xero adds tomorrow must not lose a record that is otherwise readable.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from msgspec import Raw, Struct, field


class Stream(StrEnum):
    """A list endpoint; the value is the field of ``Envelope`` that holds its records."""

    INVOICES = "invoices"
    CREDIT_NOTES = "credit_notes"
    OVERPAYMENTS = "overpayments"
    PREPAYMENTS = "prepayments"
    PAYMENTS = "payments"
    CONTACTS = "contacts"


class Pagination(Struct, rename={"pages": "pageCount", "items": "itemCount"}):
    """How many pages and records a query has."""

    page: int = 0
    pages: int = 0
    items: int = 0


class ContactRef(Struct, gc=False, rename={"id": "ContactID"}):
    """The summary of a contact inside a document."""

    id: str


class InvoiceRef(Struct, gc=False, rename={"id": "InvoiceID"}):
    """The summary of an invoice inside an allocation."""

    id: str


class Line(Struct, gc=False, rename={"description": "Description", "amount": "LineAmount", "item": "ItemCode"}):
    """A line of an invoice."""

    description: str | None = None
    amount: Decimal | None = None
    item: str | None = None


class InvoicePayment(
    Struct, gc=False, rename={"id": "PaymentID", "amount": "Amount", "date": "Date", "status": "Status"}
):
    """A payment as part of its invoice."""

    id: str
    amount: Decimal
    date: str | None = None
    status: str | None = None


class AppliedCreditNote(Struct, gc=False, rename={"id": "CreditNoteID", "amount": "AppliedAmount", "date": "Date"}):
    """A credit note as part of an invoice that it is applied to."""

    id: str
    amount: Decimal | None = None
    date: str | None = None


class AppliedOverpayment(Struct, gc=False, rename={"id": "OverpaymentID", "amount": "AppliedAmount", "date": "Date"}):
    """An overpayment as part of an invoice that it is applied to."""

    id: str
    amount: Decimal | None = None
    date: str | None = None


class AppliedPrepayment(Struct, gc=False, rename={"id": "PrepaymentID", "amount": "AppliedAmount", "date": "Date"}):
    """A prepayment as part of an invoice that it is applied to."""

    id: str
    amount: Decimal | None = None
    date: str | None = None


class Invoice(
    Struct,
    kw_only=True,
    gc=False,
    rename={
        "id": "InvoiceID",
        "type": "Type",
        "status": "Status",
        "contact": "Contact",
        "updated": "UpdatedDateUTC",
        "currency": "CurrencyCode",
        "total": "Total",
        "due": "AmountDue",
        "number": "InvoiceNumber",
        "reference": "Reference",
        "date_text": "DateString",
        "date": "Date",
        "due_date_text": "DueDateString",
        "due_date": "DueDate",
        "paid_date": "FullyPaidOnDate",
        "expected_date": "ExpectedPaymentDate",
        "sent": "SentToContact",
        "lines": "LineItems",
        "payments": "Payments",
        "credit_notes": "CreditNotes",
        "overpayments": "Overpayments",
        "prepayments": "Prepayments",
    },
):
    """An invoice or a bill."""

    id: str
    type: str
    status: str
    contact: ContactRef
    updated: str
    currency: str | None = None  # None: that of the organisation
    total: Decimal
    due: Decimal
    number: str | None = None
    reference: str | None = None
    date_text: str | None = None
    date: str | None = None
    due_date_text: str | None = None
    due_date: str | None = None
    paid_date: str | None = None
    expected_date: str | None = None
    sent: bool | None = None
    lines: list[Line] | None = None
    payments: list[InvoicePayment] | None = None
    credit_notes: list[AppliedCreditNote] | None = None
    overpayments: list[AppliedOverpayment] | None = None
    prepayments: list[AppliedPrepayment] | None = None


class Allocation(
    Struct, gc=False, rename={"invoice": "Invoice", "amount": "Amount", "date": "Date", "deleted": "IsDeleted"}
):
    """How much of a credit is applied to which invoice."""

    amount: Decimal
    invoice: InvoiceRef | None = None
    date: str | None = None
    deleted: bool | None = None


class Credit(
    Struct,
    kw_only=True,
    rename={
        "type": "Type",
        "status": "Status",
        "contact": "Contact",
        "updated": "UpdatedDateUTC",
        "currency": "CurrencyCode",
        "total": "Total",
        "remaining": "RemainingCredit",
        "date_text": "DateString",
        "date": "Date",
        "allocations": "Allocations",
    },
):
    """What credit notes, overpayments and prepayments have in common."""

    type: str
    status: str
    contact: ContactRef
    updated: str
    currency: str | None = None  # None: that of the organisation
    total: Decimal
    remaining: Decimal | None = None
    date_text: str | None = None
    date: str | None = None
    allocations: list[Allocation] | None = None


class CreditNote(Credit, kw_only=True):
    """A credit note."""

    id: str = field(name="CreditNoteID")
    number: str | None = field(name="CreditNoteNumber", default=None)


class Overpayment(Credit, kw_only=True):
    """An overpayment."""

    id: str = field(name="OverpaymentID")
    number: str | None = field(name="Reference", default=None)


class Prepayment(Credit, kw_only=True):
    """A prepayment."""

    id: str = field(name="PrepaymentID")
    number: str | None = field(name="Reference", default=None)


class Payment(Struct, rename={"id": "PaymentID", "status": "Status", "updated": "UpdatedDateUTC"}):
    """A payment of the payments endpoint, which is read to find deleted ones, and where the others were paid to."""

    id: str
    updated: str
    status: str | None = None


class PaymentAccount(Struct, rename={"id": "AccountID"}):
    """The account that a payment was paid to."""

    id: str | None = None


class PaidPayment(Struct, rename={"id": "PaymentID", "account": "Account"}):
    """A payment with its account."""

    id: str
    account: PaymentAccount | None = None


class ContactPerson(
    Struct,
    rename={"first": "FirstName", "last": "LastName", "email": "EmailAddress", "included": "IncludeInEmails"},
):
    """An additional person of a contact."""

    first: str | None = None
    last: str | None = None
    email: str | None = None
    included: bool | None = None


class Phone(
    Struct,
    rename={"type": "PhoneType", "number": "PhoneNumber", "area": "PhoneAreaCode", "country": "PhoneCountryCode"},
):
    """A telephone number of a contact; there is one of each type, mostly empty."""

    type: str | None = None
    number: str | None = None
    area: str | None = None
    country: str | None = None


class Address(Struct, rename={"type": "AddressType", "country": "Country", "region": "Region", "city": "City"}):
    """A postal address; a contact has a POBOX (billing) and a STREET one."""

    type: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None


class ContactGroup(Struct, rename={"name": "Name"}):
    """A group of contacts."""

    name: str = ""


class Receivable(Struct, rename={"outstanding": "Outstanding"}):
    """What a contact owes, in whatever currencies: Xero adds the amounts up as they are."""

    outstanding: Decimal | None = None


class Balances(Struct, rename={"receivable": "AccountsReceivable"}):
    """A contact's balances."""

    receivable: Receivable | None = None


class Contact(
    Struct,
    kw_only=True,
    rename={
        "id": "ContactID",
        "status": "ContactStatus",
        "name": "Name",
        "first": "FirstName",
        "last": "LastName",
        "email": "EmailAddress",
        "persons": "ContactPersons",
        "addresses": "Addresses",
        "phones": "Phones",
        "merged_into": "MergedToContactID",
        "groups": "ContactGroups",
        "balances": "Balances",
        "updated": "UpdatedDateUTC",
    },
):
    """A contact: customer, supplier or both."""

    id: str
    updated: str
    name: str | None = None
    status: str | None = None
    first: str | None = None
    last: str | None = None
    email: str | None = None
    persons: list[ContactPerson] | None = None
    addresses: list[Address] | None = None
    phones: list[Phone] | None = None
    merged_into: str | None = None
    groups: list[ContactGroup] | None = None
    balances: Balances | None = None


class Envelope(
    Struct,
    rename={
        "invoices": "Invoices",
        "credit_notes": "CreditNotes",
        "overpayments": "Overpayments",
        "prepayments": "Prepayments",
        "payments": "Payments",
        "contacts": "Contacts",
    },
):
    """A page of any stream, its records not yet decoded: one malformed record must not lose the others."""

    invoices: list[Raw] | None = None
    credit_notes: list[Raw] | None = None
    overpayments: list[Raw] | None = None
    prepayments: list[Raw] | None = None
    payments: list[Raw] | None = None
    contacts: list[Raw] | None = None
    pagination: Pagination | None = None
