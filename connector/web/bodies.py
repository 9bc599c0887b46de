"""Request bodies, read up to a limit."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.requests import Request


class BodyTooLarge(Exception):
    """A body larger than any that belongs at this address."""


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
