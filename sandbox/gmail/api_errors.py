"""Google's error replies: the JSON of its APIs, which names a reason, and that of its sign-in."""

from __future__ import annotations

from datetime import datetime

from starlette.responses import JSONResponse, Response

_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
}


class ApiError(Exception):
    """A request that is refused: status, reason and message as Gmail names them."""

    def __init__(self, status: int, reason: str, message: str, *, domain: str = "global") -> None:
        super().__init__(message)
        self.status, self.reason, self.domain = status, reason, domain

    def response(self) -> Response:
        """Return the reply."""
        problem = {"message": str(self), "domain": self.domain, "reason": self.reason}
        error = {"code": self.status, "message": str(self), "errors": [problem], "status": _STATUS_NAMES[self.status]}
        return JSONResponse({"error": error}, self.status)


def not_found() -> ApiError:
    """Return the error for a message that is gone, and for a history that starts too early."""
    return ApiError(404, "notFound", "Requested entity was not found.")


def missing_scope() -> ApiError:
    """Return the error for a call that the consent does not cover."""
    return ApiError(403, "insufficientPermissions", "Request had insufficient authentication scopes.")


def minute_quota(number: str) -> ApiError:
    """Return the error for too many quota units in a minute, which comes as 403."""
    message = (
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service"
        f" 'gmail.googleapis.com' for consumer 'project_number:{number}'."
    )
    return ApiError(403, "rateLimitExceeded", message, domain="usageLimits")


def sending_limit(until_at: datetime) -> ApiError:
    """Return the error for too many recipients in a day: only its text says when the limit ends."""
    stamp = until_at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{until_at.microsecond // 1000:03}Z"
    return ApiError(429, "userRateLimitExceeded", f"User-rate limit exceeded.  Retry after {stamp}")


def oauth_error(error: str, description: str, status: int = 400) -> Response:
    """Return an error of the token endpoint."""
    return JSONResponse({"error": error, "error_description": description}, status)
