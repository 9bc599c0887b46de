"""Repeating erasures after a restore: the backup may be older than they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import col

from connector.app_context import AppContext
from connector.db.engine import writing
from connector.db.tables import Connection, CustomerRow, ErasedCustomer
from connector.privacy.erase import EraseError, erase

_BY = "The restore"
_QUERY = (
    "SELECT connection.provider, connection.external_id, erased_customer.customer_id FROM erased_customer"
    " JOIN connection ON connection.id = erased_customer.connection_id"
)


class ReappliedErasures(NamedTuple):
    """The customers that were erased again, and those that are only marked, until a user erases them."""

    erased: list[str]
    pending: list[str]


def read_erased_customers(old_database: Path | None) -> list[tuple[str, str, str]]:
    """Return the customers erased in a database (provider, company, key); empty if it cannot be read."""
    if old_database is None:
        return []
    try:
        with closing(sqlite3.connect(f"{old_database.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            return [(str(row[0]), str(row[1]), str(row[2])) for row in reader.execute(_QUERY)]
    except sqlite3.DatabaseError:
        return []  # damaged, which may be why it was replaced


def reapply_erasures(app: AppContext, erased_customers: list[tuple[str, str, str]]) -> ReappliedErasures:
    """Erase the customers in the restored database; all are marked first, so that none is chased in any case."""
    wanted = []
    with writing(app.engine) as session:
        for provider, company, customer_id in erased_customers:
            query = select(Connection).where(
                col(Connection.provider) == provider, col(Connection.external_id) == company
            )
            connection = session.scalars(query).first()
            if connection is None:
                continue
            here = (connection.id or 0, customer_id)
            if session.get(CustomerRow, here) is None or session.get(ErasedCustomer, here) is not None:
                continue
            wanted.append(here)
            mark = ErasedCustomer(connection_id=here[0], customer_id=customer_id, erased_at=app.now(), erased_by=_BY)
            session.add(mark)
    done = ReappliedErasures([], [])
    for connection_id, customer_id in wanted:
        try:
            erase(app, connection_id, customer_id, by=_BY)
            done.erased.append(customer_id)
        except EraseError:
            done.pending.append(customer_id)
    return done
