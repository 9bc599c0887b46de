"""The column types of all tables: instants in UTC, exact amounts, members of StrEnums, text of any length."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, DateTime, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel
from sqlmodel._compat import SQLModelConfig


class TableModel(SQLModel):
    """The base class of all tables. Pydantic builds no validator for them, which nothing would use.

    SQLModel does not validate tables; building the validators took a third of the start of every command.
    """

    model_config = SQLModelConfig(defer_build=True)


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant: a timestamptz on PostgreSQL, ISO text with whole or fractional seconds in UTC on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes, and store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = f"a naive datetime cannot be stored: {value!r}"
            raise ValueError(message)
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return aware UTC, also where the database keeps no time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class EnumText(TypeDecorator[StrEnum]):
    """A member of a StrEnum, stored as its plain text; what is not a member is refused on both sides."""

    impl = String
    cache_ok = True

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Store the value of a member."""
        return None if value is None else self.enum(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        """Return the member."""
        return None if value is None else self.enum(value)


def instant_column(*, nullable: bool = True, index: bool = False) -> Any:
    """Build a column for an aware UTC instant."""
    return Field(default=None, sa_type=Instant, nullable=nullable, index=index)


def enum_column(enum: type[StrEnum], default: Any = ..., *, primary_key: bool = False) -> Any:
    """Build a column for a member of a StrEnum. With the default ``None`` it may be empty; without one it is required.

    SQLModel does not validate what a table object is made with: compare members by ``==``, not by ``is``.
    """
    return Field(
        default=default,
        sa_type=EnumText(enum),  # SQLAlchemy takes an instance as well as a class
        nullable=default is None,
        primary_key=primary_key,
    )


def money_column(default: int | None = 0) -> Any:
    """Build a column for whole ten-thousandths of the currency unit. With the default ``None`` it may be empty."""
    return Field(default=default, sa_type=BigInteger, nullable=default is None)


def text_column(default: str = "") -> Any:
    """Build a column for text of any length."""
    return Field(default=default, sa_type=Text)
