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


class UserState(StrEnum):
    """Whether a user can sign in."""

    INVITED = "invited"  # has not chosen a password yet
    ACTIVE = "active"
    DISABLED = "disabled"


class TokenState(StrEnum):
    """Whether an API token is valid."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
