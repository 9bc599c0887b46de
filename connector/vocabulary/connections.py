"""How the connection to a company's accounting system acts, and how it is doing."""

from __future__ import annotations

from enum import StrEnum


class ConnectionMode(StrEnum):
    """What a connection may do."""

    OBSERVE = "observe"  # reads, plans and logs; sends nothing
    APPROVE = "approve"  # everything that would be sent waits for approval
    LIVE = "live"


class ConnectionHealth(StrEnum):
    """How the last run of a connection went."""

    NEW = "new"
    OK = "ok"
    LIMITED = "limited"  # deferred by a limit of the provider's
    ACTION_REQUIRED = "action_required"
    FAILING = "failing"
    AUTHORIZATION_EXPIRED = "authorization_expired"
    DISCONNECTED = "disconnected"
