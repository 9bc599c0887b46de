"""What a program is told when something is not as it asked: what happened, what that means, and what to do."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from connector.arrangements.agreements import AgreementError
from connector.arrangements.customer_settings import InvalidSettingError, UnknownCustomerError
from connector.arrangements.tasks import TaskError
from connector.auth.api_tokens import ApiTokenError
from connector.connections.account_owners import InvalidMailboxError
from connector.connections.registry import DisconnectedError, PauseInPastError, UnknownConnectionError
from connector.errors import NotFound
from connector.outbox.approvals import OutboxError
from connector.services.email_preview import PreviewError
from connector.services.invoices import UnknownInvoiceError
from policies.policy import PolicyError


class ProblemType(NamedTuple):
    """A kind of problem: its status, title, what it means for the one who asked, and what would do."""

    status: int
    title: str
    meaning: str
    action: str


UNAUTHORIZED = ProblemType(
    401, "No token that counts", "Nothing was read or changed.", "Send a living token in Authorization."
)
FORBIDDEN = ProblemType(
    403, "Not allowed", "This token may not do that; nothing was changed.", "Use one with a wider scope."
)
NOT_FOUND = ProblemType(404, "Not found", "There is no such thing for this token.", "Take ids from the lists.")
METHOD_NOT_ALLOWED = ProblemType(
    405, "Not possible here", "Nothing was changed.", "See /api/v1/openapi.json for what is."
)
CONFLICT = ProblemType(
    409, "Not possible now", "Nothing was changed.", "Look at it again, and ask for what its state allows."
)
TOO_LARGE = ProblemType(413, "Too much", "The request was not read to its end.", "Send less at once.")
INVALID = ProblemType(
    422, "Not understood", "Nothing was changed.", "Mend what is named, as /api/v1/openapi.json says."
)
TOO_MANY_REQUESTS = ProblemType(429, "Too often", "Nothing was read or changed.", "Wait as long as Retry-After says.")
INTERNAL_ERROR = ProblemType(
    500, "Something broke", "A fault of duewell itself; its log says where.", "Try again later, or report it."
)

_BY_EXCEPTION: Mapping[type[Exception], ProblemType] = {
    NotFound: NOT_FOUND,
    UnknownConnectionError: NOT_FOUND,
    UnknownCustomerError: NOT_FOUND,
    UnknownInvoiceError: NOT_FOUND,
    AgreementError: CONFLICT,
    DisconnectedError: CONFLICT,
    PreviewError: CONFLICT,
    OutboxError: CONFLICT,
    TaskError: CONFLICT,
    ApiTokenError: INVALID,
    InvalidSettingError: INVALID,
    InvalidMailboxError: INVALID,
    PauseInPastError: INVALID,
    PolicyError: INVALID,
}
_BY_STATUS = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}


class ApiError(Exception):
    """A request that is refused; ``str()`` says what happened."""

    def __init__(self, problem_type: ProblemType, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.problem_type = problem_type
        self.headers = headers


def problem_response(problem_type: ProblemType, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Make the reply, as RFC 9457 says."""
    told = {
        "type": f"urn:duewell:problem:{problem_type.title.lower().replace(' ', '-')}",
        "title": problem_type.title,
        "status": problem_type.status,
        "detail": detail,
        "meaning": problem_type.meaning,
        "action": problem_type.action,
    }
    return Response(json.dumps(told, ensure_ascii=False), problem_type.status, headers, "application/problem+json")


def register_handlers(api: FastAPI) -> None:
    """Answer every error of ours in words."""
    for error, kind in _BY_EXCEPTION.items():
        api.add_exception_handler(error, _build_handler(kind))
    api.add_exception_handler(ApiError, _handle_api_error)
    api.add_exception_handler(RequestValidationError, _handle_validation_error)
    api.add_exception_handler(HTTPException, _handle_http_error)


def _build_handler(problem_type: ProblemType) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(_request: Request, error: Exception) -> Response:
        return problem_response(problem_type, str(error) or "There is nothing here.")

    return handle


async def _handle_api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - it is what this handles
    return problem_response(error.problem_type, str(error), error.headers)


async def _handle_validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    said = [f"{'.'.join(map(str, each['loc'][1:])) or each['loc'][0]}: {each['msg']}" for each in error.errors()]
    return problem_response(INVALID, "; ".join(said[:20]))


async def _handle_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = _BY_STATUS.get(error.status_code, CONFLICT)
    return problem_response(kind, "There is nothing here." if kind is NOT_FOUND else str(error.detail), error.headers)
