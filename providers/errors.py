"""Every failure of a connected service, classified by what to do about it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum


class LimitWindow(StrEnum):
    """Which of a service's limits was reached."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"  # of all companies of an app together
    APP = "app"  # per minute, of all companies of an app together
    CONCURRENT = "concurrent"


class ProviderError(Exception):
    """Base of all failures of a service. ``str()`` is a sentence for people, without secrets or payloads.

    ``trace_id`` is the service's id of the reply (Intuit's ``intuit_tid``, Xero's ``Xero-Correlation-Id``).
    """

    def __init__(self, message: str, *, trace_id: str = "") -> None:
        super().__init__(message)
        self.trace_id = trace_id


class TransientError(ProviderError):
    """Nothing happened at the service; the same call may succeed later (connection refused, DNS, 503 on a read).

    ``retry_at`` is when to try again, None where the service does not say.
    """

    def __init__(self, message: str, *, retry_at: datetime | None = None, trace_id: str = "") -> None:
        super().__init__(message, trace_id=trace_id)
        self.retry_at = retry_at


class ReplyTooLarge(TransientError):
    """The reply to a read is larger than we take: another try will not change that."""


class RateLimited(TransientError):
    """A limit of the service is reached. Nothing happened."""

    def __init__(
        self, message: str, *, limit: LimitWindow, retry_at: datetime | None = None, trace_id: str = ""
    ) -> None:
        super().__init__(message, retry_at=retry_at, trace_id=trace_id)
        self.limit = limit


class AuthorizationExpired(ProviderError):
    """Nothing works until somebody acts: gives consent again, or renews the subscription. What waits is kept."""


class PermanentError(ProviderError):
    """The service understood the call and rejected it; ``code`` is its own. Nothing happened, a retry is useless."""

    def __init__(self, message: str, *, code: str = "", trace_id: str = "") -> None:
        super().__init__(message, trace_id=trace_id)
        self.code = code


class OutcomeUnknown(ProviderError):
    """The request was sent and no trustworthy reply came: it may or may not have been carried out."""
