"""Request bodies, read up to a limit, and a note of those that are rejected."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator

from starlette.requests import Request

from connector.client_network import network_of
from connector.quiet_log import QuietLog

_rejections = QuietLog(logging.getLogger("duewell.web.rejections"))


class BodyTooLarge(Exception):
    """A body larger than any that belongs at this address."""


def note_rejection(request: Request, subject: str, reason: str) -> None:
    """Log that a stranger's request was rejected: once a minute for a subject and reason, however many there are."""
    _rejections.note(subject, reason, (network_of(request.client.host) if request.client else "") or "this machine")


async def read_limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of a body. Raises ``BodyTooLarge`` beyond ``limit`` bytes, at once where it says so itself."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and (len(said) > 12 or int(said) > limit):
        raise BodyTooLarge
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise BodyTooLarge
        yield part


async def read_whole(request: Request, limit: int) -> bytes:
    """Return a body. Raises ``BodyTooLarge`` beyond ``limit`` bytes."""
    return b"".join([part async for part in read_limited(request, limit)])
