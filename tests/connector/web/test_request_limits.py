"""How long a request may take to arrive and to be worked on, and what becomes of one that is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message

from connector.web import request_limits
from connector.web.request_limits import BODY_BYTES_PER_S_MIN, BODY_GRACE_S, RequestLimits, _Body

SCOPE: dict[str, Any] = {"type": "http", "method": "POST", "path": "/x", "headers": []}
WHOLE: Message = {"type": "http.request", "body": b"", "more_body": False}
ENDS_S = 5.0  # a request that is never given up fails its test instead of keeping it waiting
START: Message = {"type": "http.response.start", "status": 200, "headers": []}


def run_alone(work: Coroutine[Any, Any, None]) -> None:
    """Run it in a thread of its own, because browser tests leave an event loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def run(app: ASGIApp, *messages: Message, after: Callable[[], None] = lambda: None) -> list[Message]:
    """Send a request whose body arrives in these messages, and then nothing more; return what was sent back."""
    sent: list[Message] = []

    async def request() -> None:
        parts = list(messages)

        async def receive() -> Message:
            return parts.pop(0) if parts else await asyncio.Future()

        async def send(message: Message) -> None:
            sent.append(message)

        await RequestLimits(app, work_s=0.001, poll_s=0.001)(SCOPE, receive, send)
        after()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run_alone(asyncio.wait_for(request(), ENDS_S))
    return sent


def test_a_request_that_works_too_long_is_answered_and_what_it_says_later_is_dropped() -> None:
    release = asyncio.Event()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await release.wait()
        await send(START)

    sent = run(app, WHOLE, after=release.set)
    assert [each.get("status") for each in sent if each["type"] == "http.response.start"] == [503]
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_body_that_does_not_arrive_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limits, "BODY_GRACE_S", -1.0)
    cancelled = []

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        try:
            await receive()
            await receive()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    sent = run(app, {"type": "http.request", "body": b"x", "more_body": True})
    assert [each.get("status") for each in sent] == [408, None]
    assert cancelled == [True]


def test_an_error_that_nothing_handles_is_a_plain_response_without_details() -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        message = "secret"
        raise RuntimeError(message)

    sent = run(app, WHOLE)
    assert sent[0]["status"] == 500
    assert b"secret" not in sent[1]["body"]


def test_a_client_that_goes_away_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ClientDisconnect

    assert run(app, WHOLE) == []
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


def test_a_body_may_be_as_slow_as_a_bad_line_and_no_slower() -> None:
    now, part_s = [0.0], 8

    async def check() -> None:
        parts = [{"body": b"x" * BODY_BYTES_PER_S_MIN * part_s, "more_body": True}] * 5

        async def receive() -> Message:
            return parts.pop() if parts else await asyncio.Future()

        body = _Body(receive, lambda: now[0])
        for _ in range(5):
            now[0] += part_s
            await body.receive()
        waiting = asyncio.ensure_future(body.receive())
        await asyncio.sleep(0)
        now[0] = 5 * part_s + BODY_GRACE_S
        assert not body.is_late()
        now[0] += 1
        assert body.is_late()
        waiting.cancel()

    run_alone(check())


def test_waiting_for_the_end_of_the_connection_is_no_slow_body() -> None:
    now = [0.0]

    async def check() -> None:
        parts = [WHOLE]

        async def receive() -> Message:
            return parts.pop() if parts else await asyncio.Future()

        body = _Body(receive, lambda: now[0])
        await body.receive()
        waiting = asyncio.ensure_future(body.receive())  # as a download does, to notice that nobody listens any more
        await asyncio.sleep(0)
        now[0] = 1000
        assert not body.is_late()
        waiting.cancel()

    run_alone(check())
