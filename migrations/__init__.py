"""The history of the database: one Alembic revision per change, shipped inside the wheel, for SQLite and PostgreSQL."""

# The newest revision. A database at this revision is not touched at start, so that Alembic need not even be imported.
HEAD = "0001"
