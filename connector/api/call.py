"""One API request: what its client may see, which page of a list it wants, and the responses it gets."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Depends, Query
from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import Response

from connector.api import problems
from connector.api.problems import ApiError
from connector.app_context import AppContext
from connector.auth.api_tokens import ApiClient
from connector.db.ids import ID_MAX
from connector.db.tables import Connection
from connector.errors import NotFound
from connector.json_format import json_default

LIMIT_DEFAULT, LIMIT_MAX = 100, 500
_CURSOR_MAX = 500
_INVALID_CURSOR = "cursor: not a cursor of this list."
LimitParam = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="The maximum number of items.")]
CursorParam = Annotated[str, Query(max_length=_CURSOR_MAX, description="The value of `next`, for the following page.")]
ConnectionParam = Annotated[str, Query(max_length=200, description="Only this connection, by id or short name.")]

T = TypeVar("T")
CursorValue = str | int | None  # of the key that a list is sorted by


@dataclass(frozen=True)
class Call:
    """An authenticated request."""

    app: AppContext
    client: ApiClient

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.app.now()

    @property
    def actor(self) -> str:
        """The client's name, for the log."""
        return self.client.actor

    def connections(self, session: Session) -> list[Connection]:
        """Return the connections that the client may see."""
        rows = session.scalars(select(Connection).order_by(col(Connection.id)))
        return [row for row in rows if self.client.can_see(row.id)]

    def find_connection(self, session: Session, name_or_id: str) -> Connection:
        """Return a visible connection by id or short name, or raise ``NotFound``."""
        for row in self.connections(session):
            if name_or_id in {str(row.id), row.short_name}:
                return row
        message = f"Connection {name_or_id!r} not found."
        raise NotFound(message)

    def connection_ids(self, session: Session, name_or_id: str) -> list[int]:
        """Return the id of the named connection, or of all that the client may see."""
        rows = [self.find_connection(session, name_or_id)] if name_or_id else self.connections(session)
        return [row.id or 0 for row in rows]


@dataclass(frozen=True, slots=True)
class PageQuery:
    """The requested page of a list: after which key, and how many items."""

    after: Sequence[CursorValue]
    limit: int

    def before_id(self) -> int | None:
        """Return the last id of the previous page, for lists in descending order of id."""
        self.check_key_types([int])
        return int(self.after[0] or 0) if self.after else None

    def offset(self) -> int:
        """Return how many items the previous pages held, for lists that have no key."""
        self.check_key_types([int])
        return int(self.after[0] or 0) if self.after else 0

    def check_key_types(self, key_types: Sequence[type]) -> None:
        """Reject a cursor of another list."""
        if self.after and [type(each) for each in self.after] != list(key_types):
            raise ApiError(problems.INVALID, _INVALID_CURSOR)


def parse_page_query(limit: LimitParam = LIMIT_DEFAULT, cursor: CursorParam = "") -> PageQuery:
    """Parse the page parameters."""
    if not cursor:
        return PageQuery((), limit)
    try:
        after = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        after = None
    if not isinstance(after, list) or not all(map(_is_cursor_value, after)):
        raise ApiError(problems.INVALID, _INVALID_CURSOR)
    return PageQuery(after, limit)


def _is_cursor_value(value: object) -> bool:
    """Return whether a value can be compared with a key: an id, or a text that every database can hold."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    return value is None or (type(value) is int and 0 <= value <= ID_MAX)


PageParam = Annotated[PageQuery, Depends(parse_page_query)]


class SecretResponse(Response):
    """A response that lets somebody in, so it is not kept under an idempotency key: a repetition is carried out again.

    Only for operations that give the same when they are repeated.
    """


def json_response(document: object, status: int = 200, response_class: type[Response] = Response) -> Response:
    """Return a JSON response in the format of the commands' ``--json``."""
    return response_class(
        json.dumps(document, default=json_default, ensure_ascii=False), status, media_type="application/json"
    )


def page_response(rows: Sequence[T], page_query: PageQuery, key: Callable[[T], Sequence[CursorValue]]) -> Response:
    """Return a page of a list; ``key`` returns an item's position, for the cursor."""
    shown = rows[: page_query.limit]
    more = len(rows) > page_query.limit
    return json_response({"items": shown, "next": encode_cursor(key(shown[-1])) if more else None})


def paginate(rows: Sequence[T], page_query: PageQuery, key: Callable[[T], Sequence[CursorValue]]) -> Response:
    """Return a page of a list that was computed as a whole, sorted by ``key``."""
    if rows:
        page_query.check_key_types([type(each) for each in key(rows[0])])
    remaining = [row for row in sorted(rows, key=lambda row: list(key(row))) if list(key(row)) > list(page_query.after)]
    return page_response(remaining, page_query, key)


def encode_cursor(key: Sequence[CursorValue]) -> str:
    """Encode an item's position as a cursor."""
    return base64.urlsafe_b64encode(json.dumps(list(key), separators=(",", ":")).encode()).decode().rstrip("=")
