"""What the transport must know of Microsoft, and what the errors of Graph mean."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec
import requests

from providers.calls import CallKind
from providers.errors import AuthorizationExpired, LimitWindow, PermanentError, ProviderError, RateLimited
from providers.http import Service, hosts_of

TRACE_HEADER: Final = "request-id"
_MESSAGE_LENGTH_MAX = 300
# Nothing is sent until somebody acts, whichever email it is. README.md has them as a table, which a test reads.
_SOMEBODY_MUST_ACT: Final = {
    "ErrorSendAsDenied": "this mailbox may not send as MAIL_FROM; set it to the mailbox's address, or grant Send As",
    "ErrorAccessDenied": "the consent lacks a permission; connect the mailbox again",
    "Authorization_RequestDenied": "the consent lacks a permission; connect the mailbox again",
    "ErrorMessageSubmissionBlocked": "Microsoft has blocked the mailbox from sending; an administrator unblocks it",
    "ErrorAccountSuspend": "Microsoft has suspended the mailbox; its owner must sign in there",
    "ErrorQuotaExceeded": "the mailbox is full; its owner must make room",
    "ErrorMailboxStoreQuotaExceeded": "the mailbox is full; its owner must make room",
    "MailboxNotEnabledForRESTAPI": "the account has no Exchange Online mailbox",
    "ErrorNonExistentMailbox": "the account has no mailbox",
}
_DAILY_LIMITS: Final = frozenset({"ErrorExceededMessageLimit", "ErrorRecipientLimitExceeded"})


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _ErrorReply(msgspec.Struct):
    error: _Error


def microsoft_service(*urls: str) -> Service:
    """Return what the transport must know, for calls to these hosts."""
    return Service("Microsoft 365", hosts_of(*urls), TRACE_HEADER, default_retry_after=timedelta(minutes=1))


def error_code(response: requests.Response) -> str:
    """Return Graph's code of an error, "" where the reply has none."""
    return _parse(response.content).code


def refusal_error(response: requests.Response, kind: CallKind) -> ProviderError:
    """Return the error for what Graph rejected; the transport has raised for limits and server errors."""
    problem, status = _parse(response.content), response.status_code
    trace_id = response.headers.get(TRACE_HEADER, "")
    code = problem.code or str(status)
    if code in _DAILY_LIMITS:
        message = f"Microsoft 365's limit of recipients a day is reached ({code})"
        return RateLimited(message, limit=LimitWindow.DAY, trace_id=trace_id)
    if (hint := _SOMEBODY_MUST_ACT.get(code)) is not None:
        return AuthorizationExpired(f"Microsoft 365 rejected the {kind} ({code}): {hint}", trace_id=trace_id)
    if status in {requests.codes.unauthorized, requests.codes.forbidden}:
        message = f"Microsoft 365 denied access ({code}); connect the mailbox again"
        return AuthorizationExpired(message, trace_id=trace_id)
    text = problem.message[:_MESSAGE_LENGTH_MAX] or "no reason given"
    return PermanentError(f"Microsoft 365 rejected the {kind} ({code}): {text}", code=code, trace_id=trace_id)


def _parse(body: bytes) -> _Error:
    try:
        return msgspec.json.decode(body, type=_ErrorReply).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Error()
