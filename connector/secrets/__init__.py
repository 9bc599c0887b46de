"""Secrets at rest: the encryption keys and private files."""
