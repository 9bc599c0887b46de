"""How runs end, and what they call."""

from __future__ import annotations

from enum import StrEnum


class RunOutcome(StrEnum):
    """How a run of a connection ended."""

    OK = "ok"
    DEFERRED = "deferred"  # by a limit of the provider's; it continues later
    ACTION_REQUIRED = "action_required"
    FAILED = "failed"
    BUSY = "busy"  # another run of this connection is under way


class CallKind(StrEnum):
    """What a call to a provider does; a budget counts each kind."""

    READ = "read"
    WRITE = "write"
    EMAIL = "email"
    EMAIL_READ = "email_read"
    TOKEN = "token"  # noqa: S105 - a kind of call
