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

from connector.access.api_tokens import ApiTokenError
from connector.access.connections import DisconnectedError, PauseOverError, UnknownConnectionError
from connector.access.team import NotAPersonError
from connector.people.agreements import AgreementError
from connector.people.approvals import OutboxError
from connector.people.customers import BadSettingError, UnknownCustomerError
from connector.people.invoices import UnknownInvoiceError
from connector.people.preview import NoPreview
from connector.people.tasks import TaskError
from connector.web.visit import NotHere
from policies.policy import PolicyError


class Kind(NamedTuple):
    """A kind of problem: its status, title, what it means for the one who asked, and what would do."""

    status: int
    title: str
    means: str
    todo: str


NO_TOKEN = Kind(401, "No token that counts", "Nothing was read or changed.", "Send a living token in Authorization.")
NO_SCOPE = Kind(403, "Not allowed", "This token may not do that; nothing was changed.", "Use one with a wider scope.")
NOT_FOUND = Kind(404, "Not found", "There is no such thing for this token.", "Take ids from the lists.")
NO_METHOD = Kind(405, "Not possible here", "Nothing was changed.", "See /api/v1/openapi.json for what is.")
CONFLICT = Kind(409, "Not possible now", "Nothing was changed.", "Look at it again, and ask for what its state allows.")
TOO_MUCH = Kind(413, "Too much", "The request was not read to its end.", "Send less at once.")
NOT_VALID = Kind(422, "Not understood", "Nothing was changed.", "Mend what is named, as /api/v1/openapi.json says.")
TOO_OFTEN = Kind(429, "Too often", "Nothing was read or changed.", "Wait as long as Retry-After says.")
BROKEN = Kind(
    500, "Something broke", "A fault of duewell itself; its log says where.", "Try again later, or report it."
)

_OF_ERRORS: Mapping[type[Exception], Kind] = {
    NotHere: NOT_FOUND,
    UnknownConnectionError: NOT_FOUND,
    UnknownCustomerError: NOT_FOUND,
    UnknownInvoiceError: NOT_FOUND,
    AgreementError: CONFLICT,
    DisconnectedError: CONFLICT,
    NoPreview: CONFLICT,
    OutboxError: CONFLICT,
    TaskError: CONFLICT,
    ApiTokenError: NOT_VALID,
    BadSettingError: NOT_VALID,
    NotAPersonError: NOT_VALID,
    PauseOverError: NOT_VALID,
    PolicyError: NOT_VALID,
}
_OF_STATUS = {404: NOT_FOUND, 405: NO_METHOD}


class Refused(Exception):
    """A request that is refused; ``str()`` says what happened."""

    def __init__(self, kind: Kind, happened: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(happened)
        self.kind = kind
        self.headers = headers


def answer(kind: Kind, happened: str, headers: Mapping[str, str] | None = None) -> Response:
    """Make the reply, as RFC 9457 says."""
    told = {
        "type": f"urn:duewell:problem:{kind.title.lower().replace(' ', '-')}",
        "title": kind.title,
        "status": kind.status,
        "detail": happened,
        "means": kind.means,
        "todo": kind.todo,
    }
    return Response(json.dumps(told, ensure_ascii=False), kind.status, headers, "application/problem+json")


def add_to(api: FastAPI) -> None:
    """Answer every error of ours in words."""
    for error, kind in _OF_ERRORS.items():
        api.add_exception_handler(error, _in_words(kind))
    api.add_exception_handler(Refused, _refused)
    api.add_exception_handler(RequestValidationError, _not_valid)
    api.add_exception_handler(HTTPException, _http)


def _in_words(kind: Kind) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(_request: Request, error: Exception) -> Response:
        return answer(kind, str(error) or "There is nothing here.")

    return handle


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - it is what this handles
    return answer(error.kind, str(error), error.headers)


async def _not_valid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    said = [f"{'.'.join(map(str, each['loc'][1:])) or each['loc'][0]}: {each['msg']}" for each in error.errors()]
    return answer(NOT_VALID, "; ".join(said[:20]))


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = _OF_STATUS.get(error.status_code, CONFLICT)
    return answer(kind, "There is nothing here." if kind is NOT_FOUND else str(error.detail), error.headers)
