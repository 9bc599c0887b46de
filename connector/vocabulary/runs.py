"""How runs end."""

from __future__ import annotations

from enum import StrEnum


class RunOutcome(StrEnum):
    """How a run of a connection ended."""

    OK = "ok"
    DEFERRED = "deferred"  # by a limit of the provider's; it continues later
    ACTION_REQUIRED = "action_required"
    FAILED = "failed"
    BUSY = "busy"  # another run of this connection is under way
