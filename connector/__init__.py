"""Everything with a clock, a socket or a database. Read ``run.py`` first: one hour of one connection, top to bottom."""
