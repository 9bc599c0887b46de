"""After a restore: erases again whom the replaced database knew as erased, since the backup may be from before."""

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
    """Which customers were erased again, and which are only kept from being chased until a person erases them."""

    erased: list[str]
    pending: list[str]


def read_erased_customers(old_database: Path | None) -> list[tuple[str, str, str]]:
    """Read whom a database knew as erased: provider, company and key. Nobody where it cannot be read any more."""
    if old_database is None:
        return []
    try:
        with closing(sqlite3.connect(f"{old_database.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            return [(str(row[0]), str(row[1]), str(row[2])) for row in reader.execute(_QUERY)]
    except sqlite3.DatabaseError:
        return []  # damaged, which is why it was replaced


def reapply_erasures(app: AppContext, erased_customers: list[tuple[str, str, str]]) -> ReappliedErasures:
    """Erase them in the database at hand; first of all mark them, so that none is chased whatever comes."""
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
