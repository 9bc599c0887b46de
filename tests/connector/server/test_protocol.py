"""Connections of slow or hostile clients, with the timers in the test's hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from uvicorn.server import ServerState

from connector.server import protocol
from connector.server.protocol import HEAD_S, PIECES_MIN, LimitedProtocol
from connector.server.serve import server_config

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
STRANGER = "203.0.113.9"


@dataclass
class Timer:
    act: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True

    def expire(self) -> None:
        if not self.cancelled:
            self.act()


@dataclass(eq=False)
class Loop:
    """An event loop that only collects what it is given."""

    timers: dict[float, list[Timer]] = field(default_factory=dict)

    def call_later(self, seconds: float, act: Callable[..., None], *arguments: Any) -> Timer:
        timer = Timer(lambda: act(*arguments))
        self.timers.setdefault(seconds, []).append(timer)
        return timer

    def create_task(self, work: Any, **_more: Any) -> Any:
        work.close()
        return self

    def add_done_callback(self, _call: Any) -> None:
        """Be a task that never ends."""

    def expire(self, seconds: float) -> None:
        for timer in self.timers.get(seconds, []):
            timer.expire()


@dataclass
class Transport:
    """A socket that keeps what is written to it."""

    address: str = STRANGER
    written: bytes = b""
    state: str = "open"
    reading: bool = True

    def get_extra_info(self, name: str) -> Any:
        return (self.address, 4711) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.state = "half closed"

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.state = "closed"

    def abort(self) -> None:
        self.state = "aborted"

    def is_closing(self) -> bool:
        return self.state in {"closed", "aborted"}

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass
class Connection:
    loop: Loop
    transport: Transport
    protocol: LimitedProtocol

    def send(self, *chunks: bytes) -> str:
        for chunk in chunks:
            if not self.transport.is_closing():
                self.protocol.data_received(chunk)
        return self.transport.state


Connect = Callable[..., Connection]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Return a function that opens a connection to the same server."""
    monkeypatch.setattr(LimitedProtocol, "_open", type(LimitedProtocol._open)())
    config, state = server_config(FastAPI(), lifespan="off"), ServerState()
    config.load()

    def connect(address: str = STRANGER) -> Connection:
        loop, transport = Loop(), Transport(address)
        made = LimitedProtocol(config=config, server_state=state, app_state={}, _loop=loop)
        made.connection_made(transport)  # type: ignore[arg-type]
        return Connection(loop, transport, made)

    return connect


@pytest.mark.parametrize("sent", [b"", b"G", HEAD, HEAD + b"X-Drip: aaaaaaaaaaaaaaaaaaaa"])
def test_a_request_whose_head_does_not_arrive_in_time_is_given_up(connect: Connect, sent: bytes) -> None:
    line = connect()
    assert line.send(*(bytes([each]) for each in sent)) == "open"
    assert len(line.loop.timers[HEAD_S]) == 1  # a drip gains no time
    line.loop.expire(HEAD_S)
    assert line.transport.state == "aborted"


def test_once_its_head_is_here_a_request_has_the_time_of_its_body(connect: Connect) -> None:
    line = connect()
    line.send(HEAD + b"Content-Length: 5\r\n\r\n")
    line.loop.expire(HEAD_S)
    assert line.transport.state == "open"


def test_the_next_request_of_a_connection_has_a_time_of_its_own(connect: Connect) -> None:
    line = connect()
    line.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    line.protocol.cycle.response_complete = True
    line.send(b"GET ", b"/")
    assert len(line.loop.timers[HEAD_S]) == 2
    line.loop.expire(HEAD_S)
    assert line.transport.state == "aborted"


def test_a_request_in_tiny_pieces_is_refused_and_one_in_packets_is_not(connect: Connect) -> None:
    body = HEAD + b"Content-Length: 1000000\r\n\r\n"
    assert connect().send(body, *[b"x"] * (PIECES_MIN + 1)) == "aborted"
    assert connect().send(body, *[b"x" * 500] * (PIECES_MIN + 1)) == "open"


def test_between_two_reads_of_a_body_packets_may_gather(connect: Connect) -> None:
    def is_read(line: Connection) -> bool:
        return line.transport.reading

    line = connect()
    line.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert is_read(line)  # a request that is here whole waits for nothing
    line = connect()
    line.send(HEAD + b"Content-Length: 1000000\r\n\r\n", b"x" * 1000)
    assert not is_read(line)
    line.loop.expire(protocol.REST_S)
    assert is_read(line)
    line.send(b"x" * 100_000)
    line.loop.expire(protocol.REST_S)
    assert not is_read(line)  # the app has not taken what was read


def test_a_body_in_pieces_of_one_byte_is_refused_however_it_is_sent(connect: Connect) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    line = connect()
    line.send(head, b"1\r\nx\r\n" * (PIECES_MIN + 1))
    assert line.transport.written.startswith(b"HTTP/1.1 400")
    line = connect()
    line.send(head, (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * (PIECES_MIN + 1))
    assert line.transport.written == b""


def test_one_place_has_a_limited_number_of_connections(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS_PER_NETWORK_MAX", 3)
    first = connect("2001:db8:1:2::1")
    states = [connect(f"2001:db8:1:2::{n}").transport.state for n in range(2, 6)]
    assert states == ["open", "open", "aborted", "aborted"]
    assert connect("2001:db8:1:3::1").transport.state == "open"
    assert [connect("127.0.0.1").transport.state for _ in range(5)] == ["open"] * 5  # a proxy brings everybody
    first.protocol.connection_lost(None)
    assert connect("2001:db8:1:2::9").transport.state == "aborted"  # the refused ones count until they are gone


def test_all_places_together_have_a_limited_number_of_connections(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS_MAX", 2)
    assert [connect(f"203.0.113.{n}").transport.state for n in range(3)] == ["open", "open", "aborted"]


def test_the_rest_of_a_request_that_was_answered_early_is_not_parsed(connect: Connect) -> None:
    line = connect()
    line.send(HEAD + b"Content-Length: 1000000\r\n\r\n")
    line.protocol.transport.close()
    assert line.transport.state == "half closed"  # so that the client can read the response
    before = line.protocol.cycle.body
    assert line.send(b"x" * 1000) == "half closed"
    assert line.protocol.cycle.body == before
    line.loop.expire(protocol.DISCARD_S)
    assert line.transport.state == "aborted"


def test_a_client_that_does_not_read_its_response_is_given_up(connect: Connect) -> None:
    line = connect()
    line.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    line.protocol.pause_writing()
    line.protocol.resume_writing()
    line.loop.expire(protocol.UNREAD_S)
    assert line.transport.state == "open"
    line.protocol.pause_writing()
    line.loop.expire(protocol.UNREAD_S)
    assert line.transport.state == "aborted"
