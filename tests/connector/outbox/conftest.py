"""A database with one live company."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from connector.db.tables import Connection
from connector.vocabulary import ConnectionMode
from tests.connector.outbox.planned import NOW


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        session.add(
            Connection(
                id=1, short_name="c", provider="xero", external_id="x", name="C", created_at=NOW,
                mode=ConnectionMode.LIVE,
            )
        )  # fmt: skip
        session.flush()
        yield session
