"""The bank accounts that customers of a company pay into, with everything that was ever entered."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Index
from sqlmodel import Field

from connector.db.tables.columns import TableModel, enum_column, instant_column
from connector.vocabulary import AccountScheme


class BankDetailsRow(TableModel, table=True):
    """One entry of a company's account for payments in a currency; rows are added and never changed but for the last.

    The newest row that is in use applies, "" as its account means none. ``applies_at`` is later than ``set_at`` where
    the account waits; whoever confirms or cancels it meanwhile is ``decided_by``.
    """

    __tablename__: ClassVar[Any] = "bank_details"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    currency: str
    payee: str = ""
    scheme: AccountScheme = enum_column(AccountScheme, AccountScheme.IBAN)
    account: str = ""
    bank_code: str = ""
    bic: str = ""
    street: str = ""
    building_number: str = ""
    postcode: str = ""
    town: str = ""
    country: str = ""
    use_creditor_reference: bool = False
    set_by: str = ""
    set_at: datetime = instant_column(nullable=False)
    applies_at: datetime = instant_column(nullable=False)
    cancelled_at: datetime | None = instant_column()
    decided_by: str = ""
    __table_args__ = (Index("ix_bank_details_connection", "connection_id", "currency", "id"),)
