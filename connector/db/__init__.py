"""The database: engine, tables, exact money, ids."""
