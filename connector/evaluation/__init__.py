"""Asking the policy: decisions, what follows from them, and the record of both."""
