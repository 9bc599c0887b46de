"""A few hundred customers of one company, and how their rows are asked for: a handful of queries, not one for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
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
    """Some customers; what they settled before ``settled_since_on`` is on no statement any more."""

    session: Session
    connection_id: int
    customer_ids: list[str]
    closed_since_on: date

    def of_customers(self, table: Table, column: str = "customer_id") -> ColumnElement[bool]:
        """Tell the customers' rows of a table."""
        return self.with_ids(table, column, self.customer_ids)

    def with_ids(self, table: Table, column: str, ids: list[str] | Select[tuple[str]]) -> ColumnElement[bool]:
        """Tell the company's rows with one of these ids, given or asked for within."""
        return and_(table.c.connection_id == self.connection_id, table.c[column].in_(ids))

    def on_statement(self) -> ColumnElement[bool]:
        """Tell the customers' invoices that are open or were settled lately."""
        return and_(self.of_customers(_INVOICE), or_(_INVOICE.c.is_open, _INVOICE.c.closed_on >= self.closed_since_on))

    def one_per_key(self, query: Select[Any], key: str) -> dict[str, SqlRow]:
        """Read rows of which there is one for each key."""
        return {getattr(row, key): row for row in self.session.execute(query)}

    def many_per_key(self, query: Select[Any], key: str, make: Callable[[SqlRow], T]) -> dict[str, list[T]]:
        """Read rows of which there are several for each key, each made into something."""
        found: defaultdict[str, list[T]] = defaultdict(list)
        for row in self.session.execute(query):
            found[getattr(row, key)].append(make(row))
        return found
