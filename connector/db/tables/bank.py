"""Bank statements: the files, the money that came in, what it is for, and what was learned about payers.

Money that goes out is not stored: it is nobody's payment to us, and often a salary.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, Index, UniqueConstraint
from sqlmodel import Field

from connector.db.tables.columns import TableModel, enum_column, instant_column, money_column, text_column
from connector.vocabulary import LineStatus, MatchCertainty, MatchState, ReceiptState, StatementFormat


class BankFile(TableModel, table=True):
    """A statement file that was imported; its content is not kept."""

    __tablename__: ClassVar[Any] = "bank_file"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    name: str = ""
    format: StatementFormat = enum_column(StatementFormat)
    sha256: str
    line_count: int = 0
    received_count: int = 0  # of them money that came in
    new_count: int = 0  # of that what no earlier file had
    first_on: date | None = None
    last_on: date | None = None
    warnings: str = text_column()  # one per line
    imported_at: datetime = instant_column(nullable=False)
    imported_by: str = ""
    __table_args__ = (UniqueConstraint("connection_id", "sha256"),)


class BankReceipt(TableModel, table=True):
    """Money that came in, as a statement has it, or an entry that took some back (``amount_e4`` is negative then).

    ``customer_id`` is set once it is matched; ``ledger_payment`` is the payment in the accounting system that it is.
    """

    __tablename__: ClassVar[Any] = "bank_receipt"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    file_id: int
    format: StatementFormat = enum_column(StatementFormat)
    line: int = 0
    account: str = ""
    currency: str
    amount_e4: int = money_column()
    charges_e4: int = money_column()
    batch_e4: int | None = money_column(None)
    is_batch: bool = False
    booked_on: date
    value_on: date | None = None
    status: LineStatus = enum_column(LineStatus)
    state: ReceiptState = enum_column(ReceiptState)
    payer: str = text_column()
    payer_account: str = ""
    reference: str = ""
    text: str = text_column()
    bank_reference: str = ""
    customer_id: str = ""
    ledger_payment: str = ""
    seen_at: datetime = instant_column(nullable=False)
    decided_by: str = ""
    __table_args__ = (
        Index("ix_bank_receipt_amount", "connection_id", "currency", "amount_e4"),
        Index("ix_bank_receipt_state", "connection_id", "state"),
        Index("ix_bank_receipt_booked", "connection_id", "booked_on"),
    )


class BankMatch(TableModel, table=True):
    """That money may be for an invoice: how sure, why, and what became of it.

    ``settles`` is set where the rest of the invoice is a discount or a bank's charge. ``parts`` are the parts of the
    score, as [text, points].
    """

    __tablename__: ClassVar[Any] = "bank_match"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    receipt_id: int
    invoice_id: str
    customer_id: str
    currency: str
    amount_e4: int = money_column()
    settles: bool = False
    certainty: MatchCertainty = enum_column(MatchCertainty)
    score: int = 0
    parts: list[tuple[str, int]] = Field(default=None, sa_column=Column(JSON, nullable=False))
    state: MatchState = enum_column(MatchState)
    received_on: date
    payer: str = text_column()
    created_at: datetime = instant_column(nullable=False)
    changed_at: datetime = instant_column(nullable=False)
    decided_by: str = ""
    __table_args__ = (
        UniqueConstraint("connection_id", "receipt_id", "invoice_id"),
        Index("ix_bank_match_customer", "connection_id", "customer_id"),
        Index("ix_bank_match_changed", "connection_id", "changed_at"),
    )


class BankPayer(TableModel, table=True):
    """What a person said about a payer: that they pay for a customer, or that they do not."""

    __tablename__: ClassVar[Any] = "bank_payer"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    payer_key: str = Field(primary_key=True)  # the account, else the name as ``normalise_name`` writes it
    customer_id: str = Field(primary_key=True)
    pays: bool
    set_by: str = ""
    set_at: datetime = instant_column(nullable=False)


class BankCsvMapping(TableModel, table=True):
    """How the CSV files of a bank are read: one for each header."""

    __tablename__: ClassVar[Any] = "bank_csv_mapping"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    signature: str = Field(primary_key=True)
    mapping: dict[str, Any] = Field(default=None, sa_column=Column(JSON, nullable=False))
    set_by: str = ""
    set_at: datetime = instant_column(nullable=False)
