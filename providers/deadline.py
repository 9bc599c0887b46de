"""Sockets that keep one deadline for a whole call, and remember whether any byte of the request has left.

A read timeout alone is per ``recv``: a server that drips one byte a second would hold a worker for hours. Here every
``recv`` is given only what is left of the call's time. And a failure can be told apart exactly: what was never handed
to the socket has surely not left this machine.
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
    """What this thread's call under way may take and how far it got."""

    ends_at_s: float = float("inf")  # on the monotonic clock
    read_timeout_s: float = 60.0
    reached_socket: bool = False
    request_started: bool = False

    def begin(self, call_timeout_s: float, read_timeout_s: float) -> None:
        """Start the clock of a new call."""
        self.ends_at_s = time.monotonic() + call_timeout_s
        self.read_timeout_s = read_timeout_s
        self.reached_socket = False
        self.request_started = False


current_call = CallDeadline()


class _TimedReader(io.RawIOBase):
    """The receiving half of a socket; each ``recv`` waits only as long as the call may still last."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        # makefile holds a reference, so that the socket survives http.client closing its own half early
        self._raw: socket.SocketIO = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        left_s = current_call.ends_at_s - time.monotonic()
        if left_s <= 0:
            message = "the call took longer than it may"
            raise TimeoutError(message)
        self._socket.settimeout(min(left_s, current_call.read_timeout_s))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """A reply that is read through the call's deadline."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedReader(sock), buffer_size=1 << 16)


class _HttpConnection(HTTPConnection):
    """http, for loopback hosts."""

    response_class = _TimedResponse

    def connect(self) -> None:
        current_call.reached_socket = True
        super().connect()

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        current_call.request_started = True
        super().send(data)


class _HttpsConnection(HTTPSConnection):
    """https, for everything else."""

    response_class = _TimedResponse

    def connect(self) -> None:
        current_call.reached_socket = True
        super().connect()

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        current_call.request_started = True
        super().send(data)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


def enforce_deadlines(pool_manager: urllib3.PoolManager) -> None:
    """Make a pool manager open the connections of this file."""
    pool_manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
