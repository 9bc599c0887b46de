"""What Alembic runs to bring a database to a revision: ``connector.db.engine.upgrade`` hands it an open connection."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import connector.db.tables  # noqa: F401  # fills the metadata that autogenerate compares with

context.configure(
    connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
