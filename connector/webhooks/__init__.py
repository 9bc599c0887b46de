"""Webhooks of ours: what happens is told to addresses that an owner entered; off unless the machine allows it."""
