"""Error responses (RFC 9457): what happened, what it means and what to do."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from connector.api.allowed_methods import allowed_methods
from connector.api.wrong_input import describe_error
from connector.arrangements.agreements import AgreementError
from connector.arrangements.customer_settings import InvalidSettingError, UnknownCustomerError
from connector.arrangements.tasks import NoOutcomeError, TaskError
from connector.auth.api_tokens import ApiTokenError
from connector.bank.deciding import MatchDecisionError
from connector.bank.formats.bank_line import StatementError
from connector.bank_details.accounts import BankDetailsError
from connector.branding.brand import BrandError
from connector.connections.account_owners import InvalidMailboxError
from connector.connections.registry import DisconnectedError, PauseInPastError, UnknownConnectionError
from connector.errors import Busy, InvalidField, NotFound, NotPossible
from connector.outbox.approvals import EntryChanged, OutboxError
from connector.policy_store import PolicyChanged
from connector.services.email_preview import PreviewError
from connector.services.invoices import UnknownInvoiceError
from policies.policy import PolicyError


class ProblemType(NamedTuple):
    """A kind of error: its HTTP status, title, what it means for the caller, and what to do."""

    status: int
    title: str
    meaning: str
    action: str


UNAUTHORIZED = ProblemType(
    401, "Unauthorized", "Nothing was read or changed.", "Send a valid token in the Authorization header."
)
FORBIDDEN = ProblemType(
    403, "Forbidden", "The token does not allow this; nothing was changed.", "Use a token with a wider scope."
)
NOT_FOUND = ProblemType(
    404, "Not found", "It does not exist, or this token has no access to it.", "Use an id from one of the lists."
)
METHOD_NOT_ALLOWED = ProblemType(
    405, "Method not allowed", "Nothing was changed.", "See /api/v1/openapi.json for the operations."
)
CONFLICT = ProblemType(409, "Conflict", "Nothing was changed.", "Read it again; its current state does not allow this.")
PRECONDITION_FAILED = ProblemType(
    412, "Changed since it was read", "Nothing was changed.", "Read it again, and decide about what it says now."
)
TOO_LARGE = ProblemType(413, "Request too large", "Nothing was changed.", "Split the request into smaller ones.")
INVALID = ProblemType(
    422, "Invalid request", "Nothing was changed.", "Correct the fields named here; see /api/v1/openapi.json."
)
TOO_MANY_REQUESTS = ProblemType(
    429, "Too many requests", "Nothing was read or changed.", "Try again after the seconds given in Retry-After."
)
BUSY = ProblemType(503, "Busy", "Nothing was read or changed.", "Try again after the seconds given in Retry-After.")
INTERNAL_ERROR = ProblemType(
    500, "Internal error", "This is a fault in duewell; its log has the details.", "Try again later, or report it."
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
    EntryChanged: PRECONDITION_FAILED,
    PolicyChanged: PRECONDITION_FAILED,
    NoOutcomeError: INVALID,  # before what it is a kind of
    TaskError: CONFLICT,
    ApiTokenError: INVALID,
    InvalidSettingError: INVALID,
    InvalidMailboxError: INVALID,
    PauseInPastError: INVALID,
    PolicyError: INVALID,
    BankDetailsError: INVALID,
    BrandError: INVALID,
    StatementError: INVALID,
    MatchDecisionError: CONFLICT,
    InvalidField: INVALID,
    NotPossible: CONFLICT,
}
_BY_STATUS = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED, 413: TOO_LARGE}  # else the request is invalid


class ApiError(Exception):
    """A request was rejected; ``str()`` says why."""

    def __init__(self, problem_type: ProblemType, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.problem_type = problem_type
        self.headers = headers


def problem_response(problem_type: ProblemType, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error response in the format of RFC 9457."""
    document = {
        "type": f"urn:duewell:problem:{problem_type.title.lower().replace(' ', '-')}",
        "title": problem_type.title,
        "status": problem_type.status,
        "detail": detail,
        "meaning": problem_type.meaning,
        "action": problem_type.action,
    }
    text = json.dumps(document, ensure_ascii=False).encode(
        "utf-8", "replace"
    )  # halves of surrogate pairs in the request
    return Response(text, problem_type.status, headers, "application/problem+json")


def register_handlers(api: FastAPI) -> None:
    """Return a problem document for every error that duewell raises."""
    for error, kind in _BY_EXCEPTION.items():
        api.add_exception_handler(error, _build_handler(kind))
    api.add_exception_handler(ApiError, _handle_api_error)
    api.add_exception_handler(Busy, _handle_busy)
    api.add_exception_handler(DataError, _handle_data_error)
    api.add_exception_handler(RequestValidationError, _handle_validation_error)
    api.add_exception_handler(HTTPException, _handle_http_error)


def _build_handler(problem_type: ProblemType) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(_request: Request, error: Exception) -> Response:
        return problem_response(problem_type, str(error) or "Not found.")

    return handle


async def _handle_api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this type only
    return problem_response(error.problem_type, str(error), error.headers)


async def _handle_busy(_request: Request, error: Exception) -> Response:
    return problem_response(BUSY, str(error), {"Retry-After": "5"})


async def _handle_data_error(_request: Request, _error: Exception) -> Response:
    return problem_response(INVALID, "A value contains a character that cannot be stored, such as NUL.")


async def _handle_validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [describe_error(each) for each in error.errors()]
    return problem_response(INVALID, "; ".join(errors[:20]))


async def _handle_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = _BY_STATUS.get(error.status_code, INVALID)
    headers = {"Allow": allowed_methods(request)} if kind is METHOD_NOT_ALLOWED else error.headers
    return problem_response(kind, "Not found." if kind is NOT_FOUND else str(error.detail), headers)
