"""The progress of a sync as server-sent events: an asynchronous reply that holds no thread while it waits.

A person has a few streams at a time, and the server some dozens: browsers open six connections to a host, and those
left over are for pages. Whoever gets none has the page and its link. A stream ends with its sync, with the session, and
after some minutes in any case; the browser then opens another.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from connector.app_context import AppContext
from connector.auth import sessions
from connector.db.engine import reading
from connector.services.run_progress import RunProgress, find_progress
from connector.web.rendering import LIVE_SCRIPT
from connector.web.routes import cookie_name

POLL_S: Final = 1.0
BEAT_POLLS: Final = 15  # polls without news after which a comment keeps proxies from closing the connection
POLLS_MAX: Final = 600
STREAMS_PER_USER_MAX, STREAMS_MAX = 3, 60
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def add_live(web_app: FastAPI, app: AppContext) -> None:
    """Register the events of runs, and the script that shows them."""
    streams = _Streams(app)
    web_app.add_route("/runs/{run:int}/events", streams.open, methods=["GET"], include_in_schema=False)

    @web_app.get("/static/live.js", include_in_schema=False)
    def script() -> Response:
        return Response(LIVE_SCRIPT, media_type="text/javascript")


class _Streams:
    """The streams that are open."""

    def __init__(self, app: AppContext) -> None:
        self._app = app
        self._open: Counter[int] = Counter()

    async def open(self, request: Request) -> Response:
        """Stream the progress of a run to a user who may see its company."""
        token, run_id = request.cookies.get(cookie_name(self._app), ""), int(request.path_params["run"])
        found = await run_in_threadpool(self._find, token, run_id)
        if found is None:
            return PlainTextResponse("There is nothing at this address.\n", status_code=404)
        user_id, progress = found
        if not self._reserve(user_id):
            # No error status, on which browsers would try again: the page says how to follow it without events
            return Response("event: full\ndata: {}\n\n", media_type="text/event-stream", headers=_HEADERS)
        return _Stream(self._events(token, run_id, progress), lambda: self._release(user_id))

    def _reserve(self, user_id: int) -> bool:
        """Count a stream before it is sent: many that are asked for at once are counted one after the other."""
        if self._open[user_id] >= STREAMS_PER_USER_MAX or self._open.total() >= STREAMS_MAX:
            return False
        self._open[user_id] += 1
        return True

    def _release(self, user_id: int) -> None:
        self._open[user_id] -= 1
        if not self._open[user_id]:
            del self._open[user_id]

    async def _events(self, token: str, run_id: int, progress: RunProgress) -> AsyncIterator[str]:
        shown: RunProgress | None = None
        quiet = 0
        for _poll in range(POLLS_MAX):
            if progress != shown:
                yield _event("end" if progress.is_ended else "progress", progress)
                shown, quiet = progress, 0
            if progress.is_ended or self._app.is_stopping():
                return
            await asyncio.sleep(POLL_S)
            found = await run_in_threadpool(self._find, token, run_id)
            if found is None:  # signed out, or no longer allowed to see it
                return
            progress, quiet = found[1], quiet + 1
            if quiet % BEAT_POLLS == 0:
                yield ": still there\n\n"

    def _find(self, token: str, run_id: int) -> tuple[int, RunProgress] | None:
        """Return the user and the progress, None where nobody is signed in who may see it."""
        user = sessions.find_current_user(self._app, token)
        if user is None or user.needs_passkey or run_id > 2**63 - 1:
            return None
        with reading(self._app.engine) as session:
            found = find_progress(session, run_id)
        return (user.id, found[1]) if found is not None and user.can_see(found[0]) else None


class _Stream(StreamingResponse):
    """Events sent as they come; not counted any more once nothing more is sent, also to a client that is gone."""

    def __init__(self, events: AsyncIterator[str], release: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=_HEADERS)
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()


def _event(name: str, progress: RunProgress) -> str:
    return f"event: {name}\ndata: {json.dumps(progress.model_dump())}\n\n"
