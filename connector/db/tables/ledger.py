"""The mirror of the ledger: customers, invoices, payments, credits, and records that could not be read."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import JSON, Column, Index, LargeBinary
from sqlmodel import Field

from connector.db.tables.columns import TableModel, enum_column, instant_column, money_column, text_column
from policies.receivables import CreditKind, InvoiceStatus
from providers.ledger import RecordKind


# Three of the indexes are of some rows only, as the first migration says. Their conditions are not repeated here: each
# names a database, whose dialect every command would load.
class CustomerRow(TableModel, table=True):
    """A customer as the ledger has it."""

    __tablename__: ClassVar[Any] = "customer"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    external_id: str = Field(primary_key=True)
    name: str
    contact_name: str = ""
    emails: str = text_column()
    country: str = ""
    region: str = ""
    language: str = ""
    active: bool = True
    merged_into: str | None = None
    deleted: bool = False
    updated_at: datetime | None = instant_column()
    groups: str = text_column()  # the ledger's, one per line
    parent_id: str | None = None
    bill_with_parent: bool = False
    balance_e4: int | None = money_column(None)  # the ledger's own balance of the customer
    family_balance_e4: int | None = money_column(None)  # and with all sub-customers
    balance_currency: str = ""
    phones: str = text_column()  # see ``providers/phones.py``
    contacts: str = text_column()  # further persons, one per line: "Ann Lee <ann@example.com>"
    balance_at: datetime | None = instant_column()  # when it was read; NULL where the ledger reports each change of it
    __table_args__ = (
        Index(
            "ix_customer_parent",
            "connection_id",
            "parent_id",
        ),
    )


class InvoiceRow(TableModel, table=True):
    """A sales invoice as the ledger has it. ``is_open``: it is authorised and has a balance due.

    ``known_at`` is set where the customer cannot have known of the invoice, or of so early a due date, before that
    instant: it was entered, approved or reopened then, or its due date was moved to before every earlier one
    (``earliest_due_on``). ``sent_at`` is when one that was not sent to the customer was; ``due_changed_at`` is the last
    change of its due date. ``raised_at`` is when one that was late already was last raised,
    ``former_total_e4`` the least that it was for before.
    """

    __tablename__: ClassVar[Any] = "invoice"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    external_id: str = Field(primary_key=True)
    number: str
    customer_id: str
    currency: str
    issued_on: date
    due_on: date | None = None
    total_e4: int = money_column()
    due_e4: int = money_column()
    status: InvoiceStatus = enum_column(InvoiceStatus)
    is_open: bool
    sent_to_customer: bool = True
    closed_on: date | None = None
    promised_on: date | None = None
    discount_e4: int | None = money_column(None)
    discount_until_on: date | None = None
    reference: str = ""
    ledger_fee: bool = False
    version: str = ""
    lines: str = text_column("[]")
    emails: str = text_column()  # to whom this very invoice goes; "": to the customer's addresses
    cc_emails: str = text_column()
    bcc_emails: str = text_column()
    updated_at: datetime | None = instant_column()
    known_at: datetime | None = instant_column()
    sent_at: datetime | None = instant_column()
    earliest_due_on: date | None = None
    due_changed_at: datetime | None = instant_column()
    raised_at: datetime | None = instant_column()
    former_total_e4: int | None = money_column(None)

    # Each index of all invoices costs a first load a fifth of its time; that of the open ones answers what lists ask.
    __table_args__ = (
        Index("ix_invoice_customer", "connection_id", "customer_id"),
        Index(
            "ix_invoice_open",
            *("connection_id", "customer_id", "currency", "due_on", "due_e4", "total_e4", "external_id", "is_open"),
        ),
    )


class PaymentRow(TableModel, table=True):
    """A received payment as the ledger has it."""

    __tablename__: ClassVar[Any] = "payment"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    external_id: str = Field(primary_key=True)
    customer_id: str
    currency: str
    paid_on: date
    total_e4: int = money_column()
    unapplied_e4: int = money_column()
    updated_at: datetime | None = instant_column()
    __table_args__ = (
        Index(
            "ix_payment_unapplied",
            "connection_id",
            "customer_id",
        ),
    )


class CreditRow(TableModel, table=True):
    """A credit note, overpayment or prepayment (``kind``) as the ledger has it."""

    __tablename__: ClassVar[Any] = "credit"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    kind: CreditKind = enum_column(CreditKind, primary_key=True)
    external_id: str = Field(primary_key=True)
    number: str = ""
    customer_id: str
    currency: str
    dated_on: date
    total_e4: int = money_column()
    remaining_e4: int = money_column()
    updated_at: datetime | None = instant_column()
    __table_args__ = (Index("ix_credit_customer", "connection_id", "customer_id"),)


class ApplicationRow(TableModel, table=True):
    """How much of a payment or credit is applied to an invoice, and which parts of a payment are not money."""

    __tablename__: ClassVar[Any] = "application"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    source_kind: CreditKind = enum_column(CreditKind, primary_key=True)
    source_id: str = Field(primary_key=True)
    invoice_id: str = Field(primary_key=True)
    applied_on: date
    amount_e4: int = money_column()
    credited_e4: int = money_column(0)
    adjusted_e4: int = money_column(0)
    __table_args__ = (Index("ix_application_invoice", "connection_id", "invoice_id"),)


class WriteOff(TableModel, table=True):
    """A payment that brought no money: it was booked to an account of expenses, such as bad debts."""

    __tablename__: ClassVar[Any] = "write_off"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    payment_id: str = Field(primary_key=True)


class AppliedBefore(NamedTuple):
    """What of a payment or credit was applied to an invoice, and ``everywhere`` on invoices, in ten-thousandths."""

    on: str
    amount_e4: int
    kind: str
    source_id: str
    everywhere_e4: int

    @property
    def source(self) -> tuple[str, str]:
        """The payment or credit: its kind and its id."""
        return self.kind, self.source_id


class FormerApplications(TableModel, table=True):
    """What was applied to an invoice until some of it was deleted or changed: on those days it counted as settled.

    ``applied`` is a list of ``AppliedBefore``.
    """

    __tablename__: ClassVar[Any] = "former_applications"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    invoice_id: str
    until_at: datetime = instant_column(nullable=False)
    applied: list[AppliedBefore] = Field(default=None, sa_column=Column(JSON, nullable=False))
    __table_args__ = (Index("ix_former_applications_invoice", "connection_id", "invoice_id"),)


class MalformedRow(TableModel, table=True):
    """A record that could not be read: kept as received, shown, and deleted when a readable version arrives."""

    __tablename__: ClassVar[Any] = "malformed_record"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    kind: RecordKind = enum_column(RecordKind, primary_key=True)
    external_id: str = Field(primary_key=True)
    reason: str = text_column()
    raw: bytes = Field(sa_type=LargeBinary)
    seen_at: datetime = instant_column(nullable=False)
    customer_id: str = ""  # whose record it is, as far as that is known


class InvoicePdf(TableModel, table=True):
    """An invoice as the ledger prints it, kept for as long as that stays the same; None where it prints none."""

    __tablename__: ClassVar[Any] = "invoice_pdf"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    invoice_id: str = Field(primary_key=True)
    version: str  # of the invoice and its customer
    content: bytes | None = Field(default=None, sa_type=LargeBinary)
    stored_at: datetime = instant_column(nullable=False)


class UnseenRow(TableModel, table=True):
    """During a full resync: what the mirror holds and the ledger has not sent again yet. Otherwise empty."""

    __tablename__: ClassVar[Any] = "unseen_record"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    kind: RecordKind = enum_column(RecordKind, primary_key=True)
    external_id: str = Field(primary_key=True)
