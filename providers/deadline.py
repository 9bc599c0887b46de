"""Sockets that enforce one deadline for a whole call, and record whether any byte of the request was sent.

A read timeout applies to each ``recv`` alone: a server that sends one byte a second would block a worker for hours.
Here every ``recv`` waits only for the remaining time of the call. Failures can also be classified exactly: a request of
which nothing was handed to the socket has certainly not been sent.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class CallDeadline(threading.local):
    """The deadline of this thread's current call, and how far the call got."""

    ends_at_s: float = float("inf")  # on the monotonic clock
    read_timeout_s: float = 60.0
    reached_socket: bool = False
    request_started: bool = False

    def begin(self, call_timeout_s: float, read_timeout_s: float) -> None:
        """Start the clock for a new call."""
        self.ends_at_s = time.monotonic() + call_timeout_s
        self.read_timeout_s = read_timeout_s
        self.reached_socket = False
        self.request_started = False


current_call = CallDeadline()


class _TimedReader(io.RawIOBase):
    """The receiving half of a socket; each ``recv`` waits at most for the remaining time of the call."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        # makefile holds a reference, so that the socket survives http.client closing its own half early
        self._raw: socket.SocketIO = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        remaining_s = current_call.ends_at_s - time.monotonic()
        if remaining_s <= 0:
            message = "the call exceeded its deadline"
            raise TimeoutError(message)
        self._socket.settimeout(min(remaining_s, current_call.read_timeout_s))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """A reply that is read within the deadline of the call."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedReader(sock), buffer_size=1 << 16)


class _HttpConnection(HTTPConnection):
    """An http connection, for loopback hosts."""

    response_class = _TimedResponse

    def connect(self) -> None:
        current_call.reached_socket = True
        super().connect()

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        current_call.request_started = True
        super().send(data)


class _HttpsConnection(_HttpConnection, HTTPSConnection):
    """An https connection, for all other hosts."""


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


def enforce_deadlines(pool_manager: urllib3.PoolManager) -> None:
    """Make a pool manager open connections that enforce the deadline."""
    pool_manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
