"""Every failure of the outside world, classified by what to do about it."""

from __future__ import annotations

from datetime import datetime


class ProviderError(Exception):
    """Root of all vendor failures. ``str()`` is a sentence for people, free of secrets and payloads.

    ``reference`` is the vendor's trace id of the reply (Intuit's ``intuit_tid``, Xero's ``Xero-Correlation-Id``).
    """

    def __init__(self, message: str, *, trace_id: str = "") -> None:
        super().__init__(message)
        self.trace_id = trace_id


class TransientError(ProviderError):
    """Nothing happened at the vendor; the same call may succeed later (refused connection, 503 on a read, DNS)."""

    def __init__(self, message: str, *, retry_at: datetime | None = None, trace_id: str = "") -> None:
        super().__init__(message, trace_id=trace_id)
        self.retry_at = retry_at


class RateLimited(TransientError):
    """A vendor's limit; ``limit`` names it ("minute", "day", "concurrent", "app", "month"). Nothing happened."""

    def __init__(self, message: str, *, limit: str, retry_at: datetime | None = None, trace_id: str = "") -> None:
        super().__init__(message, retry_at=retry_at, trace_id=trace_id)
        self.limit = limit


class AuthorizationExpired(ProviderError):
    """The grant is dead or the company is gone: only a person's new consent mends it. Pause this connection."""


class PermanentError(ProviderError):
    """The vendor understood and refused for good; ``code`` is its own. Nothing happened, a retry is useless."""

    def __init__(self, message: str, *, code: str = "", trace_id: str = "") -> None:
        super().__init__(message, trace_id=trace_id)
        self.code = code


class OutcomeUnknown(ProviderError):
    """The outcome is not known: the bytes left and no trustworthy answer came. It may or may not have happened."""
