"""One request of one program: what it may see, which part of a list it wants, and the replies an operation gives."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query
from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import Response

from connector.access.api_tokens import Program
from connector.commands.terminal import plain
from connector.ids import ID_MAX
from connector.installation import Installation
from connector.paging import Part
from connector.tables import Connection
from connector.web.api import problems
from connector.web.api.problems import Refused
from connector.web.visit import NotHere

LIMIT, LIMIT_MAX = 100, 500
_CURSOR_MAX = 500
_STRANGE = "cursor: this is none that this list gave."
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="At most so many items.")]
Cursor = Annotated[str, Query(max_length=_CURSOR_MAX, description="What `next` said, for the items after those.")]
Within = Annotated[str, Query(max_length=200, description="Only this connection: its id or short name.")]


@dataclass(frozen=True)
class Call:
    """A request that was let in."""

    installation: Installation
    program: Program

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.installation.now()

    @property
    def by(self) -> str:
        """Who it is, for the log."""
        return self.program.by

    def connections(self, session: Session) -> list[Connection]:
        """The connections this program sees."""
        rows = session.scalars(select(Connection).order_by(col(Connection.id)))
        return [row for row in rows if self.program.sees(row.id)]

    def connection(self, session: Session, wanted: str) -> Connection:
        """Find one of them by id or short name. Raises ``NotHere``."""
        for row in self.connections(session):
            if wanted in {str(row.id), row.short_name}:
                return row
        message = f"There is no connection {wanted!r}."
        raise NotHere(message)

    def within(self, session: Session, wanted: str) -> list[int]:
        """The ids of the connections to stay within: the one that was named, else all that are seen."""
        rows = [self.connection(session, wanted)] if wanted else self.connections(session)
        return [row.id or 0 for row in rows]

    def seen(self, connection_id: int | None) -> None:
        """Raise ``NotHere`` for what belongs to a company that is not this program's."""
        if not self.program.sees(connection_id):
            message = "There is nothing here."
            raise NotHere(message)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a list is wanted."""

    after: Sequence[Any]
    limit: int

    def part(self, companies: Sequence[int], *kinds: type) -> Part:
        """Ask for one more than is shown: it tells whether there is another part. ``kinds`` are those of its key."""
        self.must_be(kinds)
        return Part(companies, self.after, self.limit + 1)

    def before_id(self) -> int | None:
        """The id of the last item of the part before, for lists that go down by id."""
        self.must_be([int])
        return int(self.after[0]) if self.after else None

    def must_be(self, kinds: Sequence[type]) -> None:
        """Refuse a cursor of another list."""
        if self.after and [type(each) for each in self.after] != list(kinds):
            raise Refused(problems.NOT_VALID, _STRANGE)


def wanted(limit: Limit = LIMIT, cursor: Cursor = "") -> Wanted:
    """Read the part that is wanted."""
    if not cursor:
        return Wanted((), limit)
    try:
        after = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        after = None
    if not isinstance(after, list) or any(isinstance(each, int) and not 0 <= each <= ID_MAX for each in after):
        raise Refused(problems.NOT_VALID, _STRANGE)
    return Wanted(after, limit)


Asked = Annotated[Wanted, Depends(wanted)]


def reply(document: object, status: int = 200) -> Response:
    """Answer with a document, written as the commands' ``--json`` writes it."""
    return Response(json.dumps(document, default=plain, ensure_ascii=False), status, media_type="application/json")


def listed(rows: Sequence[Any], asked: Wanted, key: Callable[[Any], Sequence[Any]]) -> Response:
    """Answer with a part of a list; ``key`` tells the place of its last item."""
    shown = rows[: asked.limit]
    more = len(rows) > asked.limit
    return reply({"items": shown, "next": cursor(key(shown[-1])) if more else None})


def cut(rows: Sequence[Any], asked: Wanted, key: Callable[[Any], Sequence[Any]]) -> Response:
    """Answer with a part of a list that was computed as a whole, in the order of ``key``."""
    if rows:
        asked.must_be([type(each) for each in key(rows[0])])
    left = [row for row in sorted(rows, key=lambda row: list(key(row))) if list(key(row)) > list(asked.after)]
    return listed(left, asked, key)


def cursor(key: Sequence[Any]) -> str:
    """Write the place of an item, for a program to come back with."""
    return base64.urlsafe_b64encode(json.dumps(list(key), separators=(",", ":")).encode()).decode().rstrip("=")
