"""Gmail's error replies, and what to do about each. README.md has them as a table, which a test reads."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import requests

from providers.errors import AuthorizationExpired, LimitWindow, PermanentError, ProviderError, RateLimited
from providers.http import Service, hosts_of

_RETRY_AFTER: Final = re.compile(r"retry after (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)", re.IGNORECASE)
# 403 also means "too much": only the reason tells it from a refusal (GAM-team/got-your-back issue 309)
_LIMITS: Final = {
    "rateLimitExceeded": LimitWindow.MINUTE,
    "userRateLimitExceeded": LimitWindow.MINUTE,
    "quotaExceeded": LimitWindow.DAY,
    "dailyLimitExceeded": LimitWindow.DAY,
}
_MINUTE: Final = timedelta(minutes=1)
_DAY_LIMIT_DELAY: Final = timedelta(hours=1)
_PRECONDITION: Final = "failedPrecondition"  # 400: the account has no Gmail, or it is suspended
_ADVICE: Final = {
    "insufficientPermissions": "the consent does not cover this; connect the mailbox again and leave every box ticked",
    "accessNotConfigured": "switch the Gmail API on in the Google Cloud project of GMAIL_CLIENT_ID",
    "domainPolicy": "the administrator of the Google Workspace does not allow this app",
}
_MESSAGE_LENGTH_MAX = 300


class _Problem(msgspec.Struct):
    reason: str = ""


class _Error(msgspec.Struct):
    message: str = ""
    errors: list[_Problem] = []


class _ErrorReply(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


def gmail_service(*urls: str) -> Service:
    """Return what the transport must know of Gmail. A limit's end is in the text of the reply, in no header."""
    return Service("Gmail", hosts_of(*urls), default_retry_after=_MINUTE, retry_at_from_body=parse_retry_at)


def parse_retry_at(body: bytes) -> datetime | None:
    """Return when a limit ends, as the text of the reply names it; None where it does not."""
    found = _RETRY_AFTER.search(_parse(body).message)
    return datetime.fromisoformat(found.group(1)).astimezone(UTC) if found is not None else None


def refusal_error(response: requests.Response, now: datetime) -> ProviderError:
    """Return the error for a call that Gmail refused with 4xx, except 429; nothing happened."""
    error, status = _parse(response.content), response.status_code
    reason = next((problem.reason for problem in error.errors if problem.reason), "")
    words = " ".join(error.message.split())[:_MESSAGE_LENGTH_MAX] or f"status {status}"
    if status == requests.codes.forbidden and reason in _LIMITS:
        limit = _LIMITS[reason]
        delay = _MINUTE if limit == LimitWindow.MINUTE else _DAY_LIMIT_DELAY
        retry_at = parse_retry_at(response.content) or now + delay
        return RateLimited(f"Gmail's limit is reached: {words}", limit=limit, retry_at=retry_at)
    if status in {requests.codes.unauthorized, requests.codes.forbidden} or reason == _PRECONDITION:
        advice = _ADVICE.get(reason, "connect the mailbox again")
        return AuthorizationExpired(f"Gmail denied access ({words}): {advice}")
    return PermanentError(f"Gmail rejected the call: {words}", code=reason or str(status))


def _parse(body: bytes) -> _Error:
    try:
        return msgspec.json.decode(body, type=_ErrorReply).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Error()
