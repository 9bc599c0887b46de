"""What people set and agree: policies, preferences of customers and invoices, promises, plans, erasure."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field, SQLModel

from connector.db.tables.columns import enum_column, instant_column, money_column, text_column
from connector.vocabulary import AgreementKind, AgreementState
from policies.receivables import Segment


class CustomerSetting(SQLModel, table=True):
    """What a person set for a customer; it survives every pull."""

    __tablename__: ClassVar[Any] = "customer_setting"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    customer_id: str = Field(primary_key=True)
    segment: Segment | None = enum_column(Segment, None)
    hold_until_on: date | None = None
    no_reminders: bool = False
    no_fees: bool = False
    fees_agreed_on: date | None = None
    emails: str = text_column()
    contact_name: str = ""
    language: str = ""
    owner: str = ""  # who minds this customer: "Ann Lee <ann@example.com>"
    sales_rep: str = ""
    tags: str = text_column()  # comma-joined; a policy may be for a tag
    suppression_reason: str = text_column()
    set_at: datetime = instant_column(nullable=False)


class ErasedCustomer(SQLModel, table=True):
    """A customer whose personal data were erased on request: he is not chased, and no pull brings the data back."""

    __tablename__: ClassVar[Any] = "erased_customer"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    customer_id: str = Field(primary_key=True)
    erased_at: datetime = instant_column(nullable=False)
    erased_by: str = ""
    # The newest version of him that the ledger sent, and that was left out
    ledger_updated_at: datetime | None = instant_column()


class InvoiceSetting(SQLModel, table=True):
    """What a person said about an invoice: a dispute, a promise, a pause."""

    __tablename__: ClassVar[Any] = "invoice_setting"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    invoice_id: str = Field(primary_key=True)
    disputed_on: date | None = None
    dispute_reason: str = text_column()
    promised_on: date | None = None
    paused: bool = False
    paused_until_on: date | None = None
    set_at: datetime = instant_column(nullable=False)


class Agreement(SQLModel, table=True):
    """What was said about an invoice, kept for good: a promise, a payment plan, a dispute, a pause, and its end.

    ``InvoiceSetting`` holds what counts now; here is who said it when, and what became of it.
    """

    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    kind: AgreementKind = enum_column(AgreementKind)
    invoice_id: str
    customer_id: str
    since_on: date
    until_on: date | None = None  # the promised day; a plan's last; the end of a pause
    amount_e4: int = money_column()  # what a plan is about
    currency: str = ""
    instalments: Any = Field(default=None, sa_column=Column(JSON))  # of a plan: [["2026-07-01", "400.00"], …]
    reason: str = text_column()
    recorded_by: str = ""
    recorded_at: datetime = instant_column(nullable=False)
    state: AgreementState = enum_column(AgreementState, AgreementState.OPEN)
    ended_at: datetime | None = instant_column()
    ended_by: str = ""  # "" by itself
    outcome: str = text_column()
    __table_args__ = (
        Index("ix_agreement_invoice", "connection_id", "invoice_id"),
        Index("ix_agreement_customer", "connection_id", "customer_id"),
    )


class PolicyVersion(SQLModel, table=True):
    """Every policy document ever in force; the newest row of a connection (or of all: NULL) is the one that is."""

    __tablename__: ClassVar[Any] = "policy_version"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int | None = Field(default=None, foreign_key="connection.id", index=True)
    document: str = text_column()
    set_by: str = ""
    set_at: datetime = instant_column(nullable=False)
