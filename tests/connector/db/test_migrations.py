"""The migrations create the schema that the tables describe, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text
from sqlmodel import SQLModel

import connector.db.tables  # fills SQLModel.metadata
import migrations
from connector.db.engine import DatabaseError, open_engine, schema_revision, upgrade


def test_the_migrated_schema_matches_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    assert set(SQLModel.metadata.tables) < set(inspect(engine).get_table_names())
    assert connector.db.tables.InvoiceRow.__tablename__ == "invoice"


def test_the_newest_revision_is_the_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


def test_an_upgrade_of_an_up_to_date_database_changes_nothing(engine: Engine) -> None:
    upgrade(engine)
    assert schema_revision(engine) == migrations.HEAD


def test_a_database_of_a_newer_version_is_rejected(database_url: str) -> None:
    engine = open_engine(database_url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer version"):
        upgrade(engine)
    engine.dispose()


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE open_invoices (in_the_way INTEGER)"))  # conflicts with the view
    with pytest.raises(Exception, match="open_invoices"):
        upgrade(engine)
    assert inspect(engine).get_table_names() == ["open_invoices"]
    engine.dispose()
