"""A batch of one company's customers, whose rows are read in a handful of queries instead of one for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select, Table, and_, or_
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

import connector.db.tables  # noqa: F401 - fills the metadata below

TABLES = SQLModel.metadata.tables
_INVOICE = TABLES["invoice"]
SqlRow = Row[Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CustomerBatch:
    """Some customers.

    Invoices closed before ``closed_since_on`` are on no statement any more, except those with the ids ``kept_ids``.
    """

    session: Session
    connection_id: int
    customer_ids: list[str]
    closed_since_on: date
    kept_ids: Collection[str] = ()

    def of_customers(self, table: Table, column: str = "customer_id") -> ColumnElement[bool]:
        """Return the condition for the customers' rows of a table."""
        return self.with_ids(table, column, self.customer_ids)

    def with_ids(self, table: Table, column: str, ids: list[str] | Select[tuple[str]]) -> ColumnElement[bool]:
        """Return the condition for the company's rows with one of these ids: a list or a subquery."""
        return and_(table.c.connection_id == self.connection_id, table.c[column].in_(ids))

    def on_statement(self) -> ColumnElement[bool]:
        """Return the condition for the customers' invoices that are open or were closed recently."""
        kept = [_INVOICE.c.external_id.in_(self.kept_ids)] if self.kept_ids else []
        is_listed = or_(_INVOICE.c.is_open, _INVOICE.c.closed_on >= self.closed_since_on, *kept)
        return and_(self.of_customers(_INVOICE), is_listed)

    def one_per_key(self, query: Select[Any], key: str) -> dict[str, SqlRow]:
        """Read rows of which there is one per key."""
        return {getattr(row, key): row for row in self.session.execute(query)}

    def many_per_key(self, query: Select[Any], key: str, make: Callable[[SqlRow], T]) -> dict[str, list[T]]:
        """Read rows of which there are several per key, and convert each."""
        found: defaultdict[str, list[T]] = defaultdict(list)
        for row in self.session.execute(query):
            found[getattr(row, key)].append(make(row))
        return found
