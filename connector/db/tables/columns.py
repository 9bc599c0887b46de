"""Kinds of columns: instants in UTC, exact sums, texts of any length."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field


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
        """Give back aware UTC, also where the database keeps none."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def instant_column(*, nullable: bool = True, index: bool = False) -> Any:
    """Make a column of an aware UTC instant."""
    return Field(default=None, sa_type=Instant, nullable=nullable, index=index)


def money_column(default: int | None = 0) -> Any:
    """Make a column of whole ten-thousandths of the unit; without a default it may be empty."""
    return Field(default=default, sa_type=BigInteger, nullable=default is None)


def text_column(default: str = "") -> Any:
    """Make a column of text of any length."""
    return Field(default=default, sa_type=Text)
