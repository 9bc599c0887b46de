"""The outgoing calls of a provider: their kinds, and the observer that is notified before and after each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol


class CallKind(StrEnum):
    """What an outgoing call does. Only a read may be repeated without a second effect."""

    READ = "read"
    WRITE = "write"
    EMAIL = "email"
    EMAIL_READ = "email_read"  # a lookup at the email service
    TOKEN = "token"  # noqa: S105 - the kind of a call, not a secret


class CallObserver(Protocol):
    """Receives every outgoing call of a provider's client: the connector counts and limits them."""

    def before(self, kind: CallKind) -> None:
        """Note that a call is about to be made. Raises ``RateLimited`` where the budget is used up."""
        ...

    def after(self, kind: CallKind, status: int, headers: Mapping[str, str]) -> None:
        """Note the reply: its HTTP status (0 without one) and its headers, which carry what is left of the limits."""
        ...
