"""What users and programs are allowed to do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a user may do, from least to most."""

    VIEWER = "viewer"
    BOOKKEEPER = "bookkeeper"
    OWNER = "owner"


class TokenScope(StrEnum):
    """What the holder of an API token may do, from least to most; each scope includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
