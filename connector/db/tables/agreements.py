"""What users set and agree: policies, customer and invoice settings, promises, payment plans, erasure."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field

from connector.db.tables.columns import TableModel, enum_column, instant_column, money_column, text_column
from connector.vocabulary import AgreementKind, AgreementState
from policies.receivables import Segment


class CustomerSetting(TableModel, table=True):
    """What a user set for a customer; it overrides the ledger and survives every pull."""

    __tablename__: ClassVar[Any] = "customer_setting"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    customer_id: str = Field(primary_key=True)
    segment: Segment | None = enum_column(Segment, None)
    hold_until_on: date | None = None
    no_reminders: bool = False
    no_fees: bool = False
    fees_agreed_on: date | None = None
    emails: str = text_column()
    stopped_emails: str = text_column()  # whose readers want no reminders, while others at the customer get them
    contact_name: str = ""
    phone: str = ""  # one's own, before those in the ledger
    language: str = ""
    owner: str = ""  # the account owner: "Ann Lee <ann@example.com>"
    sales_rep: str = ""
    second_contact: str = ""  # of the customer, for later steps: "Ben Hall <ben@customer.example>"
    tags: str = text_column()  # separated by commas; a policy can apply to a tag
    withholding_percent: str = ""  # how much tax they may withhold by law, as "10" or "7.5"; "" for none
    suppression_reason: str = text_column()
    set_at: datetime = instant_column(nullable=False)


class ErasedCustomer(TableModel, table=True):
    """A customer whose personal data were erased: they get no reminders, and no pull brings the data back."""

    __tablename__: ClassVar[Any] = "erased_customer"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    customer_id: str = Field(primary_key=True)
    erased_at: datetime = instant_column(nullable=False)
    erased_by: str = ""
    # Of the newest version that the ledger sent since, and that was not stored
    ledger_updated_at: datetime | None = instant_column()


class InvoiceSetting(TableModel, table=True):
    """What a user recorded for an invoice: a dispute, a promise, a pause."""

    __tablename__: ClassVar[Any] = "invoice_setting"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    invoice_id: str = Field(primary_key=True)
    disputed_on: date | None = None
    dispute_reason: str = text_column()
    promised_on: date | None = None
    promised_e4: int | None = money_column(None)  # what was promised for then; None for the whole balance
    paused: bool = False
    paused_until_on: date | None = None
    set_at: datetime = instant_column(nullable=False)


class Agreement(TableModel, table=True):
    """A promise, payment plan, dispute or pause of an invoice, kept for good with its outcome.

    ``InvoiceSetting`` holds what applies now; this is the history: who recorded it, when, and how it ended.
    """

    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    kind: AgreementKind = enum_column(AgreementKind)
    invoice_id: str
    customer_id: str
    since_on: date
    until_on: date | None = None  # the promised date; a plan's last instalment; the end of a pause
    amount_e4: int = money_column()  # the total of a payment plan, the part of the invoice that was promised
    paid_before_e4: int | None = money_column(None)  # what had been paid of the invoice when a part was promised
    invoice_total_e4: int | None = money_column(None)  # what the invoice was for when the plan was agreed
    currency: str = ""
    instalments: list[list[str]] | None = Field(
        default=None, sa_column=Column(JSON)
    )  # of a payment plan: [["2026-07-01", "400.00"], …]
    reason: str = text_column()
    recorded_by: str = ""
    recorded_at: datetime = instant_column(nullable=False)
    state: AgreementState = enum_column(AgreementState, AgreementState.OPEN)
    ended_at: datetime | None = instant_column()
    ended_by: str = ""  # "" automatically
    outcome: str = text_column()
    __table_args__ = (
        Index("ix_agreement_invoice", "connection_id", "invoice_id"),
        Index("ix_agreement_customer", "connection_id", "customer_id"),
    )


class PolicyVersion(TableModel, table=True):
    """Every policy document ever active; the newest row of a connection (NULL: of all) is the active one.

    ``rates`` has the statutory rates that users added to the presets until then, as a file of rates.
    """

    __tablename__: ClassVar[Any] = "policy_version"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int | None = Field(default=None, foreign_key="connection.id", index=True)
    document: str = text_column()
    rates: str = text_column()
    set_by: str = ""
    set_at: datetime = instant_column(nullable=False)
