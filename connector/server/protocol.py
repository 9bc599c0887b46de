"""HTTP/1.1 as uvicorn speaks it, with limits of our own on clients that are slow, or send in tiny pieces.

uvicorn waits for ever for a request that does not arrive, and parses each piece at some 5 µs and more in this process.
Compared by running them: granian and hypercorn limit the head of a request, but neither its body nor pieces; see
docs/decisions.md. The limits of a body are in ``connector.web.request_limits``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from connector.client_network import network_of
from connector.quiet_log import QuietLog

HEAD_S: Final = 10.0  # from the connection, or the first byte of the next request, to the end of the head
UNREAD_S: Final = 60.0  # for a client that does not read what it asked for
DISCARD_S: Final = 5.0  # in which the rest of a request that was answered early is thrown away
HEAD_BYTES_MAX: Final = 64 * 1024
PIECES_MIN: Final = 300  # reads, or pieces of a body, before their size counts
READ_BYTES_MIN, PIECE_BYTES_MIN = 64, 1000  # on average: a packet, and a proxy's pieces, carry more
REST_S: Final = 0.005  # between two reads of a body, so that packets are parsed together
CONNECTIONS_MAX, CONNECTIONS_PER_NETWORK_MAX = 500, 100
_quiet = QuietLog(logging.getLogger("duewell.http"))


class LimitedProtocol(H11Protocol):
    """One connection."""

    _open: ClassVar[Counter[str]] = Counter()  # connections per client network

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.logger = _quiet.logger
        self.conn = _CountingConnection(h11.SERVER, HEAD_BYTES_MAX)
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._reads = self._read_bytes = 0
        self._network: str | None = None
        self._linger: _LingeringTransport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        self._linger = _LingeringTransport(transport, self.loop, self._has_more_to_read)
        super().connection_made(cast("asyncio.Transport", self._linger))
        self._network = network_of(self.client[0]) if self.client else ""
        self._open[self._network] += 1
        is_full = len(self.connections) > CONNECTIONS_MAX
        if is_full or (self._open[self._network] > CONNECTIONS_PER_NETWORK_MAX and not _is_this_machine(self._network)):
            self._give_up("too many connections")
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timers()
        if self._network is not None:
            self._open[self._network] -= 1
            if not self._open[self._network]:
                del self._open[self._network]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        if self._linger.is_discarding:
            return
        if self._is_between_requests() and self._head_timer is None:
            self._await_head()
        self._reads += 1
        self._read_bytes += len(data)
        if self._reads > PIECES_MIN and self._read_bytes < self._reads * READ_BYTES_MIN:
            self._give_up("a request in tiny pieces")
            return
        super().data_received(data)
        if not self._is_between_requests():
            self._stop_head_timer()
            self._rest()

    def _rest(self) -> None:
        """Read no more of a body for a moment: each read costs, however little it brings."""
        if self.cycle.more_body and not self.flow.read_paused and not self.transport.is_closing():
            self.transport.pause_reading()
            self.loop.call_later(REST_S, self._read_on)

    def _read_on(self) -> None:
        if not self.flow.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def on_response_complete(self) -> None:
        """Prepare for the next request, unless the rest of this one would have to be read for nothing."""
        self._reads = self._read_bytes = 0
        if self.conn.their_state is not h11.SEND_BODY or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, where no response has begun yet."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Wait for a client that reads slowly, but not for ever."""
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(UNREAD_S, self._give_up, "a response that is not read")

    def resume_writing(self) -> None:
        """Resume with a client that reads."""
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        super().resume_writing()

    def _has_more_to_read(self) -> bool:
        return self.conn.their_state in {h11.SEND_BODY, h11.ERROR}

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._give_up, "a request that did not arrive in time")

    def _give_up(self, reason: str) -> None:
        self._stop_timers()
        if not self.transport.is_closing() or reason == "a response that is not read":
            _quiet.note("closed connections", reason, self._network or "this machine")
            self.transport.abort()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_timers(self) -> None:
        self._stop_head_timer()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None


class _LingeringTransport:
    """A transport that, when closed before a request was read to its end, throws the rest away for some seconds.

    A connection that is closed at once is reset, and the client loses the response that says what was wrong.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, has_more_to_read: Callable[[], bool]
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._has_more_to_read = has_more_to_read
        self.is_discarding = False

    def __getattr__(self, name: str) -> Any:
        """Do everything else as the transport does."""
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more is sent."""
        return self.is_discarding or self._transport.is_closing()

    def close(self) -> None:
        """Close, after what is still on its way was thrown away unparsed."""
        if self.is_closing() or not self._has_more_to_read() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self.is_discarding = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(DISCARD_S, self._transport.abort)


class _CountingConnection(h11.Connection):
    """Refuses bodies in pieces so small that parsing them is the attack."""

    def __init__(self, our_role: type[h11.SERVER], max_incomplete_event_size: int) -> None:
        super().__init__(our_role, max_incomplete_event_size)
        self._pieces = self._bytes = 0

    def next_event(self) -> Any:
        """Return the next part of the request."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = self._bytes = 0
        elif isinstance(event, h11.Data):
            self._pieces += event.chunk_start  # only where the client chose the pieces, not the network
            self._bytes += len(event.data)
            if self._pieces > PIECES_MIN and self._bytes < self._pieces * PIECE_BYTES_MIN:
                message = "a body in tiny pieces"
                raise h11.RemoteProtocolError(message)
        return event


def _is_this_machine(network: str) -> bool:
    """Whether a network is this machine: a proxy, which brings everybody."""
    try:
        return ipaddress.ip_address(network).is_loopback
    except ValueError:
        return network == "::/64"  # where ::1 is
