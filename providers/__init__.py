"""Everything outside: ledgers and mailers, one folder each, behind the two ports ``ledger.py`` and ``mailer.py``."""
