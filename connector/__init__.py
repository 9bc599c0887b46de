"""Everything with a clock, a socket or a database. Read ``run.py`` first: one sync of one company, top to bottom.

The rooms beside it, and who may import whom, are in ARCHITECTURE.md.
"""
